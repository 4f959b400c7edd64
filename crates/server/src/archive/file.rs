//! OTLP files, in the formats of OpenTelemetry's file exporters.
//!
//! JSON: one `TracesData` or `LogsData` object per line ("OTLP file exporter"); the reader accepts any white space between and within
//! objects. Protobuf: the same messages, each after its length in 4 bytes (big-endian), as written by the OpenTelemetry Collector's
//! file exporter; the reader also accepts a file with a single message and no length.

use std::{
    io::{self, BufRead, Read as _},
    path::Path,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_otlp::Encoding;

/// The maximum size of a message, which is also the limit of the OTLP receiver.
const MAX_MESSAGE_BYTES: u32 = 64 << 20;
/// The first byte of a message without a length: field 1, length-delimited. A length that starts with this byte is above the limit.
const FIELD_1: u8 = 0x0a;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// OTLP/JSON, one object per line
    Json,
    /// OTLP protobuf, each message after its length
    Protobuf,
}

impl Format {
    /// Returns the format for the extension of a file name; JSON for unknown extensions.
    pub(super) fn of(file: &Path) -> Self {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("pb" | "binpb" | "protobuf" | "proto" | "bin") => Self::Protobuf,
            _ => Self::Json,
        }
    }

    pub(super) const fn encoding(self) -> Encoding {
        match self {
            Self::Json => Encoding::Json,
            Self::Protobuf => Encoding::Protobuf,
        }
    }
}

/// The signal of the records in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Spans
    Traces,
    /// Log records
    Logs,
}

/// A message and its signal.
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

/// Calls `take` with each message of a file.
///
/// In JSON, the signal is detected, and a message whose signal differs from `kind` is an error. Protobuf messages do not name their
/// signal: it is `kind`, or traces for `None`.
pub(super) fn each(
    mut input: impl BufRead,
    format: Format,
    kind: Option<Kind>,
    mut take: impl FnMut(Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            for object in serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>() {
                let object = object.context("the file is not valid JSON")?;
                let found = kind_of(&object)?;
                ensure!(
                    kind.is_none_or(|kind| kind == found),
                    "the file has records of the signal {found:?}; omit --signal to detect it"
                );
                take(Message { kind: found, body: object.get().as_bytes().to_vec() })?;
            }
            Ok(())
        }
        Format::Protobuf => {
            let kind = kind.unwrap_or(Kind::Traces);
            if input.fill_buf()?.first() == Some(&FIELD_1) {
                let mut body = Vec::new();
                input.take(u64::from(MAX_MESSAGE_BYTES) + 1).read_to_end(&mut body)?;
                ensure!(body.len() <= MAX_MESSAGE_BYTES as usize, "the message is larger than 64 MiB");
                return take(Message { kind, body });
            }
            while let Some(body) = message(&mut input)? {
                take(Message { kind, body })?;
            }
            Ok(())
        }
    }
}

/// Reads the next length and message. Returns `None` at the end of the file.
fn message(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(ends_early)?;
    let length = u32::from_be_bytes(length);
    ensure!(
        length <= MAX_MESSAGE_BYTES,
        "a message of {length} bytes is larger than 64 MiB; is the file OTLP protobuf?"
    );
    let mut body = Vec::new();
    let read = input.take(length.into()).read_to_end(&mut body)?;
    if read < length as usize {
        return Err(ends_early(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(body))
}

fn ends_early(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => anyhow::anyhow!("the file ends in the middle of a message"),
        _ => error.into(),
    }
}

/// The fields that identify the signal of a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    resource_spans: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_logs: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_metrics: Option<&'a RawValue>,
}

fn kind_of(object: &RawValue) -> anyhow::Result<Kind> {
    let fields: Fields<'_> =
        serde_json::from_str(object.get()).context("the file has a value that is not a JSON object")?;
    ensure!(
        fields.resource_metrics.is_none(),
        "metrics cannot be imported; expected `resourceSpans` or `resourceLogs`"
    );
    match (fields.resource_spans, fields.resource_logs) {
        (_, None) => Ok(Kind::Traces),
        (None, Some(_)) => Ok(Kind::Logs),
        (Some(_), Some(_)) => {
            anyhow::bail!("an object has both `resourceSpans` and `resourceLogs`, expected one of them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], format: Format, kind: Option<Kind>) -> anyhow::Result<Vec<(Kind, Vec<u8>)>> {
        let mut messages = Vec::new();
        each(bytes, format, kind, |message| {
            messages.push((message.kind, message.body));
            Ok(())
        })?;
        Ok(messages)
    }

    #[test]
    fn json_objects_may_span_lines() {
        let text = b"{\"resourceSpans\":[]}\n\n{\n  \"resourceLogs\": []\n}{}";
        let kinds: Vec<Kind> = read(text, Format::Json, None).unwrap().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Traces, Kind::Logs, Kind::Traces]);
        assert!(read(text, Format::Json, Some(Kind::Logs)).is_err());
        for bad in
            [&b"{"[..], b"[]", b"nonsense", b"{\"resourceMetrics\":[]}", b"{\"resourceSpans\":[],\"resourceLogs\":[]}"]
        {
            assert!(read(bad, Format::Json, None).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn protobuf_is_read_with_lengths_or_as_one_message() {
        let messages = read(b"\0\0\0\x02\x0a\0\0\0\0\0", Format::Protobuf, Some(Kind::Logs)).unwrap();
        assert_eq!(messages, [(Kind::Logs, b"\x0a\0".to_vec()), (Kind::Logs, vec![])]);
        assert_eq!(read(b"\x0a\0", Format::Protobuf, None).unwrap(), [(Kind::Traces, b"\x0a\0".to_vec())]);
        assert_eq!(read(b"", Format::Protobuf, None).unwrap(), []);
        for bad in [&b"\0\0"[..], b"\0\0\0\x05abc", b"\xff\xff\xff\xff"] {
            assert!(read(bad, Format::Protobuf, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_format_follows_from_the_extension() {
        assert_eq!(Format::of(Path::new("a.pb")), Format::Protobuf);
        for name in ["a.json", "a.jsonl", "a"] {
            assert_eq!(Format::of(Path::new(name)), Format::Json);
        }
    }
}
