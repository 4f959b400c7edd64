//! What is in a body that a tracer posted: OTLP as protobuf or JSON, or JSON with OTLP somewhere in it.

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

/// No honest body is larger, unpacked.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// The end of the path to which log records are posted, by OTLP.
const LOGS: &str = "/v1/logs";
/// Requests that are counted go to this path and a number.
pub(crate) const DATA: &str = "/data/";

/// What the benchmark wants to know of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its id, as it was sent.
    pub(crate) id: Vec<u8>,
    /// Its name.
    pub(crate) name: String,
    /// The number in its URL, if it is that of a request that is counted.
    pub(crate) item: Option<u64>,
}

/// The spans in `body`, which was posted to `path`. Bodies that hold none are no error; bodies that cannot be read are.
pub(crate) fn spans(path: &str, content_type: &str, content_encoding: &str, body: &[u8]) -> Result<Vec<Seen>> {
    let mut unpacked = Vec::new();
    let body = if content_encoding.eq_ignore_ascii_case("gzip") {
        GzDecoder::new(body).take(MOST_BYTES).read_to_end(&mut unpacked).context("gzip")?;
        &unpacked
    } else {
        body
    };
    if content_type.contains("protobuf") {
        // The two messages do not say which they are; the path does.
        if path.ends_with(LOGS) {
            ExportLogsServiceRequest::decode(body).context("this is no export request for logs")?;
            return Ok(Vec::new());
        }
        return of_protobuf(body);
    }
    let mut found = Vec::new();
    // Formats of their own are lines of JSON at best; what is none has no spans that could be counted.
    if let Ok(value) = serde_json::from_slice(body) {
        of_json(&value, &mut found);
    }
    Ok(found)
}

fn of_protobuf(body: &[u8]) -> Result<Vec<Seen>> {
    let request = ExportTraceServiceRequest::decode(body).context("this is no export request for traces")?;
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    Ok(scopes.flat_map(|scope| scope.spans).map(of_span).collect())
}

fn of_span(span: Span) -> Seen {
    let texts = span.attributes.iter().filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    });
    let item = texts.filter_map(|text| item(text)).next();
    Seen { id: span.span_id, name: span.name, item }
}

fn of_json(value: &Value, found: &mut Vec<Seen>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::Array(spans) if key == "spans" => found.extend(spans.iter().map(|span| Seen {
                        id: span["spanId"].as_str().unwrap_or("").as_bytes().to_vec(),
                        name: span["name"].as_str().unwrap_or("").to_owned(),
                        item: item(&span.to_string()),
                    })),
                    value => of_json(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| of_json(value, found)),
        _ => {}
    }
}

/// The number after the path of the requests that are counted.
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
    fn protobuf_and_json_say_the_same() {
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
        assert_eq!(seen, [Seen { id: vec![1; 8], name: "GET".to_owned(), item: Some(17) }]);

        let json = format!(
            r#"{{"traces":{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"spanId":"0101","name":"GET",
            "attributes":[{{"key":"url.full","value":{{"stringValue":"{url}"}}}}]}}]}}]}}]}}}}"#
        );
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(json.as_bytes()).unwrap();
        let seen = spans("/v1/traces", "application/json", "gzip", &packed.finish().unwrap()).unwrap();
        assert_eq!(seen, [Seen { id: b"0101".to_vec(), name: "GET".to_owned(), item: Some(17) }]);
    }

    #[test]
    fn log_records_are_read_as_what_they_are() {
        let record =
            LogRecord { severity_text: "INFO".to_owned(), event_name: "exception".to_owned(), ..LogRecord::default() };
        let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
        let body = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
        assert!(spans("/telemetry/v1/logs", "application/x-protobuf", "", &body).unwrap().is_empty());
        assert!(spans("/telemetry/v1/logs", "application/x-protobuf", "", b"\xff\xff").is_err());
    }

    #[test]
    fn what_is_no_telemetry_has_no_spans() {
        assert!(spans("/collect", "text/plain", "", b"{}\n{}").unwrap().is_empty());
        assert!(spans("/v1/traces", "application/x-protobuf", "", b"\xff\xff").is_err());
        assert_eq!(item("http://x/data/"), None);
    }
}
