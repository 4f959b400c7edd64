//! Who asks: a cookie that says a handle. Cruddur has no passwords; you choose who you are.

use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, request::Parts};
use throughline_context::keys;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::cookie;

pub(super) const COOKIE: &str = "cruddur_handle";
/// Who you are before you choose.
pub(super) const DEFAULT_HANDLE: &str = "andrewbrown";

/// The handle of the one who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me(pub(super) String);

impl Me {
    fn of(headers: &HeaderMap) -> Self {
        let handle = cookie::values(headers, COOKIE).next().filter(|handle| is_handle(handle));
        Self(handle.unwrap_or(DEFAULT_HANDLE).to_owned())
    }
}

/// What a handle may look like: 1 to 32 lower-case letters, digits and underscores.
pub(super) fn is_handle(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl<S: Send + Sync> FromRequestParts<S> for Me {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Says on the server span who asks.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let me = Me::of(request.headers());
    tracing::Span::current().set_attribute(keys::APP_USER_ID, me.0.clone());
    request.extensions_mut().insert(me);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_nonsense_is_not_believed() {
        let me = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            Me::of(&headers).0
        };
        assert_eq!(me("a=b; cruddur_handle=yuki; c=d"), "yuki");
        assert_eq!(me("cruddur_handle=<script>"), DEFAULT_HANDLE);
        assert_eq!(me("xcruddur_handle=yuki"), DEFAULT_HANDLE);
        assert_eq!(me("cruddur_handle="), DEFAULT_HANDLE);
    }
}
