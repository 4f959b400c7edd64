//! The browser's performance timeline, as it becomes known.

use throughline_timing::{
    ResourceTiming,
    server_timing::{METRIC, ServerTimes},
};
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    js::{self, Name, Tag},
};
use crate::clock;

/// Watches for entries of one kind, if the browser knows it.
fn observe(observer: &JsValue, known: &JsValue, kind: &str) -> bool {
    let is_known = js::items(known).any(|known| known == kind);
    if is_known {
        let options = js::object(Name::Type, &kind.into());
        js::set(&options, Name::Buffered, &(kind != "resource").into());
        #[cfg(feature = "vitals")]
        js::set(&options, Name::DurationThreshold, &super::vitals::EVENT_THRESHOLD_MS.into());
        js::call(observer, Name::Observe, &[&options]);
    }
    is_known
}

impl Tracer {
    pub(super) fn start_observing(&mut self) {
        let observer = js::new(Name::ObserverClass, &[&js::function(Tag::Observed, 0)]);
        let known = js::get(&js::get(&self.window, Name::ObserverClass), Name::SupportedEntryTypes);
        self.tells_requests = observe(&observer, &known, "resource");
        #[cfg(feature = "vitals")]
        if self.config.vitals {
            // What a tab that nobody looks at paints, it paints when it comes to the front.
            self.vitals.paints_are_over = js::get(&self.document, Name::Visibility) == "hidden"
                && !js::get(&self.document, Name::Prerendering).is_truthy();
            for kind in ["largest-contentful-paint", "paint", "layout-shift", "event", "first-input"] {
                observe(&observer, &known, kind);
            }
        }
        #[cfg(feature = "vitals")]
        if self.config.long_frame_ms < f64::INFINITY && !observe(&observer, &known, "long-animation-frame") {
            observe(&observer, &known, "longtask");
        }
        self.observer = observer;
    }

    /// Takes what has been seen and not yet been told.
    pub(super) fn drain(&mut self) {
        let entries = js::call(&self.observer, Name::TakeRecords, &[]);
        self.observed(&entries);
    }

    /// The timeline tells of something.
    pub(super) fn observed(&mut self, entries: &JsValue) {
        for entry in js::items(entries) {
            let kind = js::text(&entry, Name::EntryType).unwrap_or_default();
            if kind == "resource" {
                self.matched(&entry);
                continue;
            }
            #[cfg(feature = "vitals")]
            self.seen(&kind, entry);
        }
    }
}

/// One request as the performance timeline tells it. Times are page milliseconds; 0 is absent.
pub(super) struct Entry {
    pub(super) timing: JsValue,
    pub(super) server: Option<ServerTimes>,
}

impl Entry {
    pub(super) fn read(timing: &JsValue) -> Self {
        let mut entry = Self { timing: timing.clone(), server: None };
        entry.server = entry.metric(METRIC).as_deref().and_then(ServerTimes::parse);
        entry
    }

    /// The description of a Server-Timing metric.
    pub(super) fn metric(&self, name: &str) -> Option<String> {
        let mut metrics = js::items(&js::get(&self.timing, Name::ServerTiming));
        let found = metrics.find(|metric| js::get(metric, Name::NameOf) == name)?;
        js::text(&found, Name::Description)
    }

    /// Whether nothing came over the network: with a revalidation at least the headers do.
    pub(super) fn is_from_cache(&self) -> bool {
        js::get(&self.timing, Name::TransferSize) == 0.0 && self.number(Name::EncodedBodySize) > 0.0
    }

    pub(super) fn start_ms(&self) -> f64 {
        self.number(Name::StartTime)
    }

    /// When the response was there, or else when the request began.
    pub(super) fn end_ms(&self) -> f64 {
        self.number(Name::ResponseEnd).max(self.start_ms())
    }

    /// When the head of the response was there; 0 where that is hidden.
    pub(super) fn head_ms(&self) -> f64 {
        let last = self.number(Name::FinalResponseHeadersStart);
        if last > 0.0 { last } else { self.number(Name::ResponseStart) }
    }

    pub(super) fn number(&self, name: Name) -> f64 {
        js::number(&self.timing, name)
    }

    /// The phases as Unix nanoseconds under an anchor.
    pub(super) fn timing_ns(&self, anchor_ms: f64) -> ResourceTiming {
        let mut marks = [0; 13];
        for (mark, name) in marks.iter_mut().zip([
            Name::StartTime,
            Name::WorkerStart,
            Name::RedirectStart,
            Name::RedirectEnd,
            Name::FetchStart,
            Name::DomainLookupStart,
            Name::DomainLookupEnd,
            Name::ConnectStart,
            Name::SecureConnectionStart,
            Name::ConnectEnd,
            Name::RequestStart,
            Name::FinalResponseHeadersStart,
            Name::ResponseEnd,
        ]) {
            let mut page_ms = self.number(name);
            let is_head = matches!(name, Name::FinalResponseHeadersStart);
            if is_head && page_ms <= 0.0 {
                page_ms = self.number(Name::ResponseStart);
            }
            // The document itself begins at 0, which is a time there and not an absence.
            if page_ms > 0.0 || matches!(name, Name::StartTime) {
                *mark = clock::unix_ns(anchor_ms, page_ms);
            }
        }
        let [
            start_ns,
            worker_start_ns,
            redirect_start_ns,
            redirect_end_ns,
            fetch_start_ns,
            domain_lookup_start_ns,
            domain_lookup_end_ns,
            connect_start_ns,
            secure_connection_start_ns,
            connect_end_ns,
            request_start_ns,
            response_start_ns,
            response_end_ns,
        ] = marks;
        ResourceTiming {
            start_ns,
            worker_start_ns,
            redirect_start_ns,
            redirect_end_ns,
            fetch_start_ns,
            domain_lookup_start_ns,
            domain_lookup_end_ns,
            connect_start_ns,
            secure_connection_start_ns,
            connect_end_ns,
            request_start_ns,
            response_start_ns,
            response_end_ns,
        }
    }
}

/// The server's times of a response whose headers the page may read: in `throughline;desc="…"`.
pub(super) fn server_times(header: &str) -> Option<ServerTimes> {
    // Between quotes, as nothing else is that looks so.
    header.as_bytes().split(|byte| *byte == b'"').find_map(|text| ServerTimes::parse(std::str::from_utf8(text).ok()?))
}
