//! Checks whether browsers allow pages of other origins to send `traceparent` to the server.

use reqwest::{Method, blocking::Client, header};
use throughline_self_check::Finding;

use super::server::Server;

const CHECK: &str = "CORS";

/// Sends a preflight request for each origin, as a browser does before a traced request (Fetch, "CORS-preflight fetch").
pub(super) fn check(client: &Client, server: &Server, origins: &[String]) -> Vec<Finding> {
    origins.iter().map(|origin| check_origin(client, server, origin)).collect()
}

fn check_origin(client: &Client, server: &Server, origin: &str) -> Finding {
    let response = client
        .request(Method::OPTIONS, format!("http://{}/", server.pages))
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "traceparent,tracestate,baggage")
        .send();
    let headers = match response {
        Ok(response) => response.headers().clone(),
        Err(error) => {
            return Finding::bad(
                CHECK,
                format!("the server does not respond: {error}"),
                "check whether it is still running",
            );
        }
    };
    // A header that is missing or not ASCII allows nothing.
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    if value(header::ACCESS_CONTROL_ALLOW_ORIGIN) != origin.to_ascii_lowercase() {
        return Finding::bad(
            CHECK,
            format!("the running server rejects pages of {origin}"),
            "restart it with this origin in --allow-origin or FRONTEND_URL",
        );
    }
    if !value(header::ACCESS_CONTROL_ALLOW_HEADERS).split(',').any(|name| name.trim() == "traceparent") {
        return Finding::bad(
            CHECK,
            format!("pages of {origin} may not send `traceparent`"),
            "configure the proxy in front of the server to allow `traceparent`, `tracestate` and `baggage`",
        );
    }
    Finding::good(CHECK, format!("pages of {origin} may send `traceparent`"))
}
