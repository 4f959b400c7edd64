//! The `Server-Timing` header: the server span of the response, and its times by the server's clock.

use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, HeaderValue};
use throughline_context::{SpanId, TraceParent};
use throughline_timing::server_timing::{TRACE_METRICS, encode_times};

use crate::layer::Settings;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// More than the longest value: two `traceparent`s, an instance of 64 bytes, two numbers of 20 digits and a span id.
const MAX_BYTES: usize = 384;

/// Appends the headers, so that the application's own metrics and origins are kept. `times` are the receipt of the
/// request and the response head, in Unix nanoseconds.
pub(crate) fn append(
    headers: &mut HeaderMap,
    settings: &Settings,
    span: Option<TraceParent>,
    client_span: Option<SpanId>,
    times: (i64, i64),
) {
    // Timing-Allow-Origin is a list, but not all proxies accept one: one header per origin.
    for origin in &settings.timing_allow_origins {
        headers.append(TIMING_ALLOW_ORIGIN, origin.clone());
    }
    let mut text = Text { bytes: [0; MAX_BYTES], length: 0 };
    write(&mut text, settings, span, client_span, times).expect("the buffer holds the longest value");
    let value = text.bytes.get(..text.length).expect("the length is within the buffer");
    headers.append(SERVER_TIMING, HeaderValue::from_bytes(value).expect("the value is printable ASCII"));
}

fn write(
    text: &mut Text,
    settings: &Settings,
    span: Option<TraceParent>,
    client_span: Option<SpanId>,
    times: (i64, i64),
) -> fmt::Result {
    if let Some(parent) = span {
        let parent = parent.to_bytes();
        for metric in TRACE_METRICS {
            for part in [metric.as_bytes(), b";desc=\"", &parent, b"\", "] {
                text.push(part)?;
            }
        }
    }
    text.write_str(&settings.instance)?;
    let client_span = client_span.map(SpanId::to_hex);
    let client_span = client_span.as_ref().map(|digits| std::str::from_utf8(digits).expect("hex digits are UTF-8"));
    let (received_ns, sent_ns) = times;
    encode_times(text, received_ns, sent_ns, client_span)
}

/// A fixed-capacity text buffer on the stack.
struct Text {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes())
    }
}
