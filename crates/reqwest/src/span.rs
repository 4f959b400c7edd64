//! The span of an outgoing request, by the OpenTelemetry semantic conventions for HTTP clients.

use std::error::Error;

use http::{Method, StatusCode, Version};
use opentelemetry::trace::Status;
use opentelemetry_semantic_conventions::attribute;
use reqwest::{Request, Response};
use throughline_context::redact_url;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::About;

/// Methods that are used in names and attributes unchanged; any other method is [`OTHER`].
const KNOWN: [(Method, &str); 9] = [
    (Method::GET, "GET"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::DELETE, "DELETE"),
    (Method::HEAD, "HEAD"),
    (Method::OPTIONS, "OPTIONS"),
    (Method::PATCH, "PATCH"),
    (Method::CONNECT, "CONNECT"),
    (Method::TRACE, "TRACE"),
];
/// The attribute value for unknown methods.
const OTHER: &str = "_OTHER";

pub(crate) fn make_span(request: &Request, about: &About) -> Span {
    let method = request.method();
    let known = KNOWN.iter().find(|(known, _)| known == method).map(|(_, text)| *text);
    // The conventions name a span with an unknown method `HTTP`.
    let name_method = known.unwrap_or("HTTP");
    let template = about.url_template.as_deref();
    let name = template.map_or_else(|| name_method.to_owned(), |template| format!("{name_method} {template}"));
    let span = tracing::info_span!(
        target: "throughline::http",
        "http.client",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    span.set_attribute(attribute::HTTP_REQUEST_METHOD, known.unwrap_or(OTHER));
    if known.is_none() {
        span.set_attribute(attribute::HTTP_REQUEST_METHOD_ORIGINAL, method.to_string());
    }
    let url = request.url();
    span.set_attribute(attribute::URL_FULL, redact_url(url.as_str()));
    if let Some(host) = url.host_str() {
        // Removes the brackets of an IPv6 address.
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        span.set_attribute(attribute::SERVER_ADDRESS, address.to_owned());
    }
    if let Some(port) = url.port_or_known_default() {
        span.set_attribute(attribute::SERVER_PORT, i64::from(port));
    }
    if let Some(template) = &about.url_template {
        span.set_attribute(attribute::URL_TEMPLATE, template.clone());
    }
    if about.resend_count > 0 {
        span.set_attribute(attribute::HTTP_REQUEST_RESEND_COUNT, i64::from(about.resend_count));
    }
    span
}

/// Records the response head on the span.
pub(crate) fn on_response(span: &Span, response: &Response) {
    let status = response.status();
    span.set_attribute(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
    if is_error(status) {
        span.set_attribute(attribute::ERROR_TYPE, status.as_u16().to_string());
        // A status code needs no description: it is an attribute of the span.
        span.set_status(Status::error(""));
    }
    if let Some(version) = protocol_version(response.version()) {
        span.set_attribute(attribute::NETWORK_PROTOCOL_VERSION, version);
    }
    if let Some(peer) = response.remote_addr() {
        span.set_attribute(attribute::NETWORK_PEER_ADDRESS, peer.ip().to_string());
        span.set_attribute(attribute::NETWORK_PEER_PORT, i64::from(peer.port()));
    }
}

/// Returns the HTTP version as named by the semantic conventions.
fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Records that no response was received, or only part of it.
pub(crate) fn on_error(span: &Span, error: &reqwest::Error) {
    span.set_attribute(attribute::ERROR_TYPE, error_type(error));
    span.set_status(Status::error(root_cause(error)));
}

/// Returns one of few error types, as the semantic conventions require. The causes are checked first, because the
/// request and body errors of reqwest are usually broken connections.
fn error_type(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_dns() {
        "dns"
    } else if error.is_connect() {
        "connect"
    } else if error.is_redirect() {
        "redirect"
    } else if error.is_body() {
        "body"
    } else if error.is_decode() {
        "decode"
    } else if error.is_request() {
        "request"
    } else {
        "_OTHER"
    }
}

/// Describes the innermost error. The outer errors contain the URL of the request with its credentials.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() { String::new() } else { cause.to_string() }
}
