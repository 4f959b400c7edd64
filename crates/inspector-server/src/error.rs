//! The error of the API, and how it becomes a response.

use axum::{
    Json,
    extract::rejection::QueryRejection,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use throughline_inspector_api::{ErrorBody, ErrorDetail};
use throughline_store::StoreError;

/// A refused or failed request: the response is JSON ([`ErrorBody`]) with this status.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// An error with this status. `code` is `snake_case` and stable; `message` is a sentence for a person.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 404 Not Found.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 400 Bad Request.
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
        Self::bad_request("invalid_query", format!("the query is not understood: {}", rejection.body_text()))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of traces failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_failed", "the store of traces cannot be read at the moment")
    }
}

/// The response of a handler that panicked, for `tower_http::catch_panic::CatchPanicLayer::custom`.
#[allow(clippy::needless_pass_by_value)] // the signature is tower-http's
pub fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = what, "a handler panicked");
    throughline_axum::record_panic(&*panic);
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke on the server; it has been recorded")
        .into_response()
}

/// The response to an address that does not exist.
pub async fn no_such_address() -> ApiError {
    ApiError::not_found("no_such_address", "there is nothing at this address")
}

/// The response to a method that an address does not accept.
pub async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not accept that method")
}
