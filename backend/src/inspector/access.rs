//! Who may look at traces: who is on this machine, elsewhere whoever has the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts, uri::Authority};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use crate::{caller::Caller, cookie, error::ApiError, settings::Access};

const COOKIE: &str = "throughline_access";
/// The same where there is TLS: a browser takes it from this host itself only, and sends it to this host only.
const HOST_COOKIE: &str = "__Host-throughline_access";
const PARAMETER: &str = "access_token";

/// The rule, shared by the pages and the API.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    token: Option<Arc<SecretString>>,
    /// Without a token: whether only those on this machine are let in.
    is_local: bool,
    /// Names under which an open inspector answers, besides `localhost` and addresses.
    hosts: Arc<[String]>,
}

impl Gate {
    /// `origins` are those that may call from elsewhere.
    pub(crate) fn new(access: &Access, origins: &[String]) -> Self {
        let hosts = origins.iter().filter_map(|origin| Some(Url::parse(origin).ok()?.host_str()?.to_owned())).collect();
        let token = match access {
            Access::Open | Access::Local => None,
            Access::Token(token) => Some(Arc::new(token.clone())),
        };
        Self { token, is_local: matches!(access, Access::Local), hosts }
    }

    /// Whether a request was sent to a name that is meant for this server.
    ///
    /// Where no token is asked for, a page of another site must not get in by a name of its own that it lets point here (DNS
    /// rebinding). Addresses and `localhost` are no such names.
    fn knows_host(&self, uri: &Uri, headers: &HeaderMap, caller: &Caller) -> bool {
        if self.token.is_some() {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let is_known = |host: &Authority| {
            let host = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
            host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
        };
        // HTTP/2 has it in the address; a proxy may ask for another host than it was asked for; a program that names none is no
        // browser.
        host.iter().chain(uri.authority()).chain(&caller.host).all(is_known)
    }

    /// Whether this is one whom an open inspector is open to.
    fn is_open_to(&self, caller: &Caller) -> bool {
        caller.is_local || !self.is_local
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let cookies = cookie::values(headers, COOKIE).chain(cookie::values(headers, HOST_COOKIE));
        bearer.into_iter().chain(cookies).any(|given| same(given, token))
    }
}

/// Whether a page of another origin makes this request. What it may read, CORS says; here it may not even ask, so that nothing
/// depends on how a browser handles the answer. An origin that is allowed elsewhere is another one here.
fn is_from_elsewhere(headers: &HeaderMap, caller: &Caller) -> bool {
    let text = |name: &header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        // A proxy may change `Host`; what a browser says of the site no page can set. `none` is a person.
        Some(b"same-origin" | b"none") => false,
        Some(_) => true,
        None => match (text(&header::ORIGIN), text(&header::HOST)) {
            (None, _) => false,
            (Some(origin), host) => {
                let host = caller.host.as_ref().map(Authority::as_str).or(host);
                origin.split_once("://").map(|(_, authority)| authority) != host
            }
        },
    }
}

/// In constant time, so that a wrong token does not say how wrong it is.
fn same(given: &str, token: &SecretString) -> bool {
    given.as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

/// Lets an API request through, or refuses it. No answer is kept by anybody, shown in a frame, or read by another site.
pub(super) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let mut response = admit(&gate, request, next).await;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn admit(gate: &Gate, request: Request, next: Next) -> Response {
    // Nothing is known of who asks: then it is nobody to be let in.
    let stranger = Caller::default();
    let caller = request.extensions().get().unwrap_or(&stranger);
    if is_from_elsewhere(request.headers(), caller) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "other_origin",
            "traces are shown to pages of this server only, not to those of another origin",
        )
        .into_response();
    }
    if !gate.is_open_to(caller) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "not_on_this_machine",
            "traces are shown without a token to those on this machine only, and this request comes by a proxy from elsewhere; \
             set --inspector-access token / THROUGHLINE_INSPECTOR_ACCESS",
        )
        .into_response();
    }
    if !gate.knows_host(request.uri(), request.headers(), caller) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "unknown_host",
            "traces are shown without a token under localhost or an address only, not under this name",
        )
        .into_response();
    }
    if gate.admits(request.headers()) {
        return next.run(request).await;
    }
    let refused = ApiError::new(
        StatusCode::UNAUTHORIZED,
        "access_token_needed",
        "traces are shown on this address to those who have the access token that the server printed at its start",
    );
    ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response()
}

/// A page address with the token in it: puts the token into a cookie and the address right. `None` if there is none or it is
/// wrong.
pub(crate) fn enter(gate: &Gate, request: &Parts) -> Option<Response> {
    let token = gate.token.as_ref()?;
    let uri = &request.uri;
    let query = uri.query()?;
    let mut given = false;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == PARAMETER {
            given = given || same(&value, token);
        } else {
            rest.append_pair(&key, &value);
        }
    }
    if !given {
        return None;
    }
    let rest = rest.finish();
    let target = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) };
    let stranger = Caller::default();
    let caller = request.extensions.get().unwrap_or(&stranger);
    let (name, secure) = (if caller.is_over_tls { HOST_COOKIE } else { COOKIE }, caller.secure());
    let cookie = format!("{name}={}; Path=/; SameSite=Strict; HttpOnly{secure}", token.expose_secret());
    let headers = [(header::SET_COOKIE, cookie.as_str()), (header::CACHE_CONTROL, "no-store")];
    Some((headers, Redirect::to(&target)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn gate() -> Gate {
        Gate::new(&Access::Token(SecretString::from(TOKEN)), &[])
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let gate = gate();
        assert!(gate.admits(&headers(header::AUTHORIZATION, &format!("Bearer {TOKEN}"))));
        assert!(gate.admits(&headers(header::COOKIE, &format!("a=b; {COOKIE}={TOKEN}"))));
        assert!(!gate.admits(&HeaderMap::new()));
        assert!(!gate.admits(&headers(header::AUTHORIZATION, "Bearer 0123456789abcdeF")));
        assert!(!gate.admits(&headers(header::COOKIE, &format!("x{COOKIE}={TOKEN}"))));
        assert!(Gate::new(&Access::Open, &[]).admits(&HeaderMap::new()));
    }

    #[test]
    fn an_open_inspector_answers_to_its_own_names_only() {
        let gate = Gate::new(&Access::Open, &["https://dev.example:8443".to_owned()]);
        for host in
            ["127.0.0.1:3000", "localhost", "LOCALHOST:3000", "[::1]:3000", "192.168.1.7:80", "dev.example:3000"]
        {
            assert!(gate.knows_host(&Uri::default(), &headers(header::HOST, host), &Caller::default()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:3000", "127.0.0.1.evil.example"] {
            assert!(!gate.knows_host(&Uri::default(), &headers(header::HOST, host), &Caller::default()), "{host}");
            let address = Uri::builder().scheme("http").authority(host).path_and_query("/").build().unwrap();
            assert!(!gate.knows_host(&address, &HeaderMap::new(), &Caller::default()), "{host}");
            let behind = Caller { host: Some(host.parse().unwrap()), ..Caller::default() };
            assert!(!gate.knows_host(&Uri::default(), &headers(header::HOST, "127.0.0.1:3000"), &behind), "{host}");
        }
        assert!(self::gate().knows_host(&Uri::default(), &headers(header::HOST, "app.example"), &Caller::default()));
    }

    #[test]
    fn the_token_leaves_the_address_bar() {
        let ask = |path: String| http::Request::get(path).body(()).unwrap().into_parts().0;
        let response = enter(&gate(), &ask(format!("/traces?text=a%20b&access_token={TOKEN}"))).unwrap();
        assert_eq!(response.headers()[header::LOCATION], "/traces?text=a+b");
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("HttpOnly"));
        assert!(enter(&gate(), &ask("/traces?access_token=wrong".to_owned())).is_none());
    }

    #[test]
    fn over_tls_the_cookie_is_bound_to_the_host() {
        let tls = Caller { is_over_tls: true, ..Caller::default() };
        let request = http::Request::get(format!("/traces?access_token={TOKEN}")).extension(tls).body(()).unwrap();
        let response = enter(&gate(), &request.into_parts().0).unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert_eq!(cookie, format!("__Host-throughline_access={TOKEN}; Path=/; SameSite=Strict; HttpOnly; Secure"));
        let sent = cookie.split(';').next().unwrap();
        assert!(gate().admits(&headers(header::COOKIE, sent)));
    }

    #[test]
    fn pages_of_other_origins_may_not_even_ask() {
        let from = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            is_from_elsewhere(&headers, &Caller::default())
        };
        let host = ("host", "app.example:3000");
        for own in [
            &[host][..],
            &[host, ("origin", "http://app.example:3000")],
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
            &[("host", "127.0.0.1"), ("origin", "https://app.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(!from(own), "{own:?}");
        }
        for other in [
            &[host, ("origin", "http://app.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[("origin", "http://app.example")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("origin", "http://app.example:3000"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(from(other), "{other:?}");
        }
    }
}
