//! Decodes the bodies that tracers post: OTLP as protobuf or JSON, or JSON that contains OTLP.

use std::io::Read as _;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::any_value,
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::Value;

/// The limit of a decompressed body.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;
/// The end of the path of log records in OTLP.
const LOGS: &str = "/v1/logs";
/// The path of counted requests, followed by a number.
pub(crate) const DATA: &str = "/data/";

/// The fields of a span that the benchmark uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenSpan {
    /// Its id, as sent.
    pub(crate) id: Vec<u8>,
    /// Its name.
    pub(crate) name: String,
    /// The number in its URL, if it is a counted request.
    pub(crate) item: Option<u64>,
}

/// Returns the spans in `body`, which was posted to `path`. A body without spans is not an error; a body that cannot be
/// decoded is.
pub(crate) fn spans(path: &str, content_type: &str, content_encoding: &str, body: &[u8]) -> Result<Vec<SeenSpan>> {
    let mut unpacked = Vec::new();
    let body = if content_encoding.eq_ignore_ascii_case("gzip") {
        GzDecoder::new(body).take(MAX_BODY_BYTES).read_to_end(&mut unpacked).context("the body is not valid gzip")?;
        &unpacked
    } else {
        body
    };
    if content_type.contains("protobuf") {
        // The messages have no type; the path determines it.
        if path.ends_with(LOGS) {
            ExportLogsServiceRequest::decode(body).context("the body is not an export request for logs")?;
            return Ok(Vec::new());
        }
        return from_protobuf(body);
    }
    let mut found = Vec::new();
    // Proprietary formats are lines of JSON at best; other bodies contain no spans that could be counted.
    if let Ok(value) = serde_json::from_slice(body) {
        from_json(&value, &mut found);
    }
    Ok(found)
}

fn from_protobuf(body: &[u8]) -> Result<Vec<SeenSpan>> {
    let request = ExportTraceServiceRequest::decode(body).context("the body is not an export request for traces")?;
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    Ok(scopes.flat_map(|scope| scope.spans).map(seen_span).collect())
}

fn seen_span(span: Span) -> SeenSpan {
    let texts = span.attributes.iter().filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    });
    let item = texts.filter_map(|text| item(text)).next();
    SeenSpan { id: span.span_id, name: span.name, item }
}

fn from_json(value: &Value, found: &mut Vec<SeenSpan>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::Array(spans) if key == "spans" => found.extend(spans.iter().map(|span| SeenSpan {
                        id: span["spanId"].as_str().unwrap_or("").as_bytes().to_vec(),
                        name: span["name"].as_str().unwrap_or("").to_owned(),
                        item: item(&span.to_string()),
                    })),
                    value => from_json(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| from_json(value, found)),
        _ => {}
    }
}

/// Returns the number after the path of counted requests.
pub(crate) fn item(text: &str) -> Option<u64> {
    let (_, after) = text.split_once(DATA)?;
    let end = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use opentelemetry_proto::tonic::{
        common::v1::{AnyValue, KeyValue},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        trace::v1::{ResourceSpans, ScopeSpans},
    };
    use std::io::Write as _;

    #[test]
    fn protobuf_and_json_contain_the_same_spans() {
        let url = "http://127.0.0.1:1/data/17?x=1";
        let attribute = KeyValue {
            key: "url.full".to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue(url.to_owned())) }),
            ..KeyValue::default()
        };
        let span = Span { span_id: vec![1; 8], name: "GET".to_owned(), attributes: vec![attribute], ..Span::default() };
        let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
        let body = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
        let seen = spans("/v1/traces", "application/x-protobuf", "", &body).unwrap();
        assert_eq!(seen, [SeenSpan { id: vec![1; 8], name: "GET".to_owned(), item: Some(17) }]);

        let json = format!(
            r#"{{"traces":{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"spanId":"0101","name":"GET",
            "attributes":[{{"key":"url.full","value":{{"stringValue":"{url}"}}}}]}}]}}]}}]}}}}"#
        );
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(json.as_bytes()).unwrap();
        let seen = spans("/v1/traces", "application/json", "gzip", &packed.finish().unwrap()).unwrap();
        assert_eq!(seen, [SeenSpan { id: b"0101".to_vec(), name: "GET".to_owned(), item: Some(17) }]);
    }

    #[test]
    fn log_records_are_not_counted_as_spans() {
        let record =
            LogRecord { severity_text: "INFO".to_owned(), event_name: "exception".to_owned(), ..LogRecord::default() };
        let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
        let body = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
        assert!(spans("/telemetry/v1/logs", "application/x-protobuf", "", &body).unwrap().is_empty());
        assert!(spans("/telemetry/v1/logs", "application/x-protobuf", "", b"\xff\xff").is_err());
    }

    #[test]
    fn other_bodies_have_no_spans() {
        assert!(spans("/collect", "text/plain", "", b"{}\n{}").unwrap().is_empty());
        assert!(spans("/v1/traces", "application/x-protobuf", "", b"\xff\xff").is_err());
        assert_eq!(item("http://x/data/"), None);
    }
}
