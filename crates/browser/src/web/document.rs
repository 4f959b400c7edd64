//! The span of the page load, in one trace with the server's span for the document. The page load is the root.

use throughline_context::{SpanId, TraceFlags, TraceParent, ingest_token};
use throughline_timing::server_timing::TRACE_METRICS;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    active::{Active, ActiveKind},
    js::{self, Name, Tag},
    observer::Entry,
    platform,
};
use crate::{
    clock::unix_ns,
    delivery::IngestToken,
    record::{Kind, SpanContext},
    session::{number, part},
};

/// The time after which an application that did not call `app_ready` is considered ready, milliseconds.
const READY_MS: f64 = 5_000.0;
/// The attribute for the type of the navigation.
const NAVIGATION_TYPE: &str = "browser.navigation.type";

fn timeline(performance: &JsValue, kind: &str) -> js::Items {
    js::items(js::call(performance, Name::GetEntriesByType, &[&kind.into()]))
}

/// Returns the entry of the document itself; empty if the browser does not report one.
pub(super) fn navigation_entry(performance: &JsValue) -> Entry {
    let mut entry = Entry::read(&timeline(performance, "navigation").next().unwrap_or_else(js::empty));
    if entry.is_from_cache {
        // The server's times are those of an earlier page.
        entry.server = None;
    }
    entry
}

/// Returns the ingest token that came with the page: `v1.<expiry>.<session>.<mac>`.
pub(super) fn page_ingest_token(entry: &Entry) -> Option<IngestToken> {
    // A cached token belongs to an earlier page.
    let text = if entry.is_from_cache { None } else { entry.metric(ingest_token::METRIC) }?;
    let part = |index| part(&text, b'.', index);
    if part(0)? != "v1" {
        return None;
    }
    let (expires_s, session) = (number(part(1)?)?, part(2)?.parse().ok()?);
    Some(IngestToken { session, expires_ms: expires_s as f64 * 1_000.0, text })
}

impl Tracer {
    /// Begins the span of the page load at the page's time origin.
    ///
    /// The server generates the id of the span that requested the document and returns it in `Server-Timing`.
    /// `documentFetch` has that id, so the server's span is its child. `documentLoad` is the root and its parent.
    pub(super) fn start_page(&mut self, entry: Entry) {
        if !self.config.page_load || self.ignores_page() {
            return;
        }
        if js::is(&self.document, Name::Prerendering) {
            // A prerendered page is not visible yet, and may never be.
            js::listen(&self.document, "prerenderingchange", Tag::Activated);
            return;
        }
        let mut root = SpanContext {
            trace_id: self.ids.trace_id(),
            span_id: self.ids.span_id(),
            flags: TraceFlags::RANDOM.with_sampled(self.sampled),
        };
        let mut fetch_id = self.ids.span_id();
        let fetch_span = entry.server.as_ref().and_then(|server| server.client_span.as_ref()?.parse::<SpanId>().ok());
        let server_trace =
            TRACE_METRICS.iter().find_map(|metric| TraceParent::parse(entry.metric(metric)?.as_bytes()).ok());
        if let (Some(id), Some(server)) = (fetch_span, server_trace) {
            // The trace began at the server, which made the sampling decision.
            root = SpanContext { trace_id: server.trace_id, flags: server.flags, ..root };
            fetch_id = id;
        }
        // A prerendered page begins when it is activated.
        let shown_ms = entry.number(Name::ActivationStart);
        let mut load = self.begin_at(root, None, "documentLoad".to_owned(), Kind::Internal, shown_ms);
        platform::copy_text(&mut load.attributes, NAVIGATION_TYPE, &entry.timing, Name::Type);
        platform::describe_network(&mut load.attributes);
        self.page = Some(root);
        self.begin_scope(ActiveKind::PageLoad, load, 0);
        js::after(READY_MS, Tag::Ready, 0);
        let context = SpanContext { span_id: fetch_id, ..root };
        let fetch = self.begin_at(context, self.page, "documentFetch".to_owned(), Kind::Client, entry.start_ms());
        if shown_ms <= 0.0 {
            self.finish_entry(fetch, entry, true);
        }
    }

    /// Handles that the application is mounted, or that [`READY_MS`] have passed.
    pub(super) fn page_ready(&mut self) {
        if let Some(page) = self.active.iter().find(|one| one.kind == ActiveKind::PageLoad) {
            self.release(page.number);
        }
    }

    /// Handles the activation of a prerendered page.
    pub(super) fn activated(&mut self) {
        let entry = navigation_entry(&self.performance);
        self.start_page(entry);
        self.page_ready();
    }

    /// Handles `pageshow`: begins a new page load if the page comes from the back/forward cache.
    pub(super) fn shown(&mut self, event: &JsValue) {
        if !js::is(event, Name::Persisted) {
            return;
        }
        #[cfg(feature = "offline")]
        self.restore();
        #[cfg(feature = "vitals")]
        self.begin_vitals_again();
        if !self.config.page_load || self.ignores_page() {
            return;
        }
        let mut span = self.start(None, "documentLoad".to_owned(), Kind::Internal);
        span.attributes.text(NAVIGATION_TYPE, "back_forward_cache");
        self.page = Some(span.context);
        let number = self.begin_scope(ActiveKind::PageLoad, span, 0);
        self.release(number);
    }

    /// Adds milestones and resources to the span of the page load, and returns when the last activity was.
    pub(super) fn page_loaded(&mut self, load: &mut Active, last_ms: f64) -> f64 {
        let entry = navigation_entry(&self.performance);
        let mut last_ms = last_ms;
        for (milestone, name) in [
            ("domInteractive", Name::DomInteractive),
            ("domContentLoadedEventEnd", Name::DomContentLoadedEventEnd),
            ("domComplete", Name::DomComplete),
            ("loadEventEnd", Name::LoadEventEnd),
        ] {
            let page_ms = entry.number(name);
            // A page from the back/forward cache was loaded before this span began.
            if page_ms > 0.0 && unix_ns(load.anchor_ms, page_ms) >= load.span.start_ns {
                last_ms = last_ms.max(page_ms);
                load.span.event(unix_ns(load.anchor_ms, page_ms), milestone);
            }
        }
        #[cfg(feature = "resources")]
        self.record_resources(load, last_ms);
        last_ms
    }

    #[cfg(feature = "resources")]
    /// Records the resources that were loaded until `until_ms` as children of the page load, within the configured
    /// limits.
    fn record_resources(&mut self, load: &Active, until_ms: f64) {
        let mut left = self.config.resources;
        let page = load.span.context;
        for timing in timeline(&self.performance, "resource") {
            let kind = js::word(&timing, Name::InitiatorType);
            let start_ms = js::number(&timing, Name::StartTime);
            // Requests of the program have their own spans.
            if left == 0
                || matches!(kind.as_str(), "fetch" | "xmlhttprequest" | "beacon")
                || js::number(&timing, Name::Duration) < self.config.resource_threshold_ms
                || start_ms > until_ms
                || unix_ns(load.anchor_ms, start_ms) < load.span.start_ns
            {
                continue;
            }
            left -= 1;
            let context = SpanContext { span_id: self.ids.span_id(), ..page };
            let mut one = self.begin_at(context, Some(page), "resourceFetch".to_owned(), Kind::Client, start_ms);
            one.attributes.text("browser.resource.initiator_type", &kind);
            self.finish_entry(one, Entry::read(&timing), false);
        }
    }
}
