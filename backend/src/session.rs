//! The user of a request, from a cookie with a handle. Cruddur has no passwords: you choose who you are.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use axum_extra::extract::cookie::CookieJar;
use http::{HeaderMap, request::Parts};
use throughline_axum::{Forwarded, IpNet};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::keys;

pub(crate) const COOKIE: &str = "cruddur_handle";
/// The user of a client that has not chosen one.
pub(crate) const DEFAULT_HANDLE: &str = "andrewbrown";

/// The handle of the user who sent the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me(pub(crate) String);

impl Me {
    fn of(headers: &HeaderMap) -> Self {
        let handle = CookieJar::from_headers(headers).get(COOKIE).map(|cookie| cookie.value().to_owned());
        Self(handle.filter(|handle| is_handle(handle)).unwrap_or_else(|| DEFAULT_HANDLE.to_owned()))
    }
}

/// Returns whether a text has the form of a handle: 1 to 32 lower-case letters, digits and underscores.
pub(crate) fn is_handle(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl<S: Send + Sync> FromRequestParts<S> for Me {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Whether the client uses TLS, to a trusted proxy in front of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsOverTls(pub(crate) bool);

/// Records the user of a request on the server span. `trusted` are the networks of trusted proxies.
pub(crate) async fn identify(State(trusted): State<Arc<[IpNet]>>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let forwarded = Forwarded::read(request.headers(), peer.ip(), &trusted);
        request.extensions_mut().insert(IsOverTls(forwarded.scheme == Some("https")));
    }
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
    fn the_cookie_is_found_among_others_and_an_invalid_one_is_ignored() {
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
