//! Checks whether browsers let pages of other origins send `traceparent` to the server.

use reqwest::{Method, blocking::Client, header};
use throughline_self_check::Finding;

use super::server::Server;

const CHECK: &str = "CORS";

/// Sends the request that a browser sends before a traced request (Fetch, "CORS-preflight fetch").
pub(super) fn check(client: &Client, server: &Server, origins: &[String]) -> Vec<Finding> {
    origins.iter().map(|origin| of(client, server, origin)).collect()
}

fn of(client: &Client, server: &Server, origin: &str) -> Finding {
    let answer = client
        .request(Method::OPTIONS, format!("http://{}/", server.pages))
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "traceparent,tracestate,baggage")
        .send();
    let headers = match answer {
        Ok(answer) => answer.headers().clone(),
        Err(error) => {
            return Finding::bad(CHECK, format!("the server does not answer: {error}"), "see whether it still runs");
        }
    };
    // A header that is absent, or is not ASCII, allows nothing.
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    if value(header::ACCESS_CONTROL_ALLOW_ORIGIN) != origin.to_ascii_lowercase() {
        return Finding::bad(
            CHECK,
            format!("pages of {origin} are refused by the server that runs"),
            "start it again with --allow-origin or FRONTEND_URL naming this origin",
        );
    }
    if !value(header::ACCESS_CONTROL_ALLOW_HEADERS).split(',').any(|name| name.trim() == "traceparent") {
        return Finding::bad(
            CHECK,
            format!("pages of {origin} may not send `traceparent`"),
            "let the proxy before the server pass `traceparent`, `tracestate` and `baggage`",
        );
    }
    Finding::good(CHECK, format!("pages of {origin} may send `traceparent`"))
}
