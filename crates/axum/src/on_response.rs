//! What the response says to the span, and the span to the response.

use http::{HeaderValue, Response, StatusCode};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry_semantic_conventions::attribute;
use throughline_timing::server_timing::{ServerTimes, TRACE_METRICS};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::future::InFlight;

const SERVER_TIMING: &str = "server-timing";
const TIMING_ALLOW_ORIGIN: &str = "timing-allow-origin";

pub(crate) fn on_response<B>(request: &InFlight, response: &mut Response<B>) {
    let span = &request.span;
    let status = response.status();
    span.set_attribute(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_attribute(attribute::ERROR_TYPE, status.as_u16().to_string());
        // No description: the code stands beside it.
        span.set_status(Status::error(""));
    }
    // Timing-Allow-Origin takes a list, but a proxy may not: one header for each.
    for origin in &request.settings.timing_allow_origins {
        response.headers_mut().append(TIMING_ALLOW_ORIGIN, origin.clone());
    }
    // The last thing before the head goes out: what comes later counts as network.
    if let Some(value) = server_timing(request) {
        response.headers_mut().append(SERVER_TIMING, value);
    }
}

/// The server's span and its times, for the browser.
fn server_timing(request: &InFlight) -> Option<HeaderValue> {
    let context = request.span.context();
    let span = context.span();
    let span = span.span_context();
    let times = ServerTimes {
        instance: request.settings.instance.clone(),
        received_ns: request.received.unix_ns,
        sent_ns: request.received.until_now_ns(),
        client_span: request.context.client_span.map(|id| id.to_string()),
    };
    let times = times.encode();
    if !span.is_valid() {
        return HeaderValue::from_str(&times).ok();
    }
    let traceparent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    let [first, second] = TRACE_METRICS;
    HeaderValue::from_str(&format!("{first};desc=\"{traceparent}\", {second};desc=\"{traceparent}\", {times}")).ok()
}

/// The handler gave no response at all.
pub(crate) fn on_error(span: &Span) {
    span.set_attribute(attribute::ERROR_TYPE, StatusCode::INTERNAL_SERVER_ERROR.as_u16().to_string());
    span.set_status(Status::error(""));
}

/// The client went away before the response began.
pub(crate) fn on_cancel(span: &Span) {
    if !span.is_none() {
        span.set_attribute(attribute::ERROR_TYPE, "cancelled");
        span.set_status(Status::error("the client went away before the response began"));
    }
}
