//! Who may look at traces: everybody on loopback, elsewhere whoever has the token.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;
use throughline_forward::Secret;
use url::form_urlencoded;

use crate::{error::ApiError, settings::Access};

const COOKIE: &str = "throughline_access";
const PARAMETER: &str = "access_token";

/// The rule, shared by the pages and the API.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    token: Option<Arc<Secret>>,
}

impl Gate {
    pub(crate) fn new(access: &Access) -> Self {
        match access {
            Access::Open => Self { token: None },
            Access::Token(token) => Self { token: Some(Arc::new(token.clone())) },
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .map(|(_, value)| value);
        bearer.into_iter().chain(cookies).any(|given| same(given, token))
    }
}

/// In constant time, so that a wrong token does not say how wrong it is.
fn same(given: &str, token: &Secret) -> bool {
    given.as_bytes().ct_eq(token.expose().as_bytes()).into()
}

/// Lets an API request through, or refuses it.
pub(super) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
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
        Gate::new(&Access::Token(Secret::new(TOKEN.to_owned())))
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
        assert!(Gate::new(&Access::Open).admits(&HeaderMap::new()));
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
