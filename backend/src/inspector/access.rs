//! Who may look at traces: everybody on loopback, elsewhere whoever has the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;
use throughline_forward::Secret;
use url::{Url, form_urlencoded};

use crate::{cookie, error::ApiError, settings::Access};

const COOKIE: &str = "throughline_access";
const PARAMETER: &str = "access_token";

/// The rule, shared by the pages and the API.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    token: Option<Arc<Secret>>,
    /// Names under which an open inspector answers, besides `localhost` and addresses.
    hosts: Arc<[String]>,
}

impl Gate {
    /// `origins` are those that may call from elsewhere.
    pub(crate) fn new(access: &Access, origins: &[String]) -> Self {
        let hosts = origins.iter().filter_map(|origin| Some(Url::parse(origin).ok()?.host_str()?.to_owned())).collect();
        let token = match access {
            Access::Open => None,
            Access::Token(token) => Some(Arc::new(token.clone())),
        };
        Self { token, hosts }
    }

    /// Whether a request was sent to a name that is meant for this server.
    ///
    /// Where no token is asked for, a page of another site must not get in by a name of its own that it lets point here (DNS
    /// rebinding). Addresses and `localhost` are no such names.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        if self.token.is_some() {
            return true;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        // HTTP/2 has it in the address, and axum puts it there; a program without either is no browser.
        let Some(host) = host.and_then(|host| host.parse::<http::uri::Authority>().ok()) else { return true };
        let host = host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        bearer.into_iter().chain(cookie::values(headers, COOKIE)).any(|given| same(given, token))
    }
}

/// In constant time, so that a wrong token does not say how wrong it is.
fn same(given: &str, token: &Secret) -> bool {
    given.as_bytes().ct_eq(token.expose().as_bytes()).into()
}

/// Lets an API request through, or refuses it.
pub(super) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if !gate.knows_host(request.headers()) {
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
pub(crate) fn enter(gate: &Gate, uri: &http::Uri) -> Option<Response> {
    let token = gate.token.as_ref()?;
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
    let cookie = format!("{COOKIE}={}; Path=/; SameSite=Strict; HttpOnly", token.expose());
    Some(([(header::SET_COOKIE, cookie)], Redirect::to(&target)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn gate() -> Gate {
        Gate::new(&Access::Token(Secret::new(TOKEN.to_owned())), &[])
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
            assert!(gate.knows_host(&headers(header::HOST, host)), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:3000", "127.0.0.1.evil.example"] {
            assert!(!gate.knows_host(&headers(header::HOST, host)), "{host}");
        }
        assert!(self::gate().knows_host(&headers(header::HOST, "app.example")));
    }

    #[test]
    fn the_token_leaves_the_address_bar() {
        let uri = format!("/traces?text=a%20b&access_token={TOKEN}").parse().unwrap();
        let response = enter(&gate(), &uri).unwrap();
        assert_eq!(response.headers()[header::LOCATION], "/traces?text=a+b");
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("HttpOnly"));
        assert!(enter(&gate(), &"/traces?access_token=wrong".parse().unwrap()).is_none());
    }
}
