//! Whole bodies: `ExportTraceServiceRequest`, `ExportLogsServiceRequest` and `ExportMetricsServiceRequest`, which are
//! `TracesData`, `LogsData` and `MetricsData` by other names.

use crate::{DecodeError, Encoding, LogRecord, Record, Rejection, Span, json, protobuf};

/// How many spans, log records or data points one body may hold, good and bad together. The OpenTelemetry Collector
/// sends 8192 at a time.
///
/// An empty span takes two bytes on the wire and a few hundred in memory, so a limit on bytes is not enough.
pub const MAX_RECORDS: usize = 65_536;

/// What a body held.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded<R> {
    /// Those that keep the rules, in the order of the body. Those of one resource share it.
    pub records: Vec<R>,
    /// One entry for each that does not.
    pub rejections: Vec<Rejection>,
}

impl<R> Default for Decoded<R> {
    fn default() -> Self {
        Self { records: Vec::new(), rejections: Vec::new() }
    }
}

impl<R: Record> Decoded<R> {
    /// Takes one record or the reason why not.
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

/// Reads a body of spans, of log records or of data points. An empty body holds none, in either encoding.
///
/// In JSON, ids are hexadecimal in either case, 64-bit integers are strings or numbers, enumerations are numbers
/// or the names of the `.proto` files, `null` is as good as absent, and unknown fields are ignored. Ids that break the
/// rules reject their record alone; links that do are dropped and counted.
///
/// # Errors
/// The body is not OTLP in that encoding, nests deeper than 100 (protobuf) or 128 (JSON) levels, or holds more
/// than [`MAX_RECORDS`] records.
pub fn decode<R: Record>(body: &[u8], encoding: Encoding) -> Result<Decoded<R>, DecodeError> {
    match encoding {
        Encoding::Protobuf => protobuf::decode(body),
        Encoding::Json => json::decode(body),
    }
}

/// Writes a body, grouped by resource and scope in the order in which these first appear.
#[must_use]
pub fn encode<R: Record>(records: &[R], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => protobuf::encode(records),
        Encoding::Json => json::encode(records),
    }
}

/// [`decode`] for spans.
///
/// # Errors
/// As [`decode`].
pub fn decode_traces(body: &[u8], encoding: Encoding) -> Result<Decoded<Span>, DecodeError> {
    decode(body, encoding)
}

/// [`encode`] for spans.
#[must_use]
pub fn encode_traces(spans: &[Span], encoding: Encoding) -> Vec<u8> {
    encode(spans, encoding)
}

/// [`decode`] for log records.
///
/// # Errors
/// As [`decode`].
pub fn decode_logs(body: &[u8], encoding: Encoding) -> Result<Decoded<LogRecord>, DecodeError> {
    decode(body, encoding)
}

/// [`encode`] for log records.
#[must_use]
pub fn encode_logs(records: &[LogRecord], encoding: Encoding) -> Vec<u8> {
    encode(records, encoding)
}
