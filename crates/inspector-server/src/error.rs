//! The error type of the API and its responses.

use axum::{
    Json,
    extract::rejection::QueryRejection,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use throughline_inspector_api::{ErrorBody, ErrorDetail};
use throughline_store::StoreError;

/// A rejected or failed request. The response is JSON ([`ErrorBody`]) with this status.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// Creates an error with this status. `code` is `snake_case` and stable; `message` is a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Creates a 404 Not Found error.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// Creates a 400 Bad Request error.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message,
                trace_id: throughline_axum::current_trace_id(),
            },
        };
        (self.status, Json(body)).into_response()
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("invalid_query", format!("the query is not valid: {}", rejection.body_text()))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the trace store failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_failed", "the trace store cannot be read; try again later")
    }
}

/// Returns the response for a handler that panicked, for `tower_http::catch_panic::CatchPanicLayer::custom`.
#[allow(clippy::needless_pass_by_value)] // the signature is tower-http's
pub fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = what, "a handler panicked");
    throughline_axum::record_panic(&*panic);
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal server error; it has been logged")
        .into_response()
}

/// Returns the error for an address that does not exist.
pub async fn no_such_address() -> ApiError {
    ApiError::not_found("no_such_address", "there is nothing at this address")
}

/// Returns the error for a method that an address does not accept.
pub async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not accept this method")
}
