//! The browser's own timing of each request, as it becomes known.

use throughline_timing::{
    ResourceTiming,
    server_timing::{self, METRIC, ServerTimes},
};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{
    PerformanceObserver, PerformanceObserverEntryList, PerformanceObserverInit, PerformanceResourceTiming,
    PerformanceServerTiming,
};

use super::{clock, finish, platform, tracer};

/// Watches the performance timeline for as long as the page lives.
pub(super) struct Observer {
    observer: PerformanceObserver,
    _callback: Closure<dyn FnMut(PerformanceObserverEntryList)>,
}

impl Observer {
    /// `None` where the browser has no such timeline: requests are then timed coarsely.
    pub(super) fn start() -> Option<Self> {
        let callback = Closure::<dyn FnMut(PerformanceObserverEntryList)>::new(|list: PerformanceObserverEntryList| {
            take(&list.get_entries());
        });
        let observer = PerformanceObserver::new(callback.as_ref().unchecked_ref()).ok()?;
        let options = PerformanceObserverInit::new(&js_sys::Array::of1(&"resource".into()));
        observer.observe(&options);
        Some(Self { observer, _callback: callback })
    }

    /// Hands over what has been seen and not yet been told.
    pub(super) fn drain(&self) {
        take(&self.observer.take_records());
    }
}

fn take(entries: &js_sys::Array) {
    let Some(tracer) = tracer() else { return };
    for entry in entries.iter() {
        if let Some(entry) = entry.dyn_ref::<PerformanceResourceTiming>() {
            // Our own deliveries and the page's scripts are among them: cheap tests first.
            if finish::could_match(&tracer, &entry.name(), entry.start_time()) {
                finish::matched(&tracer, Entry::read(entry));
            }
        }
    }
}

/// One request as the performance timeline tells it. Times are page milliseconds; 0 is absent.
pub(super) struct Entry {
    pub(super) url: String,
    pub(super) start_ms: f64,
    pub(super) response_end_ms: f64,
    timing: PerformanceResourceTiming,
    metrics: Vec<(String, String)>,
    pub(super) server: Option<ServerTimes>,
}

impl Entry {
    pub(super) fn read(timing: &PerformanceResourceTiming) -> Self {
        let metrics: Vec<_> = platform::property(timing, "serverTiming")
            .map(|list| {
                js_sys::Array::from(&list)
                    .iter()
                    .filter_map(|metric| metric.dyn_into::<PerformanceServerTiming>().ok())
                    .map(|metric| (metric.name(), metric.description()))
                    .collect()
            })
            .unwrap_or_default();
        let server = metrics
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(METRIC))
            .and_then(|(_, description)| ServerTimes::parse(description));
        Self {
            url: timing.name(),
            start_ms: timing.start_time(),
            response_end_ms: timing.response_end(),
            timing: timing.clone(),
            metrics,
            server,
        }
    }

    /// Whether nothing came over the network: with a revalidation at least the headers do.
    pub(super) fn is_from_cache(&self) -> bool {
        self.number("transferSize") == Some(0.0) && self.number("encodedBodySize").is_some_and(|bytes| bytes > 0.0)
    }

    /// Without what the server said of this request.
    pub(super) fn forget_server(&mut self) {
        self.metrics.clear();
        self.server = None;
    }

    /// The description of a Server-Timing metric.
    pub(super) fn metric(&self, name: &str) -> Option<&str> {
        self.metrics
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, description)| description.as_str())
    }

    /// When the response was there, or else when the request began.
    pub(super) fn end_ms(&self) -> f64 {
        self.response_end_ms.max(self.start_ms)
    }

    /// A number that web-sys has no name for.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        platform::number(&self.timing, name)
    }

    pub(super) fn next_hop_protocol(&self) -> String {
        self.timing.next_hop_protocol()
    }

    /// The phases as Unix nanoseconds under an anchor.
    pub(super) fn timing_ns(&self, anchor_ms: f64) -> ResourceTiming {
        let at = |page_ms: f64| if page_ms > 0.0 { clock::unix_ns(anchor_ms, page_ms) } else { 0 };
        let timing = &self.timing;
        let final_headers = self.number("finalResponseHeadersStart").filter(|page_ms| *page_ms > 0.0);
        ResourceTiming {
            // The document itself begins at 0, which is a time there and not an absence.
            start_ns: clock::unix_ns(anchor_ms, self.start_ms),
            worker_start_ns: at(timing.worker_start()),
            redirect_start_ns: at(timing.redirect_start()),
            redirect_end_ns: at(timing.redirect_end()),
            fetch_start_ns: at(timing.fetch_start()),
            domain_lookup_start_ns: at(timing.domain_lookup_start()),
            domain_lookup_end_ns: at(timing.domain_lookup_end()),
            connect_start_ns: at(timing.connect_start()),
            secure_connection_start_ns: at(timing.secure_connection_start()),
            connect_end_ns: at(timing.connect_end()),
            request_start_ns: at(timing.request_start()),
            response_start_ns: at(final_headers.unwrap_or_else(|| timing.response_start())),
            response_end_ns: at(timing.response_end()),
        }
    }
}

/// The server's times of a response whose headers the page may read.
pub(super) fn server_times(header: &str) -> Option<ServerTimes> {
    server_timing::parse(header)
        .into_iter()
        .find(|metric| metric.name.eq_ignore_ascii_case(METRIC))
        .and_then(|metric| ServerTimes::parse(&metric.desc?))
}
