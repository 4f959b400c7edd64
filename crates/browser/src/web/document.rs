//! The load of the document, joined with the server in the order in which things happen: the page is the root.

use std::rc::Rc;

use throughline_context::{SpanId, TraceFlags, TraceParent};
use throughline_timing::server_timing::TRACE_METRICS;
use wasm_bindgen::JsValue;

use super::{
    Tracer, finish,
    js::{self, Name, Tag},
    observer::Entry,
    platform,
    scope::{Root, RootScope},
    sender, vitals,
};
use crate::{
    attributes::Attributes,
    delivery::Ticket,
    record::{Kind, Span, SpanContext},
    session,
};

/// The metric with which the page's ticket comes.
const TICKET_METRIC: &str = "ticket";
/// An application that does not say when it is ready is taken to be so after this, milliseconds.
const READY_MS: f64 = 5_000.0;

pub(super) fn navigation_entry() -> Option<Entry> {
    let performance = js::get(&js::window(), Name::Performance);
    let entries = js::call(&performance, Name::GetEntriesByType, &[&"navigation".into()]).ok()?;
    let entry = js::items(&entries).next()?;
    Some(Entry::read(&entry))
}

/// The ticket that came with the page: `v1.<expiry>.<session>.<mac>`. One from a cache was somebody's once.
pub(super) fn page_ticket(entry: &Entry) -> Option<Ticket> {
    if entry.is_from_cache() {
        return None;
    }
    let text = entry.metric(TICKET_METRIC)?;
    let mut parts = text.split('.').skip(1);
    let expires_s = parts.next()?.parse::<u32>().ok()?;
    let session = parts.next().filter(|id| session::is_id(id))?;
    Some(Ticket { session: Rc::from(session), expires_ms: f64::from(expires_s) * 1_000.0, text })
}

/// Begins the span of the page load at the page's time origin.
///
/// The server made up the id of the span that asked for the document, and says so on `Server-Timing`: `documentFetch` takes
/// that id, so that the server's span is its child. `documentLoad` is the root above it.
pub(super) fn start(tracer: &Rc<Tracer>, entry: Option<Entry>) {
    let ignored = tracer.config.ignore_page.is_some_and(|ignores| ignores(&tracer.address.borrow()));
    if !tracer.config.page_load || ignored {
        return;
    }
    if js::get(&tracer.document, Name::Prerendering).is_truthy() {
        // Nobody sees it yet, and perhaps nobody ever will.
        js::listen(&tracer.document, "prerenderingchange", Tag::Activated);
        return;
    }
    let Some(mut entry) = entry else { return };
    if entry.is_from_cache() {
        // What the server said, it said to an earlier page.
        entry.server = None;
    }
    let said = entry.server.as_ref().and_then(|_| {
        TRACE_METRICS.iter().find_map(|metric| TraceParent::parse(entry.metric(metric)?.as_bytes()).ok())
    });
    let fetch_id = entry.server.as_ref().and_then(|server| server.client_span.as_ref()?.parse::<SpanId>().ok());
    let (trace_id, fetch_id, flags) = match (said, fetch_id) {
        // Whether it is recorded was decided where it began: at the server.
        (Some(server), Some(fetch_id)) => (server.trace_id, fetch_id, server.flags),
        _ => {
            let flags = TraceFlags::RANDOM.with_sampled(tracer.sampled.get());
            (tracer.ids.trace_id(), tracer.ids.span_id(), flags)
        }
    };
    // A page that was loaded before anybody looked at it begins when somebody does.
    let shown_ms = js::number(&entry.timing, Name::ActivationStart);
    let root = SpanContext { trace_id, span_id: tracer.ids.span_id(), flags };
    let mut load = span(tracer, root, None, "documentLoad", Kind::Internal, shown_ms);
    load.attributes.text(NAVIGATION_TYPE, &vitals::navigation_type(&entry, shown_ms));
    platform::describe_network(&mut load.attributes);
    let context = SpanContext { span_id: fetch_id, ..root };
    let fetch = span(tracer, context, Some(root.span_id), "documentFetch", Kind::Client, entry.start_ms);
    tracer.page.set(Some(root));
    RootScope::start(tracer, load, Root::PageLoad, None);
    js::listen(&js::window(), "load", Tag::Loaded);
    js::after(READY_MS, Tag::Ready, 0);
    if shown_ms <= 0.0 {
        finish::finish_seen(tracer, fetch, &entry, true);
    }
}

/// How a page came to be shown.
const NAVIGATION_TYPE: &str = "browser.navigation.type";

fn span(
    tracer: &Tracer,
    context: SpanContext,
    parent: Option<SpanId>,
    name: &'static str,
    kind: Kind,
    start_ms: f64,
) -> Span {
    let start_ns = tracer.timeline.unix_ns(start_ms);
    Span {
        context,
        parent,
        name: name.into(),
        kind,
        start_ns,
        end_ns: start_ns,
        attributes: Attributes::default(),
        events: Vec::new(),
        error: false,
    }
}

/// The application is mounted, or has had time enough.
pub(super) fn ready(tracer: &Rc<Tracer>) {
    let mut present = tracer.ambient.borrow().clone();
    while let Some(scope) = present {
        if scope.is_page_load() {
            scope.release_soon(tracer);
            return;
        }
        present = scope.before.borrow().clone();
    }
}

/// A page that was loaded beforehand is shown.
pub(super) fn activated(tracer: &Rc<Tracer>) {
    start(tracer, navigation_entry());
    ready(tracer);
}

/// A page is shown: from the back/forward cache, if it was there before.
pub(super) fn shown(tracer: &Rc<Tracer>, event: &JsValue) {
    if !js::get(event, Name::Persisted).is_truthy() {
        return;
    }
    sender::restore(tracer);
    vitals::begin_again(tracer);
    let ignored = tracer.config.ignore_page.is_some_and(|ignores| ignores(&platform::path()));
    if !tracer.config.page_load || ignored {
        return;
    }
    let mut span = tracer.start(&crate::context::Context::default(), "documentLoad", Kind::Internal);
    span.attributes.word(NAVIGATION_TYPE, "back-forward-cache");
    tracer.page.set(Some(span.context));
    RootScope::start(tracer, span, Root::PageLoad, None).release_soon(tracer);
}

/// What happened while the document loaded, in page milliseconds.
pub(super) fn milestones() -> Vec<(&'static str, f64)> {
    let Some(entry) = navigation_entry() else { return Vec::new() };
    [
        ("domInteractive", Name::DomInteractive),
        ("domContentLoadedEventEnd", Name::DomContentLoadedEventEnd),
        ("domComplete", Name::DomComplete),
        ("loadEventEnd", Name::LoadEventEnd),
    ]
    .into_iter()
    .map(|(milestone, name)| (milestone, entry.number(name)))
    .filter(|(_, page_ms)| *page_ms > 0.0)
    .collect()
}

/// Tells of the resources that were loaded until `until_ms`, as children of the page load: of those that took long enough, the
/// first so many.
pub(super) fn resources(tracer: &Rc<Tracer>, page: SpanContext, until_ms: f64) {
    let Ok(entries) = js::call(&tracer.performance, Name::GetEntriesByType, &[&"resource".into()]) else { return };
    let mut left = tracer.config.resources;
    for timing in js::items(&entries) {
        let kind = js::text(&timing, Name::InitiatorType).unwrap_or_default();
        let is_request = matches!(kind.as_str(), "fetch" | "xmlhttprequest" | "beacon");
        let duration_ms = js::number(&timing, Name::Duration);
        if left == 0 {
            return;
        }
        if is_request || duration_ms < tracer.config.resource_threshold_ms {
            continue;
        }
        let entry = Entry::read(&timing);
        if entry.start_ms > until_ms || crate::request::Url::parse(&entry.url).is_none() {
            continue;
        }
        left -= 1;
        let context = SpanContext { span_id: tracer.ids.span_id(), ..page };
        let mut one = span(tracer, context, Some(page.span_id), "resourceFetch", Kind::Client, entry.start_ms);
        one.attributes.text("browser.resource.initiator_type", &kind);
        finish::finish_seen(tracer, one, &entry, false);
    }
}
