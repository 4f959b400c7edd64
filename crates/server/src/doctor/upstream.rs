//! Checks whether each upstream can be reached, whether it accepts the key, and whether its clock agrees with this machine's.

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

/// The clock offset above which traces of two machines are misleading.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Sends each upstream an empty request with the headers of its sink. Every OTLP receiver accepts an empty request.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    if settings.outbox.upstreams.is_empty() {
        return vec![Finding::good(CHECK, "no upstream is set; traces are not forwarded")];
    }
    settings.outbox.upstreams.iter().flat_map(check_upstream).collect()
}

fn check_upstream(upstream: &Upstream) -> Vec<Finding> {
    let host = upstream.endpoint.host_str().expect("an http URL has a host");
    match send_empty(upstream) {
        Ok(response) => {
            let mut findings = vec![check_status(response.status(), host)];
            findings.extend(check_clock(&response, SystemTime::now()));
            findings
        }
        Err(error) => vec![Finding::bad(
            CHECK,
            format!("{host} cannot be reached: {}", describe(error)),
            "check OTEL_EXPORTER_OTLP_ENDPOINT, the network, and the proxy settings of this machine",
        )],
    }
}

fn send_empty(upstream: &Upstream) -> reqwest::Result<Response> {
    // Redirects are not followed: the key would be sent to their targets.
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

fn check_status(status: StatusCode, host: &str) -> Finding {
    match status {
        _ if status.is_success() => Finding::good(CHECK, format!("{host} accepts the key")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Finding::bad(
            CHECK,
            format!("{host} rejects the key ({})", status.as_u16()),
            "check OTEL_EXPORTER_OTLP_HEADERS or HONEYCOMB_API_KEY: the key, its environment, and its region",
        ),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Finding::bad(
            CHECK,
            format!("{host} has no OTLP receiver at this path ({})", status.as_u16()),
            "set the base URL, without /v1/traces",
        ),
        StatusCode::TOO_MANY_REQUESTS => Finding::doubtful(
            CHECK,
            format!("{host} limits the rate of requests (429)"),
            "spans are kept and sent later; check the rate limit of your account",
        ),
        _ if status.is_server_error() => Finding::doubtful(
            CHECK,
            format!("{host} failed ({})", status.as_u16()),
            "spans are kept and sent when it recovers",
        ),
        _ => Finding::bad(
            CHECK,
            format!("{host} responds with {}", status.as_u16()),
            "check whether the URL is that of an OTLP/HTTP receiver",
        ),
    }
}

/// Compares this machine's clock with the upstream's `Date` header. Returns `None` without the header.
fn check_clock(response: &Response, now: SystemTime) -> Option<Finding> {
    let date = httpdate::parse_http_date(response.headers().get(DATE)?.to_str().ok()?).ok()?;
    let offset = now.duration_since(date).unwrap_or_else(|error| error.duration());
    Some(if offset <= CLOCK_TOLERANCE {
        Finding::good("clock", "this machine's clock agrees with the upstream's")
    } else {
        Finding::doubtful(
            "clock",
            format!("this machine's clock differs from the upstream's by {} s", offset.as_secs()),
            "enable NTP (`timedatectl set-ntp true`)",
        )
    })
}

/// Formats an error and its causes without the URL, which may have a password in it.
fn describe(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::new(error.without_url()))
}
