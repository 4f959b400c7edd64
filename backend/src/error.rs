//! The error type of the API and its responses.

use axum::{
    Json,
    extract::rejection::{JsonRejection, QueryRejection},
    response::{IntoResponse, Response},
};
use cruddur_shared::error::{ErrorBody, ErrorDetail};
use http::StatusCode;

/// A rejected or failed request.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
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

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let (code, message) = match &rejection {
            JsonRejection::JsonDataError(_) => ("invalid_body", "the JSON body does not have the expected fields"),
            JsonRejection::JsonSyntaxError(_) => ("invalid_json", "the body is not valid JSON"),
            JsonRejection::MissingJsonContentType(_) => {
                ("unsupported_media_type", "send the body with `content-type: application/json`")
            }
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is too large"),
            _ => ("unreadable_body", "the body could not be read"),
        };
        Self::new(status, code, message)
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("invalid_query", format!("the query is not valid: {}", rejection.body_text()))
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the database failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "database_failed", "the database failed; nothing was changed")
    }
}

/// Returns the response for a handler that panicked.
#[allow(clippy::needless_pass_by_value)] // the signature is tower-http's
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
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

/// Returns the error for an address below `/api` that does not exist.
pub(crate) async fn no_such_api() -> ApiError {
    ApiError::not_found("no_such_address", "there is nothing at this address")
}

/// Returns the error for a method that an address does not accept.
pub(crate) async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not accept this method")
}
