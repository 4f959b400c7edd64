//! Files of telemetry, as OpenTelemetry's file exporters write them.
//!
//! JSON: one `TracesData` or `LogsData` object after the other, a line each ("OTLP file exporter"); any white space between and
//! within them is read. Protobuf: the same messages, each after its length in 4 bytes, most significant first, as the
//! OpenTelemetry Collector's file exporter does; a file that is one message without a length is read too.

use std::{
    io::{self, BufRead, Read as _},
    path::Path,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_otlp::Encoding;

/// How large one message may be: as large as the OTLP receiver takes.
const MAX_MESSAGE_BYTES: u32 = 64 << 20;
/// The first byte of a message without a length: field 1, length-delimited. As the first byte of a length it would be far
/// beyond the limit.
const FIELD_1: u8 = 0x0a;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// OTLP/JSON, one object a line
    Json,
    /// OTLP protobuf, each message after its length
    Protobuf,
}

impl Format {
    /// What the file's name says; JSON if it says nothing.
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

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Spans
    Traces,
    /// Log records
    Logs,
}

/// One message, and what it is about.
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

/// Calls `take` with each message of a file. In JSON, `kind` is what a message has to be, if it is given; in protobuf nothing
/// in a message says what it is, and it is traces if nothing is given.
pub(super) fn each(
    mut input: impl BufRead,
    format: Format,
    kind: Option<Kind>,
    mut take: impl FnMut(Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            for object in serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>() {
                let object = object.context("it is not JSON")?;
                let of = kind_of(&object)?;
                ensure!(kind.is_none_or(|kind| kind == of), "it has {of:?} in it, which was not asked for");
                take(Message { kind: of, body: object.get().as_bytes().to_vec() })?;
            }
            Ok(())
        }
        Format::Protobuf => {
            let kind = kind.unwrap_or(Kind::Traces);
            if input.fill_buf()?.first() == Some(&FIELD_1) {
                let mut body = Vec::new();
                input.take(u64::from(MAX_MESSAGE_BYTES) + 1).read_to_end(&mut body)?;
                ensure!(body.len() <= MAX_MESSAGE_BYTES as usize, "its message is larger than 64 MiB");
                return take(Message { kind, body });
            }
            while let Some(body) = message(&mut input)? {
                take(Message { kind, body })?;
            }
            Ok(())
        }
    }
}

/// The next message after its length; none at the end.
fn message(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(ends_early)?;
    let length = u32::from_be_bytes(length);
    ensure!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes is more than 64 MiB; is this OTLP protobuf?");
    let mut body = Vec::new();
    let read = input.take(length.into()).read_to_end(&mut body)?;
    if read < length as usize {
        return Err(ends_early(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(body))
}

fn ends_early(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => anyhow::anyhow!("it ends in the middle of a message"),
        _ => error.into(),
    }
}

/// The fields by which a message is told.
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
    let fields: Fields<'_> = serde_json::from_str(object.get()).context("something in it is not a JSON object")?;
    ensure!(fields.resource_metrics.is_none(), "metrics cannot be imported");
    match (fields.resource_spans, fields.resource_logs) {
        (_, None) => Ok(Kind::Traces),
        (None, Some(_)) => Ok(Kind::Logs),
        (Some(_), Some(_)) => anyhow::bail!("an object has both `resourceSpans` and `resourceLogs`"),
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
    fn json_is_read_in_lines_or_spread_over_them() {
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
    fn names_say_the_format() {
        assert_eq!(Format::of(Path::new("a.pb")), Format::Protobuf);
        for name in ["a.json", "a.jsonl", "a"] {
            assert_eq!(Format::of(Path::new(name)), Format::Json);
        }
    }
}
