//! Access control: clients on this machine may view traces, and others if they have the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts, uri::Authority};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use crate::{client::Client, error::ApiError};

const COOKIE: &str = "throughline_access";
/// The name of the cookie over TLS: because of the prefix, a browser accepts it only from this host and sends it only to this host.
const HOST_COOKIE: &str = "__Host-throughline_access";
const PARAMETER: &str = "access_token";

/// The clients that may view traces.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Access {
    /// Every client that can reach the address.
    Open,
    /// Clients on this machine that do not forward a request of another machine.
    #[default]
    Local,
    /// Clients that send the token: as `authorization: Bearer …`, or once as `?access_token=…`, which sets a cookie.
    Token(SecretString),
    /// Clients on this machine, and others with the token.
    LocalOrToken(SecretString),
}

/// The clients that need no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenTo {
    All,
    Local,
    None,
}

/// The access rule, shared by the page and the API.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    token: Option<Arc<SecretString>>,
    open_to: OpenTo,
    /// Host names under which an open inspector responds, in addition to `localhost` and IP addresses.
    hosts: Arc<[String]>,
}

impl Gate {
    /// Creates the gate. The hosts of `origins` are host names of this server too.
    pub(crate) fn new(access: &Access, origins: &[String]) -> Self {
        let hosts = origins.iter().filter_map(|origin| Some(Url::parse(origin).ok()?.host_str()?.to_owned())).collect();
        let (token, open_to) = match access {
            Access::Open => (None, OpenTo::All),
            Access::Local => (None, OpenTo::Local),
            Access::Token(token) => (Some(token), OpenTo::None),
            Access::LocalOrToken(token) => (Some(token), OpenTo::Local),
        };
        Self { token: token.cloned().map(Arc::new), open_to, hosts }
    }

    /// Returns whether the host of a request is a name of this server.
    ///
    /// Without a token, a page of another site must not gain access through a domain that it resolves to this server (DNS
    /// rebinding). IP addresses and `localhost` cannot be used for that.
    fn knows_host(&self, uri: &Uri, headers: &HeaderMap, client: &Client) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let is_known = |host: &Authority| {
            let host = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
            host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
        };
        // HTTP/2 has the host in the URI; a proxy may send another host than it received; a client without a host is not a
        // browser.
        host.iter().chain(uri.authority()).chain(&client.host).all(is_known)
    }

    /// Returns whether the request has the token.
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return false };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let jar = CookieJar::from_headers(headers);
        let cookies = [COOKIE, HOST_COOKIE].into_iter().filter_map(|name| jar.get(name));
        bearer.into_iter().chain(cookies.map(Cookie::value)).any(|given| same(given, token))
    }

    /// Returns whether the request is allowed.
    fn admits(&self, uri: &Uri, headers: &HeaderMap, client: &Client) -> Result<(), Rejected> {
        if is_cross_origin(headers, client) {
            return Err(Rejected::OtherOrigin);
        }
        if self.has_token(headers) {
            return Ok(());
        }
        let is_open = match self.open_to {
            OpenTo::All => true,
            OpenTo::Local => client.is_local,
            OpenTo::None => false,
        };
        match (is_open, self.knows_host(uri, headers, client)) {
            (true, true) => Ok(()),
            _ if self.token.is_some() => Err(Rejected::TokenNeeded),
            (false, _) => Err(Rejected::NotOnThisMachine),
            (true, false) => Err(Rejected::UnknownHost),
        }
    }
}

/// The reason why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejected {
    OtherOrigin,
    TokenNeeded,
    NotOnThisMachine,
    UnknownHost,
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::OtherOrigin => (
                StatusCode::FORBIDDEN,
                "other_origin",
                "only pages of this server may request traces, not pages of another origin",
            ),
            Self::TokenNeeded => (
                StatusCode::UNAUTHORIZED,
                "access_token_needed",
                "the access token is required, which the server printed or logged at startup; open the inspector once with \
                 ?access_token=<token> in its address",
            ),
            Self::NotOnThisMachine => (
                StatusCode::FORBIDDEN,
                "not_on_this_machine",
                "only clients on this machine may request traces, and this request came from another machine or through a \
                 proxy; set THROUGHLINE_INSPECTOR_ACCESS=token to allow others with a token",
            ),
            Self::UnknownHost => (
                StatusCode::FORBIDDEN,
                "unknown_host",
                "without a token, traces are available only under localhost or an IP address, not under this host name",
            ),
        };
        let mut response = ApiError::new(status, code, message).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Returns whether the request is from a page of another origin. CORS would only hide the response from such a page;
/// the request itself is rejected here, so that nothing depends on how a browser handles the response. An allowed
/// origin is another origin too.
fn is_cross_origin(headers: &HeaderMap, client: &Client) -> bool {
    // A value that is not text counts as an empty one, which matches no origin and no host.
    let text = |name: &header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        // A proxy may change `Host`, but no page can set `Sec-Fetch-Site`. `none` is a navigation by the user.
        Some(b"same-origin" | b"none") => false,
        Some(_) => true,
        None => match (text(&header::ORIGIN), text(&header::HOST)) {
            (None, _) => false,
            (Some(origin), host) => {
                let host = client.host.as_ref().map(Authority::as_str).or(host);
                origin.split_once("://").map(|(_, authority)| authority) != host
            }
        },
    }
}

/// Compares in constant time, so that the timing does not reveal a prefix of the token.
fn same(given: &str, token: &SecretString) -> bool {
    given.as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

/// Passes an API request on, or rejects it. No response is cached, shown in a frame, or readable by another site.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    // Without the extension, the client is unknown and therefore not local.
    let unknown = Client::default();
    let client = request.extensions().get().unwrap_or(&unknown);
    let mut response = match gate.admits(request.uri(), request.headers(), client) {
        Ok(()) => next.run(request).await,
        Err(rejected) => rejected.into_response(),
    };
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

/// Returns the response to a page request with a valid token in its query: it sets the cookie and redirects to the address
/// without the token, below `base`. `None` if there is no token or it is wrong.
pub(crate) fn enter(gate: &Gate, request: &Parts, base: &str) -> Option<Response> {
    let token = gate.token.as_ref()?;
    let uri = &request.uri;
    let mut is_given = false;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(uri.query()?.as_bytes()) {
        if key == PARAMETER {
            is_given = is_given || same(&value, token);
        } else {
            rest.append_pair(&key, &value);
        }
    }
    if !is_given {
        return None;
    }
    let rest = rest.finish();
    let path = uri.path();
    let target = if rest.is_empty() { format!("{base}{path}") } else { format!("{base}{path}?{rest}") };
    let is_over_tls = request.extensions.get::<Client>().is_some_and(|client| client.is_over_tls);
    let mut cookie = Cookie::new(if is_over_tls { HOST_COOKIE } else { COOKIE }, token.expose_secret().to_owned());
    cookie.set_path("/");
    cookie.set_same_site(SameSite::Strict);
    cookie.set_http_only(true);
    cookie.set_secure(is_over_tls);
    let headers = [(header::SET_COOKIE, cookie.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
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

    fn admits(gate: &Gate, headers: &HeaderMap, client: &Client) -> Result<(), Rejected> {
        gate.admits(&Uri::default(), headers, client)
    }

    fn here() -> Client {
        Client { is_local: true, ..Client::default() }
    }

    #[test]
    fn only_the_token_gives_access() {
        let (gate, elsewhere) = (gate(), Client::default());
        assert_eq!(admits(&gate, &headers(header::AUTHORIZATION, &format!("Bearer {TOKEN}")), &elsewhere), Ok(()));
        assert_eq!(admits(&gate, &headers(header::COOKIE, &format!("a=b; {COOKIE}={TOKEN}")), &elsewhere), Ok(()));
        for client in [elsewhere, here()] {
            assert_eq!(admits(&gate, &HeaderMap::new(), &client), Err(Rejected::TokenNeeded));
            for wrong in [
                headers(header::AUTHORIZATION, "Bearer 0123456789abcdeF"),
                headers(header::COOKIE, &format!("x{COOKIE}={TOKEN}")),
            ] {
                assert_eq!(admits(&gate, &wrong, &client), Err(Rejected::TokenNeeded));
            }
        }
    }

    #[test]
    fn each_rule_admits_the_clients_it_names() {
        let (bearer, token) = (headers(header::AUTHORIZATION, &format!("Bearer {TOKEN}")), SecretString::from(TOKEN));
        let elsewhere = Client::default();
        let open = Gate::new(&Access::Open, &[]);
        assert_eq!(admits(&open, &HeaderMap::new(), &elsewhere), Ok(()));
        let local = Gate::new(&Access::Local, &[]);
        assert_eq!(admits(&local, &HeaderMap::new(), &here()), Ok(()));
        assert_eq!(admits(&local, &bearer, &elsewhere), Err(Rejected::NotOnThisMachine));
        let either = Gate::new(&Access::LocalOrToken(token), &[]);
        assert_eq!(admits(&either, &HeaderMap::new(), &here()), Ok(()));
        assert_eq!(admits(&either, &bearer, &elsewhere), Ok(()));
        assert_eq!(admits(&either, &HeaderMap::new(), &elsewhere), Err(Rejected::TokenNeeded));
        assert_eq!(admits(&either, &headers(header::HOST, "evil.example"), &here()), Err(Rejected::TokenNeeded));
    }

    #[test]
    fn an_open_inspector_responds_only_under_its_own_host_names() {
        let gate = Gate::new(&Access::Open, &["https://dev.example:8443".to_owned()]);
        for host in
            ["127.0.0.1:3000", "localhost", "LOCALHOST:3000", "[::1]:3000", "192.168.1.7:80", "dev.example:3000"]
        {
            assert_eq!(admits(&gate, &headers(header::HOST, host), &here()), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:3000", "127.0.0.1.evil.example"] {
            let rejected = Err(Rejected::UnknownHost);
            assert_eq!(admits(&gate, &headers(header::HOST, host), &here()), rejected, "{host}");
            let address = Uri::builder().scheme("http").authority(host).path_and_query("/").build().unwrap();
            assert_eq!(gate.admits(&address, &HeaderMap::new(), &here()), rejected, "{host}");
            let behind = Client { host: Some(host.parse().unwrap()), ..here() };
            assert_eq!(admits(&gate, &headers(header::HOST, "127.0.0.1:3000"), &behind), rejected, "{host}");
        }
    }

    #[test]
    fn the_token_is_removed_from_the_address() {
        let ask = |path: String| http::Request::get(path).body(()).unwrap().into_parts().0;
        let response = enter(&gate(), &ask(format!("/traces?text=a%20b&access_token={TOKEN}")), "/tl").unwrap();
        assert_eq!(response.headers()[header::LOCATION], "/tl/traces?text=a+b");
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("HttpOnly"));
        assert!(enter(&gate(), &ask("/traces?access_token=wrong".to_owned()), "").is_none());
    }

    #[test]
    fn over_tls_the_cookie_is_bound_to_the_host() {
        let tls = Client { is_over_tls: true, ..Client::default() };
        let request = http::Request::get(format!("/traces?access_token={TOKEN}")).extension(tls).body(()).unwrap();
        let response = enter(&gate(), &request.into_parts().0, "").unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        for part in [&format!("{HOST_COOKIE}={TOKEN}"), "Path=/", "SameSite=Strict", "HttpOnly", "Secure"] {
            assert!(cookie.split("; ").any(|given| given == part), "{part}: {cookie}");
        }
        let sent = cookie.split(';').next().unwrap();
        assert!(gate().has_token(&headers(header::COOKIE, sent)));
    }

    #[test]
    fn requests_of_pages_of_other_origins_are_recognized() {
        let from = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            is_cross_origin(&headers, &Client::default())
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
