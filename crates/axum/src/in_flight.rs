//! [`InFlight`]: a traced request, from its receipt to the last byte of its response.

use std::{any::Any, sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, header, request, response};
use opentelemetry::{KeyValue, StringValue, trace::Status};
use opentelemetry_semantic_conventions::attribute;
use throughline_context::{SpanId, keys};

use crate::{
    description::{describe, origin},
    layer::Settings,
    metrics::{Labels, Outcome},
    policy::panic_message,
    received::Received,
    server_timing,
    span::{Beginning, ServerSpan},
};

const CANCELLED: &str = "cancelled";
const PANIC: &str = "panic";

/// The way in which a request ended.
pub(crate) enum End {
    /// The last byte was handed to the server.
    Complete,
    /// The client disconnected.
    Cancelled,
    /// The service or the body returned an error of this type.
    Failed(&'static str),
    /// A handler or a body panicked.
    Panicked,
}

/// A traced request. If it is dropped before it has ended, the request counts as cancelled.
pub(crate) struct InFlight {
    pub(crate) span: ServerSpan,
    pub(crate) settings: Arc<Settings>,
    received: Received,
    client_span: Option<SpanId>,
    labels: Labels,
    request_bytes: Option<u64>,
    response_bytes: u64,
    status: Option<StatusCode>,
    /// Time from the receipt of the request to the response head.
    first_byte: Duration,
    error: Option<StringValue>,
    /// The response is complete after this number of bytes, whether or not the body reports its end.
    expected_bytes: Option<u64>,
    is_head: bool,
    /// An event stream ends only when the client disconnects.
    is_event_stream: bool,
    is_over: bool,
}

impl InFlight {
    pub(crate) fn begin(
        request: &request::Parts,
        request_bytes: Option<u64>,
        received: Received,
        settings: &Arc<Settings>,
    ) -> Self {
        let description = describe(request, settings);
        let (origin, client_span) = origin(request, settings);
        let mut attributes = description.attributes;
        // No size is recorded for a request without a body.
        let has_body = || request.method != Method::GET && request.headers.contains_key(header::CONTENT_LENGTH);
        let request_bytes = request_bytes.filter(|bytes| *bytes > 0 || has_body());
        if let Some(bytes) = request_bytes {
            attributes.push(KeyValue::new(attribute::HTTP_REQUEST_BODY_SIZE, number(bytes)));
        }
        let span = settings.start.start(Beginning { name: description.name, start: received.wall, attributes, origin });
        settings.metrics().begin(&description.labels);
        Self {
            span,
            settings: Arc::clone(settings),
            received,
            client_span,
            labels: description.labels,
            request_bytes,
            response_bytes: 0,
            status: None,
            first_byte: Duration::ZERO,
            error: None,
            expected_bytes: None,
            is_head: request.method == Method::HEAD,
            is_event_stream: false,
            is_over: false,
        }
    }

    /// Records the response head on the span, and adds the `Server-Timing` header to it. `body_bytes` is the exact size
    /// of the body, if it is known.
    pub(crate) fn respond(&mut self, response: &mut response::Parts, body_bytes: Option<u64>) {
        let status = response.status;
        self.status = Some(status);
        self.expected_bytes = match (self.is_head || is_bodiless(status), body_bytes) {
            (true, _) => Some(0),
            (false, Some(bytes)) => Some(bytes),
            (false, None) => {
                let header = |name| response.headers.get(name).map(HeaderValue::as_bytes);
                let content_type = header(header::CONTENT_TYPE);
                self.is_event_stream = content_type.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
                let length = header(header::CONTENT_LENGTH).and_then(|length| std::str::from_utf8(length).ok());
                length.and_then(|length| length.parse().ok())
            }
        };

        let span = self.span.get();
        if status.is_server_error() {
            self.error.get_or_insert_with(|| status.as_u16().to_string().into());
        }
        if !self.settings.response_headers.is_empty() {
            let mut recorded = Vec::new();
            self.settings.response_headers.record(&response.headers, &mut recorded);
            span.set_attributes(recorded);
        }
        self.settings.on_response.on_response(response, &span);
        let parent = self.span.trace_parent();
        // As late as possible: later time counts as network time.
        self.first_byte = self.received.elapsed();
        let times = (self.received.unix_ns(), self.received.unix_ns_after(self.first_byte));
        server_timing::append(&mut response.headers, &self.settings, parent, self.client_span, times);
    }

    /// Records a panic of a handler or a body.
    pub(crate) fn record_panic(&mut self, payload: &(dyn Any + Send)) {
        exception(&self.span.get(), PANIC, panic_message(payload));
        self.error = Some(PANIC.into());
    }

    /// Adds to the number of bytes sent to the client.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.response_bytes = self.response_bytes.saturating_add(bytes);
    }

    /// Adds to the number of bytes received from the client after an upgrade.
    #[cfg(feature = "upgrades")]
    pub(crate) fn received(&mut self, bytes: u64) {
        // Still unset for a request without a body.
        let before = self.request_bytes.unwrap_or(0);
        self.request_bytes = Some(before.saturating_add(bytes));
    }

    /// Returns whether all announced bytes of the response have been sent.
    pub(crate) fn is_complete(&self) -> bool {
        self.expected_bytes.is_some_and(|expected| self.response_bytes >= expected)
    }

    /// Ends the span and records the metrics.
    pub(crate) fn end(mut self, end: &End) {
        self.finish(end);
    }

    fn finish(&mut self, end: &End) {
        self.is_over = true;
        let span = self.span.get();
        let (error, description) = match end {
            End::Complete => (None, ""),
            End::Cancelled => (Some(CANCELLED), "the client disconnected before the response was complete"),
            End::Failed(kind) => (Some(*kind), ""),
            End::Panicked => (Some(PANIC), ""),
        };
        let is_server_error = self.status.is_some_and(|status| status.is_server_error());
        if error.is_some() || is_server_error {
            // A status code needs no description: it is an attribute of the span.
            span.set_status(Status::error(description));
        }
        if let Some(error) = error {
            // The first error is the cause.
            self.error.get_or_insert_with(|| error.into());
        }
        if let Some(status) = self.status {
            // Together, because each call takes the span's lock.
            span.set_attributes([
                KeyValue::new(attribute::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())),
                KeyValue::new(keys::SERVER_FIRST_BYTE_MS, self.first_byte.as_secs_f64() * 1_000.0),
                KeyValue::new(attribute::HTTP_RESPONSE_BODY_SIZE, number(self.response_bytes)),
            ]);
        }
        if let Some(error) = &self.error {
            span.set_attribute(KeyValue::new(attribute::ERROR_TYPE, error.clone()));
        }
        let duration = self.received.elapsed();
        self.span.end(self.received.wall.checked_add(duration).unwrap_or(self.received.wall));
        let outcome = Outcome {
            duration,
            status: self.status,
            error: self.error.take(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        };
        self.settings.metrics().end(&self.labels, &outcome);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let end = if std::thread::panicking() {
            End::Panicked
        } else if self.is_complete() || (self.is_event_stream && self.status.is_some()) {
            End::Complete
        } else {
            End::Cancelled
        };
        self.finish(&end);
    }
}

/// Records an exception as an event, as the semantic conventions define it.
pub(crate) fn exception(span: &opentelemetry::trace::SpanRef<'_>, kind: &'static str, message: &str) {
    let attributes = vec![
        KeyValue::new(attribute::EXCEPTION_TYPE, kind),
        KeyValue::new(attribute::EXCEPTION_MESSAGE, message.to_owned()),
    ];
    span.add_event("exception", attributes);
}

/// Returns whether a response with this status has no body (RFC 9110 §6.4.1).
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
