//! Request bodies: `ExportTraceServiceRequest`, `ExportLogsServiceRequest` and `ExportMetricsServiceRequest`, which are
//! encoded like `TracesData`, `LogsData` and `MetricsData`.

use crate::{DecodeError, Encoding, LogRecord, Record, Rejection, Span, json, protobuf};

/// The maximum number of spans, log records or data points in one body, valid and invalid ones together. The
/// OpenTelemetry Collector sends 8192 at a time.
///
/// A limit on bytes is not enough, since an empty span is two bytes on the wire and a few hundred in memory.
pub const MAX_RECORDS: usize = 65_536;

/// The decoded records of a body.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded<R> {
    /// The valid records, in the order of the body. Records of one resource share it.
    pub records: Vec<R>,
    /// One entry for each invalid record.
    pub rejections: Vec<Rejection>,
}

impl<R> Default for Decoded<R> {
    fn default() -> Self {
        Self { records: Vec::new(), rejections: Vec::new() }
    }
}

impl<R: Record> Decoded<R> {
    /// Adds a record or a rejection; fails above [`MAX_RECORDS`].
    pub(crate) fn push(&mut self, record: Result<R, Rejection>) -> Result<(), DecodeError> {
        if self.records.len() + self.rejections.len() >= MAX_RECORDS {
            return Err(DecodeError::TooMany(R::SIGNAL));
        }
        match record {
            Ok(record) => self.records.push(record),
            Err(rejection) => self.rejections.push(rejection),
        }
        Ok(())
    }
}

/// Decodes a body of spans, log records or data points. An empty body has no records, in either encoding.
///
/// In JSON, ids are hexadecimal in either case, 64-bit integers are strings or numbers, enumerations are numbers or the
/// names of the `.proto` files, `null` means absent, and unknown fields are ignored. An invalid id rejects its record
/// only; links with invalid ids are dropped and counted.
///
/// # Errors
/// Returns an error if the body is not OTLP in this encoding, nests deeper than 100 (protobuf) or 128 (JSON) levels, or
/// holds more than [`MAX_RECORDS`] records.
pub fn decode<R: Record>(body: &[u8], encoding: Encoding) -> Result<Decoded<R>, DecodeError> {
    match encoding {
        Encoding::Protobuf => protobuf::decode(body),
        Encoding::Json => json::decode(body),
    }
}

/// Encodes records as a body, grouped by resource and scope in the order of their first appearance.
#[must_use]
pub fn encode<R: Record>(records: &[R], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => protobuf::encode(records),
        Encoding::Json => json::encode(records),
    }
}

/// Decodes a body of spans; see [`decode`].
///
/// # Errors
/// The same as for [`decode`].
pub fn decode_traces(body: &[u8], encoding: Encoding) -> Result<Decoded<Span>, DecodeError> {
    decode(body, encoding)
}

/// Encodes spans as a body; see [`encode`].
#[must_use]
pub fn encode_traces(spans: &[Span], encoding: Encoding) -> Vec<u8> {
    encode(spans, encoding)
}

/// Decodes a body of log records; see [`decode`].
///
/// # Errors
/// The same as for [`decode`].
pub fn decode_logs(body: &[u8], encoding: Encoding) -> Result<Decoded<LogRecord>, DecodeError> {
    decode(body, encoding)
}

/// Encodes log records as a body; see [`encode`].
#[must_use]
pub fn encode_logs(records: &[LogRecord], encoding: Encoding) -> Vec<u8> {
    encode(records, encoding)
}
