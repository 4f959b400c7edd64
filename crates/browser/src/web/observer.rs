//! Observation of the browser's performance timeline.

use throughline_timing::{
    ResourceTiming,
    server_timing::{METRIC, ServerTimes},
};
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    js::{self, Name, Tag},
};
use crate::{clock, session::part};

/// Observes entries of one type; returns whether the browser supports it.
fn observe(observer: &JsValue, kind: &str) -> bool {
    let known = js::get(&js::of_window(Name::ObserverClass), Name::SupportedEntryTypes);
    let is_known = js::items(known).any(|known| known == kind);
    if is_known {
        let options = js::object(Name::Type, &kind.into());
        #[cfg(feature = "vitals")]
        if kind != "resource" {
            js::set(&options, Name::Buffered, &JsValue::TRUE);
            js::set(&options, Name::DurationThreshold, &super::vitals::EVENT_THRESHOLD_MS.into());
        }
        js::call(observer, Name::Observe, &[&options]);
    }
    is_known
}

impl Tracer {
    pub(super) fn start_observing(&mut self) {
        let observer = js::new(Name::ObserverClass, &[&js::function(Tag::Observed, 0)]);
        self.has_request_timing = observe(&observer, "resource");
        #[cfg(feature = "vitals")]
        if self.config.vitals {
            // A tab in the background paints only when it comes to the front.
            self.vitals.paints_are_over =
                js::get(&self.document, Name::Visibility) == "hidden" && !js::is(&self.document, Name::Prerendering);
            for kind in ["largest-contentful-paint", "paint", "layout-shift", "event", "first-input"] {
                observe(&observer, kind);
            }
        }
        #[cfg(feature = "vitals")]
        if self.config.long_frame_ms < f64::INFINITY && !observe(&observer, "long-animation-frame") {
            observe(&observer, "longtask");
        }
        self.observer = observer;
    }

    /// Handles pending entries.
    pub(super) fn drain(&mut self) {
        let entries = js::call(&self.observer, Name::TakeRecords, &[]);
        self.observed(entries);
    }

    /// Handles entries of the timeline.
    pub(super) fn observed(&mut self, entries: JsValue) {
        for entry in js::items(entries) {
            // Without the feature, only `resource` is observed.
            #[cfg(feature = "vitals")]
            {
                let kind = js::word(&entry, Name::EntryType);
                if kind != "resource" {
                    self.on_entry(&kind, entry);
                    continue;
                }
            }
            self.matched(&entry);
        }
    }
}

/// The number of times that an entry has.
const MARKS: usize = 13;
const MARK_NAMES: [Name; MARKS] = [
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
];

/// A request in the performance timeline, read once. Times are page milliseconds; 0 is absent.
pub(super) struct Entry {
    pub(super) timing: JsValue,
    pub(super) server: Option<ServerTimes>,
    marks_ms: [f64; MARKS],
    /// The size of the body as transferred.
    pub(super) body_bytes: f64,
    /// Whether nothing was transferred; a revalidation transfers at least the headers.
    pub(super) is_from_cache: bool,
}

impl Entry {
    pub(super) fn read(timing: &JsValue) -> Self {
        let body_bytes = js::number(timing, Name::EncodedBodySize);
        let mut entry = Self {
            timing: timing.clone(),
            server: None,
            marks_ms: MARK_NAMES.map(|name| js::number(timing, name)),
            body_bytes,
            is_from_cache: body_bytes > 0.0 && js::number_if_any(timing, Name::TransferSize) == Some(0.0),
        };
        let [.., head_ms, _] = &mut entry.marks_ms;
        if *head_ms <= 0.0 {
            *head_ms = js::number(timing, Name::ResponseStart);
        }
        entry.server = entry.metric(METRIC).as_deref().and_then(ServerTimes::parse);
        entry
    }

    /// Returns the description of a Server-Timing metric.
    pub(super) fn metric(&self, name: &str) -> Option<String> {
        let mut metrics = js::items(js::get(&self.timing, Name::ServerTiming));
        let found = metrics.find(|metric| js::get(metric, Name::NameOf) == name)?;
        js::text(&found, Name::Description)
    }

    pub(super) const fn start_ms(&self) -> f64 {
        let [start_ms, ..] = self.marks_ms;
        start_ms
    }

    /// Returns when the response ended, or else when the request began.
    pub(super) const fn end_ms(&self) -> f64 {
        let [start_ms, .., end_ms] = self.marks_ms;
        end_ms.max(start_ms)
    }

    /// Returns when the head of the response arrived; 0 if that is hidden.
    pub(super) const fn head_ms(&self) -> f64 {
        let [.., head_ms, _] = self.marks_ms;
        head_ms
    }

    pub(super) fn number(&self, name: Name) -> f64 {
        js::number(&self.timing, name)
    }

    /// Returns the times as Unix nanoseconds, given an anchor.
    pub(super) fn timing_ns(&self, anchor_ms: f64) -> ResourceTiming {
        let mut marks_ns =
            self.marks_ms.map(|page_ms| if page_ms > 0.0 { clock::unix_ns(anchor_ms, page_ms) } else { 0 });
        // The document begins at 0, which is a time in this case and not absent.
        let [start_ns, ..] = &mut marks_ns;
        *start_ns = clock::unix_ns(anchor_ms, self.start_ms());
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
        ] = marks_ns;
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

/// Parses the server's times in a `Server-Timing` header: `throughline;desc="…"`.
pub(super) fn server_times(header: &str) -> Option<ServerTimes> {
    // No other quoted description parses as server times.
    let mut index = 0;
    loop {
        let times = ServerTimes::parse(part(header, b'"', index)?);
        if times.is_some() {
            return times;
        }
        index += 1;
    }
}
