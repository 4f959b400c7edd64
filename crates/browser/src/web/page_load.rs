//! The load of the document, joined with the server in the order in which things happen: the page is the root.

use std::rc::Rc;

use throughline_context::{SpanId, TraceFlags, TraceParent};
use throughline_timing::server_timing::TRACE_METRICS;
use web_sys::PerformanceResourceTiming;

use super::{Tracer, finish::finish_document, new_span_id, new_trace_id, observer::Entry, platform, scope::RootScope};
use crate::span::{Attributes, Kind, SpanContext, SpanData};

/// The metric with which the page's ticket comes.
const TICKET_METRIC: &str = "ticket";

/// Begins the span of the page load at the page's time origin.
///
/// The server made up the id of the span that asked for the document, and says so on `Server-Timing`: `documentFetch` takes
/// that id, so that the server's span is its child. `documentLoad` is the root above it.
pub(super) fn start(tracer: &Rc<Tracer>) {
    let Some(mut entry) = navigation_entry(tracer) else { return };
    if entry.is_from_cache() {
        // What the server said, it said to an earlier page.
        entry.forget_server();
    }
    if let Some(ticket) = entry.metric(TICKET_METRIC) {
        tracer.delivery.page_ticket(tracer, ticket);
    }
    if !tracer.config.page_load {
        return;
    }
    let server = TRACE_METRICS.iter().find_map(|metric| TraceParent::parse(entry.metric(metric)?.as_bytes()).ok());
    let fetch_id = entry.server.as_ref().and_then(|server| server.client_span.as_ref()?.parse::<SpanId>().ok());
    let (trace_id, fetch_id, flags) = match (server, fetch_id) {
        (Some(server), Some(fetch_id)) => (server.trace_id, fetch_id, server.flags),
        _ => (new_trace_id(), new_span_id(), TraceFlags::SAMPLED | TraceFlags::RANDOM),
    };
    let root = SpanContext { trace_id, span_id: new_span_id(), flags };
    let at = |page_ms| tracer.clock.unix_ns(page_ms);
    let load = SpanData {
        context: root,
        parent: None,
        name: "documentLoad".into(),
        kind: Kind::Internal,
        start_ns: at(0.0),
        end_ns: at(0.0),
        attributes: Attributes::default(),
        events: Vec::new(),
        error: false,
    };
    let fetch = SpanData {
        context: SpanContext { trace_id, span_id: fetch_id, flags },
        parent: Some(root.span_id),
        name: "documentFetch".into(),
        kind: Kind::Client,
        start_ns: at(entry.start_ms),
        end_ns: at(entry.end_ms()),
        attributes: Attributes::default(),
        events: Vec::new(),
        error: false,
    };
    RootScope::start(tracer, load, true);
    finish_document(tracer, fetch, &entry);
}

fn navigation_entry(tracer: &Tracer) -> Option<Entry> {
    let entry = tracer.clock.performance().get_entries_by_type("navigation").get(0);
    wasm_bindgen::JsCast::dyn_ref::<PerformanceResourceTiming>(&entry).map(Entry::read)
}

/// What happened while the document loaded, in page milliseconds.
pub(super) fn milestones(tracer: &Tracer) -> Vec<(&'static str, f64)> {
    let entry = tracer.clock.performance().get_entries_by_type("navigation").get(0);
    ["domInteractive", "domContentLoadedEventEnd", "domComplete", "loadEventEnd"]
        .into_iter()
        .filter_map(|name| Some((name, platform::number(&entry, name).filter(|page_ms| *page_ms > 0.0)?)))
        .collect()
}
