//! Encodes and decodes spans as OTLP: `cargo run -p throughline-otlp --example encode_and_decode`.

use std::{error::Error, sync::Arc};

use throughline_context::{SpanId, TraceId};
use throughline_otlp::{
    Encoding, KeyValue, Resource, Scope, Signal, Span, SpanKind, decode_traces, encode_response, encode_traces,
};

/// A body with two spans. The second one has a trace id that is too short.
const BODY: &[u8] = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"GET /"},
    {"traceId":"5B8E","spanId":"EEE19B7EC3C1B175","name":"GET /favicon.ico"}
]}]}]}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "shop")], ..Resource::default() };
    let trace_id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let span_id: SpanId = "00f067aa0ba902b7".parse()?;
    let mut span = Span::new(trace_id, span_id, Arc::new(resource), Arc::new(Scope::default()));
    span.name = "GET /orders/{id}".to_owned();
    span.kind = SpanKind::Server;
    span.start_ns = 1_700_000_000_000_000_000;
    span.end_ns = span.start_ns + 12_000_000;
    span.attributes = vec![KeyValue::new("http.response.status_code", 200_i64)];

    let spans = vec![span];
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let body = encode_traces(&spans, encoding);
        let decoded = decode_traces(&body, encoding)?;
        let is_same = decoded.records == spans;
        println!("{}: {} bytes, the same span after decoding: {is_same}", encoding.content_type(), body.len());
    }

    // An invalid record is rejected; all others of the body are kept.
    let decoded = decode_traces(BODY, Encoding::Json)?;
    for span in &decoded.records {
        println!("decoded: {} of {}", span.name, span.service_name());
    }
    for rejection in &decoded.rejections {
        println!("rejected: {rejection}");
    }
    let response = encode_response(Signal::Traces, &decoded.rejections, Encoding::Json);
    println!("response: {}", String::from_utf8(response)?);

    // A body that is not OTLP is an error.
    if let Err(error) = decode_traces(b"not OTLP", Encoding::Json) {
        println!("error: {error}");
    }
    Ok(())
}
