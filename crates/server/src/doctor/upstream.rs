//! Where the pipe ends: whether it is there, takes the key, and agrees about the time.

use std::time::{Duration, SystemTime};

use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{CONTENT_TYPE, DATE},
    redirect,
};
use secrecy::ExposeSecret as _;
use throughline_self_check::Finding;

use super::TIMEOUT;
use crate::settings::{Settings, Upstream};

const CHECK: &str = "upstream";

/// A clock that is further off makes traces of two machines look wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Sends an empty request, which every OTLP receiver answers with success, with the key that spans go with.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    if settings.outbox.upstreams.is_empty() {
        return vec![Finding::good(CHECK, "none is set: traces stay here")];
    }
    settings.outbox.upstreams.iter().flat_map(of).collect()
}

fn of(upstream: &Upstream) -> Vec<Finding> {
    let host = upstream.endpoint.host_str().expect("an http URL has a host");
    match ask(upstream) {
        Ok(response) => {
            let mut findings = vec![of_status(response.status(), host)];
            findings.extend(clock(&response, SystemTime::now()));
            findings
        }
        Err(error) => vec![Finding::bad(
            CHECK,
            format!("{host} cannot be reached: {}", in_words(error)),
            "check OTEL_EXPORTER_OTLP_ENDPOINT, the network, and the proxy settings of this machine",
        )],
    }
}

fn ask(upstream: &Upstream) -> reqwest::Result<Response> {
    // The key would follow to wherever a redirect points.
    let mut builder = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none());
    if upstream.endpoint.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    let mut request = builder.build()?.post(upstream.endpoint.clone()).header(CONTENT_TYPE, "application/x-protobuf");
    for (name, value) in &upstream.headers {
        request = request.header(name, value.expose_secret());
    }
    // An ExportTraceServiceRequest without spans has no bytes.
    request.body(Vec::new()).send()
}

fn of_status(status: StatusCode, host: &str) -> Finding {
    match status {
        _ if status.is_success() => Finding::good(CHECK, format!("{host} takes the key")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Finding::bad(
            CHECK,
            format!("{host} refuses the key ({})", status.as_u16()),
            "check OTEL_EXPORTER_OTLP_HEADERS or HONEYCOMB_API_KEY: the key, its environment, and whether the region is right",
        ),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Finding::bad(
            CHECK,
            format!("{host} has no OTLP receiver there ({})", status.as_u16()),
            "give the base address, without /v1/traces",
        ),
        StatusCode::TOO_MANY_REQUESTS => Finding::doubtful(
            CHECK,
            format!("{host} takes nothing at present (429)"),
            "spans are kept and sent later; see the limits of your account",
        ),
        _ if status.is_server_error() => Finding::doubtful(
            CHECK,
            format!("{host} fails ({})", status.as_u16()),
            "spans are kept and sent when it is well again",
        ),
        _ => Finding::bad(
            CHECK,
            format!("{host} answers {}", status.as_u16()),
            "see whether the address is that of an OTLP/HTTP receiver",
        ),
    }
}

/// What the upstream's `Date` says of this machine's clock; nothing if it has none.
fn clock(response: &Response, now: SystemTime) -> Option<Finding> {
    let date = httpdate::parse_http_date(response.headers().get(DATE)?.to_str().ok()?).ok()?;
    let off = now.duration_since(date).unwrap_or_else(|error| error.duration());
    Some(if off <= CLOCK_TOLERANCE {
        Finding::good("clock", "it agrees with the upstream's")
    } else {
        Finding::doubtful(
            "clock",
            format!("it is {} s away from the upstream's", off.as_secs()),
            "let NTP set it (`timedatectl set-ntp true`)",
        )
    })
}

/// An error and its causes, without the address, which may hold a password.
fn in_words(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::new(error.without_url()))
}
