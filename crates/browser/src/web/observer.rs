//! The browser's performance timeline, as it becomes known.

use std::rc::Rc;

use throughline_timing::{
    ResourceTiming,
    server_timing::{METRIC, ServerTimes},
};
use wasm_bindgen::JsValue;

use super::{
    Tracer, finish,
    js::{self, Name, Tag},
    vitals,
};
use crate::clock;

/// What watches the timeline.
#[derive(Default)]
pub(super) struct Watch {
    observer: JsValue,
    tells_requests: bool,
}

impl Watch {
    /// Whether the timing of requests is told: some browsers have no such timeline, and all is coarse there.
    pub(super) const fn tells_requests(&self) -> bool {
        self.tells_requests
    }
}

pub(super) fn start(tracer: &Tracer) {
    let Ok(observer) = js::new(Name::ObserverClass, &[&js::function(Tag::Observed, 0)]) else { return };
    let known: Vec<String> = js::items(&js::get2(&js::window(), Name::ObserverClass, Name::SupportedEntryTypes))
        .filter_map(|kind| kind.as_string())
        .collect();
    let observe = |kind: &str, buffered: bool| {
        if !known.iter().any(|known| known == kind) {
            return false;
        }
        let options = js::object(Name::Type, &kind.into());
        js::set(&options, Name::Buffered, &buffered.into());
        js::set(&options, Name::DurationThreshold, &vitals::EVENT_THRESHOLD_MS.into());
        js::call(&observer, Name::Observe, &[&options]).is_ok()
    };
    let tells_requests = observe("resource", false);
    if tracer.config.vitals {
        for kind in ["largest-contentful-paint", "paint", "layout-shift", "event", "first-input"] {
            observe(kind, true);
        }
    }
    if tracer.config.long_frame_ms.is_finite() && !observe("long-animation-frame", true) {
        observe("longtask", true);
    }
    tracer.watch.replace(Watch { observer, tells_requests });
}

/// The timeline calls back with a list of entries.
pub(super) fn observed(tracer: &Rc<Tracer>, list: &JsValue) {
    take(tracer, &js::call(list, Name::GetEntries, &[]).unwrap_or_default());
}

/// Takes what has been seen and not yet been told.
pub(super) fn drain(tracer: &Rc<Tracer>) {
    let observer = tracer.watch.borrow().observer.clone();
    if observer.is_object() {
        take(tracer, &js::call(&observer, Name::TakeRecords, &[]).unwrap_or_default());
    }
}

fn take(tracer: &Rc<Tracer>, entries: &JsValue) {
    for entry in js::items(entries) {
        match js::text(&entry, Name::EntryType).as_deref() {
            Some("resource") => finish::matched(tracer, &entry),
            Some(kind) => vitals::seen(tracer, kind, &entry),
            None => {}
        }
    }
}

/// One request as the performance timeline tells it. Times are page milliseconds; 0 is absent.
pub(super) struct Entry {
    pub(super) url: String,
    pub(super) start_ms: f64,
    pub(super) timing: JsValue,
    pub(super) server: Option<ServerTimes>,
}

impl Entry {
    pub(super) fn read(timing: &JsValue) -> Self {
        Self {
            url: js::text(timing, Name::NameOf).unwrap_or_default(),
            start_ms: js::number(timing, Name::StartTime),
            timing: timing.clone(),
            server: metric(timing, METRIC).as_deref().and_then(ServerTimes::parse),
        }
    }

    /// The description of a Server-Timing metric.
    pub(super) fn metric(&self, name: &str) -> Option<String> {
        metric(&self.timing, name)
    }

    /// Whether nothing came over the network: with a revalidation at least the headers do.
    pub(super) fn is_from_cache(&self) -> bool {
        js::get(&self.timing, Name::TransferSize).as_f64() == Some(0.0) && self.number(Name::EncodedBodySize) > 0.0
    }

    /// When the response was there, or else when the request began.
    pub(super) fn end_ms(&self) -> f64 {
        self.number(Name::ResponseEnd).max(self.start_ms)
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
        let unix_ns = |page_ms: f64| if page_ms > 0.0 { clock::unix_ns(anchor_ms, page_ms) } else { 0 };
        let at = |name| unix_ns(self.number(name));
        ResourceTiming {
            // The document itself begins at 0, which is a time there and not an absence.
            start_ns: clock::unix_ns(anchor_ms, self.start_ms),
            worker_start_ns: at(Name::WorkerStart),
            redirect_start_ns: at(Name::RedirectStart),
            redirect_end_ns: at(Name::RedirectEnd),
            fetch_start_ns: at(Name::FetchStart),
            domain_lookup_start_ns: at(Name::DomainLookupStart),
            domain_lookup_end_ns: at(Name::DomainLookupEnd),
            connect_start_ns: at(Name::ConnectStart),
            secure_connection_start_ns: at(Name::SecureConnectionStart),
            connect_end_ns: at(Name::ConnectEnd),
            request_start_ns: at(Name::RequestStart),
            response_start_ns: unix_ns(self.head_ms()),
            response_end_ns: at(Name::ResponseEnd),
        }
    }
}

fn metric(timing: &JsValue, name: &str) -> Option<String> {
    js::items(&js::get(timing, Name::ServerTiming))
        .find(|metric| js::text(metric, Name::NameOf).is_some_and(|known| known.eq_ignore_ascii_case(name)))
        .and_then(|metric| js::text(&metric, Name::Description))
}

/// The server's times of a response whose headers the page may read: in `throughline;desc="…"`.
pub(super) fn server_times(header: &str) -> Option<ServerTimes> {
    let (_, after) = header.split_once(METRIC)?;
    let (desc, _) = after.strip_prefix(";desc=\"")?.split_once('"')?;
    ServerTimes::parse(desc)
}
