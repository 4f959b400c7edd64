//! Whole bodies: `ExportTraceServiceRequest`, which is `TracesData` by another name.

use crate::{DecodeError, Encoding, Rejection, Span, json, protobuf};

/// How many spans one body may hold, good and bad together. The OpenTelemetry Collector sends 8192 at a time.
///
/// An empty span takes two bytes on the wire and a few hundred in memory, so a limit on bytes is not enough.
pub const MAX_SPANS: usize = 65_536;

/// What a body held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The spans that keep the rules, in the order of the body. Spans of one resource share it.
    pub spans: Vec<Span>,
    /// One entry for each span that does not.
    pub rejections: Vec<Rejection>,
}

impl Decoded {
    /// Takes one span or the reason why not.
    pub(crate) fn push(&mut self, span: Result<Span, Rejection>) -> Result<(), DecodeError> {
        if self.spans.len() + self.rejections.len() >= MAX_SPANS {
            return Err(DecodeError::TooManySpans);
        }
        match span {
            Ok(span) => self.spans.push(span),
            Err(rejection) => self.rejections.push(rejection),
        }
        Ok(())
    }
}

/// Reads a body of spans. An empty body holds none, in either encoding.
///
/// In JSON, ids are hexadecimal in either case, 64-bit integers are strings or numbers, enumerations are numbers
/// or the names of the `.proto` files, `null` is as good as absent, and unknown fields are ignored. Span ids that
/// break the rules reject their span alone; links that do are dropped and counted.
///
/// # Errors
/// The body is not OTLP in that encoding, nests deeper than 100 (protobuf) or 128 (JSON) levels, or holds more
/// than [`MAX_SPANS`] spans.
pub fn decode_traces(body: &[u8], encoding: Encoding) -> Result<Decoded, DecodeError> {
    match encoding {
        Encoding::Protobuf => protobuf::decode_traces(body),
        Encoding::Json => json::decode_traces(body),
    }
}

/// Writes spans as a body, grouped by resource and scope in the order in which these first appear.
#[must_use]
pub fn encode_traces(spans: &[Span], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => protobuf::encode_traces(spans),
        Encoding::Json => json::encode_traces(spans),
    }
}
