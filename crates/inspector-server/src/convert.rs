//! Conversion from the store's model to the bodies of the API.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use throughline_inspector_api::{
    Attribute, AttributeValue, Bands, Event, Link, LogRecord, Span, SpanKind, StatusCode, Trace, TraceSummary,
};
use throughline_otlp::{self as otlp, KeyValue, Value};
use throughline_store::Summary;

use crate::align::{Placed, align_logs, place};

pub(crate) fn trace(
    trace_id: throughline_context::TraceId,
    spans: &[otlp::Span],
    records: &[otlp::LogRecord],
) -> Trace {
    let placed = place(spans);
    let align_ns = align_logs(records, spans, &placed);
    let mut logs: Vec<LogRecord> =
        align_ns.into_iter().zip(records).map(|(align_ns, model)| log_record(model, align_ns)).collect();
    logs.sort_by_key(|record| i128::from(record.time_ns) + i128::from(record.align_ns));
    let mut spans: Vec<Span> = placed.into_iter().zip(spans).map(|(placed, model)| span(model, placed)).collect();
    spans.sort_by_key(|span| (i128::from(span.start_ns) + i128::from(span.align_ns), span.parent_span_id.is_some()));
    Trace { trace_id: trace_id.to_string(), spans, logs }
}

pub(crate) fn summary(summary: Summary) -> TraceSummary {
    TraceSummary {
        trace_id: summary.trace_id.to_string(),
        root_name: summary.root_name,
        root_service: summary.root_service,
        has_root: summary.has_root,
        start_ns: summary.start_ns,
        duration_ns: summary.duration_ns,
        span_count: u32::try_from(summary.span_count).unwrap_or(u32::MAX),
        error_count: u32::try_from(summary.error_count).unwrap_or(u32::MAX),
        services: summary.services,
        user: summary.user,
        bands: summary.bands.map(|bands| Bands {
            network_ms: bands.network_ms,
            uplink_ms: bands.uplink_ms,
            downlink_ms: bands.downlink_ms,
            error_ms: bands.error_ms,
            server_ms: bands.server_ms,
        }),
    }
}

fn span(span: &otlp::Span, placed: Placed) -> Span {
    Span {
        trace_id: span.trace_id.to_string(),
        span_id: span.span_id.to_string(),
        parent_span_id: span.parent_span_id.map(|id| id.to_string()),
        name: span.name.clone(),
        kind: match span.kind {
            otlp::SpanKind::Unspecified => SpanKind::Unspecified,
            otlp::SpanKind::Internal => SpanKind::Internal,
            otlp::SpanKind::Server => SpanKind::Server,
            otlp::SpanKind::Client => SpanKind::Client,
            otlp::SpanKind::Producer => SpanKind::Producer,
            otlp::SpanKind::Consumer => SpanKind::Consumer,
        },
        service: span.resource.service_name().to_owned(),
        start_ns: span.start_ns,
        duration_ns: span.end_ns.saturating_sub(span.start_ns),
        align_ns: placed.align_ns,
        status: match span.status.code {
            otlp::StatusCode::Unset => StatusCode::Unset,
            otlp::StatusCode::Ok => StatusCode::Ok,
            otlp::StatusCode::Error => StatusCode::Error,
        },
        status_message: span.status.message.clone(),
        attributes: attributes(&span.attributes),
        resource: attributes(&span.resource.attributes),
        scope: span.scope.name.clone(),
        events: span
            .events
            .iter()
            .map(|event| Event {
                time_ns: event.time_ns,
                name: event.name.clone(),
                attributes: attributes(&event.attributes),
            })
            .collect(),
        links: span
            .links
            .iter()
            .map(|link| Link {
                trace_id: link.trace_id.to_string(),
                span_id: link.span_id.to_string(),
                attributes: attributes(&link.attributes),
            })
            .collect(),
        warnings: placed.warnings,
    }
}

fn log_record(record: &otlp::LogRecord, align_ns: i64) -> LogRecord {
    LogRecord {
        time_ns: record.at_ns(),
        align_ns,
        span_id: record.span_id.map(|id| id.to_string()),
        service: record.service_name().to_owned(),
        severity: record.severity.number(),
        severity_text: record.severity_text.clone(),
        event_name: record.event_name.clone(),
        body: value(&record.body),
        attributes: attributes(&record.attributes),
    }
}

fn attributes(pairs: &[KeyValue]) -> Vec<Attribute> {
    pairs.iter().map(|pair| Attribute { key: pair.key.clone(), value: value(&pair.value) }).collect()
}

fn value(model: &Value) -> AttributeValue {
    match model {
        Value::Empty => AttributeValue::Empty,
        Value::String(text) => AttributeValue::String(text.clone()),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Int(number) => AttributeValue::Int(*number),
        Value::Double(number) => AttributeValue::Double(*number),
        Value::Bytes(bytes) => AttributeValue::Bytes(BASE64.encode(bytes)),
        Value::Array(values) => AttributeValue::Array(values.iter().map(value).collect()),
        Value::Map(pairs) => AttributeValue::Map(attributes(pairs)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throughline_context::{SpanId, TraceId, keys};
    use throughline_otlp::{LogRecord, Resource, Span, SpanKind};

    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn service(name: &str) -> Arc<Resource> {
        Arc::new(Resource { attributes: vec![KeyValue::new("service.name", name)], ..Resource::default() })
    }

    #[test]
    fn log_records_are_in_the_order_of_one_clock() {
        let trace_id = TraceId::from_bytes([7; 16]).unwrap();
        let id = |number| SpanId::from_bytes([number; 8]).unwrap();
        let base = 100 * HOUR_NS.unsigned_abs();
        let mut fetch = Span::new(trace_id, id(1), service("web"), Arc::default());
        (fetch.start_ns, fetch.end_ns) = (base, base + 1000);
        fetch.attributes = vec![KeyValue::new(keys::CLOCK_OFFSET_MS, HOUR_NS as f64 / 1e6)];
        let mut server = Span::new(trace_id, id(2), service("api"), Arc::default());
        (server.kind, server.parent_span_id) = (SpanKind::Server, Some(fetch.span_id));
        let record = |service_name, time_ns| {
            let mut record = LogRecord::new(service(service_name), Arc::default());
            record.observed_time_ns = time_ns;
            record
        };
        // The server's clock is an hour ahead.
        let records = [record("web", base + 900), record("api", base + HOUR_NS.unsigned_abs() + 500)];
        let logs = trace(trace_id, &[fetch, server], &records).logs;
        let seen: Vec<_> = logs.iter().map(|log| (log.service.as_str(), log.time_ns, log.align_ns)).collect();
        assert_eq!(seen, [("api", base + HOUR_NS.unsigned_abs() + 500, -HOUR_NS), ("web", base + 900, 0)]);
    }
}
