//! Requests that are refused as a whole, and their error responses (OTLP/HTTP, "Failures").

use crate::IngestTokenError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::time::Duration;
use throughline_otlp::{DecodeError, Encoding, RpcCode, encode_status};
use throughline_store::StoreError;

/// Why a request is refused. The message is for the developer of the sender.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("pages of this origin are not allowed to send requests")]
    Origin,
    #[error(transparent)]
    IngestToken(#[from] IngestTokenError),
    #[error("this receiver requires a token: send `authorization: Bearer <token>`")]
    Token,
    #[error("the content type must be application/x-protobuf or application/json")]
    ContentType,
    #[error("the content encoding must be gzip, zstd or identity")]
    ContentEncoding,
    #[error("the body is larger than {limit_bytes} bytes{}", if *.inflated { " after decompression" } else { "" })]
    TooLarge { limit_bytes: usize, inflated: bool },
    #[error("{0}")]
    Malformed(String),
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the rate limit is exceeded: slow down")]
    Rate { wait: Duration },
    #[error("{0}: try again later")]
    Busy(&'static str),
    #[error("the server could not process the request")]
    Failed,
}

/// When a client should retry after a busy response.
const BUSY_WAIT: Duration = Duration::from_secs(1);

impl Refusal {
    /// Returns the HTTP status and the `google.rpc.Code`.
    fn codes(&self) -> (StatusCode, RpcCode) {
        match self {
            Self::Origin => (StatusCode::FORBIDDEN, RpcCode::PermissionDenied),
            Self::IngestToken(_) | Self::Token => (StatusCode::UNAUTHORIZED, RpcCode::Unauthenticated),
            Self::ContentType | Self::ContentEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, RpcCode::InvalidArgument),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, RpcCode::InvalidArgument),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, RpcCode::InvalidArgument),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, RpcCode::DeadlineExceeded),
            Self::Rate { .. } => (StatusCode::TOO_MANY_REQUESTS, RpcCode::ResourceExhausted),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, RpcCode::Unavailable),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, RpcCode::Internal),
        }
    }

    /// Returns the gRPC status code. It is more specific than in [`Self::codes`], as gRPC has no HTTP status beside it.
    pub(crate) fn grpc_code(&self) -> RpcCode {
        match self {
            Self::TooLarge { .. } => RpcCode::ResourceExhausted,
            Self::ContentEncoding => RpcCode::Unimplemented,
            refusal => refusal.codes().1,
        }
    }

    /// Returns how long to wait before a retry; `None` if a retry will not help.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate { wait } => Some(*wait),
            Self::Busy(_) => Some(BUSY_WAIT),
            _ => None,
        }
    }

    /// Builds the response in the encoding of the request.
    pub(crate) fn into_response(self, encoding: Encoding) -> Response {
        let (status, code) = self.codes();
        let body = encode_status(code, &self.to_string(), encoding);
        let mut response = (status, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response();
        if let Some(wait) = self.retry_after() {
            // Rounded up: a client that retries early is refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if matches!(self, Self::Token) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy("the store's queue is full"),
            StoreError::Closed => Self::Busy("the server is shutting down"),
            StoreError::Full => Self::Busy("the disk is full"),
            // The sender does not need to know what is wrong with the disk. It may be repaired, so the sender should
            // retry.
            error => {
                tracing::error!(%error, "cannot store a batch");
                Self::Busy("the store accepts no records")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_store_returns_503_with_retry_after() {
        for error in [StoreError::Busy, StoreError::Closed, StoreError::Full, StoreError::Corrupt(String::new())] {
            let response = Refusal::from(error).into_response(Encoding::Json);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_to_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let refusal = Refusal::Rate { wait: Duration::from_millis(millis) };
            let response = refusal.into_response(Encoding::Protobuf);
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-protobuf");
        }
    }

    #[test]
    fn permanent_refusals_have_no_retry_after() {
        for refusal in [Refusal::Origin, Refusal::ContentType, Refusal::Slow, Refusal::Failed] {
            assert!(!refusal.into_response(Encoding::Json).headers().contains_key(header::RETRY_AFTER));
        }
    }
}
