//! Settings of the tracer.

use crate::attributes::{Attributes, Value};

/// Gives the template of a path, such as `/users/{id}` for `/users/7`.
pub(crate) type RouteOf = fn(&str) -> Option<String>;
/// Gives a URL as it may be recorded.
pub(crate) type Redact = fn(&str) -> String;
/// Says of a path of the page whether it is left alone.
pub(crate) type IgnorePage = fn(&str) -> bool;

/// What [`init`](crate::init) needs to know; every setting has a default. They are listed in the
/// [guide](crate::guide::settings).
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) endpoint: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) ingest_token_endpoint: Option<String>,
    pub(crate) resource: Attributes,
    pub(crate) scope_name: &'static str,
    pub(crate) scope_version: &'static str,
    pub(crate) propagate_to: Vec<String>,
    pub(crate) ignore: Vec<String>,
    pub(crate) route: Option<RouteOf>,
    pub(crate) redact: Option<Redact>,
    pub(crate) ignore_page: Option<IgnorePage>,
    pub(crate) sample_ratio: f64,
    pub(crate) page_load: bool,
    #[cfg(feature = "resources")]
    pub(crate) resources: usize,
    #[cfg(feature = "resources")]
    pub(crate) resource_threshold_ms: f64,
    pub(crate) fetch: bool,
    #[cfg(feature = "xhr")]
    pub(crate) xhr: bool,
    #[cfg(feature = "navigation")]
    pub(crate) navigation: bool,
    #[cfg(feature = "actions")]
    pub(crate) actions: bool,
    #[cfg(feature = "vitals")]
    pub(crate) vitals: bool,
    #[cfg(feature = "vitals")]
    pub(crate) long_frame_ms: f64,
    #[cfg(feature = "errors")]
    pub(crate) errors: bool,
    #[cfg(feature = "errors")]
    pub(crate) console_errors: bool,
    #[cfg(feature = "offline")]
    pub(crate) offline: bool,
    pub(crate) flush_interval_ms: u32,
    pub(crate) max_batch: usize,
    pub(crate) max_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        let mut resource = Attributes::default();
        resource.text("service.name", "browser");
        Self {
            endpoint: String::new(),
            headers: Vec::new(),
            ingest_token_endpoint: None,
            resource,
            scope_name: env!("CARGO_PKG_NAME"),
            scope_version: env!("CARGO_PKG_VERSION"),
            propagate_to: Vec::new(),
            ignore: Vec::new(),
            route: None,
            redact: None,
            ignore_page: None,
            sample_ratio: 1.0,
            page_load: true,
            #[cfg(feature = "resources")]
            resources: 32,
            #[cfg(feature = "resources")]
            resource_threshold_ms: 10.0,
            fetch: true,
            #[cfg(feature = "xhr")]
            xhr: true,
            #[cfg(feature = "navigation")]
            navigation: true,
            #[cfg(feature = "actions")]
            actions: true,
            #[cfg(feature = "vitals")]
            vitals: true,
            #[cfg(feature = "vitals")]
            long_frame_ms: 100.0,
            #[cfg(feature = "errors")]
            errors: true,
            #[cfg(feature = "errors")]
            console_errors: false,
            #[cfg(feature = "offline")]
            offline: true,
            flush_interval_ms: 5_000,
            max_batch: 512,
            max_queue: 2_048,
        }
    }
}

impl Config {
    /// The defaults: OTLP to the page's own origin, without an ingest token, everything captured.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where telemetry is posted as OTLP/HTTP protobuf: a URL to which `/v1/traces` and `/v1/logs` are appended, as
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` is. Default: the page's own origin.
    #[must_use]
    pub fn endpoint(mut self, base_url: impl Into<String>) -> Self {
        self.endpoint = base_url.into();
        while self.endpoint.ends_with('/') {
            self.endpoint.pop();
        }
        self
    }

    /// A header for every delivery. What is written here can be read by everybody who opens the page: no secret belongs
    /// here. Default: none.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Where an ingest token is asked for when the page brought none or it has run out. Default: no ingest token is used.
    #[must_use]
    pub fn ingest_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.ingest_token_endpoint = Some(url.into());
        self
    }

    /// The page's claim about `service.name`. Throughline's own receiver replaces it. Default `browser`.
    #[must_use]
    pub fn service_name(self, name: impl Into<String>) -> Self {
        self.resource_attribute("service.name", name.into())
    }

    /// One more attribute of the resource, such as `service.version`. Throughline's own receiver takes those of the browser,
    /// device, operating system and user agent only.
    #[must_use]
    pub fn resource_attribute(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.resource.set(key, value);
        self
    }

    /// Name and version of the instrumentation scope. Default: this crate's.
    #[must_use]
    pub const fn scope(mut self, name: &'static str, version: &'static str) -> Self {
        self.scope_name = name;
        self.scope_version = version;
        self
    }

    /// One more origin, such as `https://api.example.com`, that is sent `traceparent` and `baggage`. The page's own always
    /// is; no other origin is, so that no third party gets a CORS preflight.
    #[must_use]
    pub fn propagate_to(mut self, origin: impl Into<String>) -> Self {
        self.propagate_to.push(origin.into());
        self
    }

    /// Requests whose absolute URL begins with `prefix` are left alone. Default: none.
    #[must_use]
    pub fn ignore(mut self, prefix: impl Into<String>) -> Self {
        self.ignore.push(prefix.into());
        self
    }

    /// Pages of these paths are left alone: neither their load nor the change of route to them becomes a span. Default: none.
    #[must_use]
    pub fn ignore_page(mut self, ignores: fn(&str) -> bool) -> Self {
        self.ignore_page = Some(ignores);
        self
    }

    /// Names requests and route changes by template: given a path, such as `/users/7`, it answers `/users/{id}`, or `None`
    /// where it knows none. It becomes `url.template` and part of the span's name, which never has a path; and links that have no
    /// name of their own are named by it. Default: none.
    #[must_use]
    pub fn route(mut self, template_of: fn(&str) -> Option<String>) -> Self {
        self.route = Some(template_of);
        self
    }

    /// What becomes of each URL before it is recorded, after userinfo and the values of known signature parameters were
    /// replaced; and of the page's path, which has neither. Default: nothing more.
    #[must_use]
    pub fn redact(mut self, redact: fn(&str) -> String) -> Self {
        self.redact = Some(redact);
        self
    }

    /// Which part of the sessions is recorded, 0 to 1. The decision holds for a whole session and travels in
    /// `traceparent`; errors are recorded all the same. Default 1.
    #[must_use]
    pub const fn sample_ratio(mut self, ratio: f64) -> Self {
        self.sample_ratio = ratio;
        self
    }

    /// Whether the load of the document becomes a span. Default true.
    #[must_use]
    pub const fn page_load(mut self, traced: bool) -> Self {
        self.page_load = traced;
        self
    }

    /// At most `limit` of the scripts, styles, images and fonts of a page load become spans, and only those that took at
    /// least `threshold_ms` milliseconds. Default 32 and 10.
    #[cfg(feature = "resources")]
    #[must_use]
    pub const fn resources(mut self, limit: usize, threshold_ms: f64) -> Self {
        self.resources = limit;
        self.resource_threshold_ms = threshold_ms;
        self
    }

    /// Whether every `fetch` of the page is traced, whoever calls it. Without it, only what goes through
    /// [`http`](crate::http) is. Default true.
    #[must_use]
    pub const fn fetch(mut self, traced: bool) -> Self {
        self.fetch = traced;
        self
    }

    /// Whether `XMLHttpRequest` is traced. Default true.
    #[cfg(feature = "xhr")]
    #[must_use]
    pub const fn xhr(mut self, traced: bool) -> Self {
        self.xhr = traced;
        self
    }

    /// Whether changes of the page's path become spans by themselves, without [`navigation`](crate::navigation). Default
    /// true.
    #[cfg(feature = "navigation")]
    #[must_use]
    pub const fn navigation(mut self, traced: bool) -> Self {
        self.navigation = traced;
        self
    }

    /// Whether clicks, submits and keys on buttons become spans where something follows from them. Default true.
    #[cfg(feature = "actions")]
    #[must_use]
    pub const fn actions(mut self, traced: bool) -> Self {
        self.actions = traced;
        self
    }

    /// Whether LCP, INP, CLS, FCP and TTFB are reported. Default true.
    #[cfg(feature = "vitals")]
    #[must_use]
    pub const fn vitals(mut self, reported: bool) -> Self {
        self.vitals = reported;
        self
    }

    /// Frames, or tasks where the browser knows no frames, that take at least so many milliseconds are reported; the browser
    /// tells none below 50. `f64::INFINITY` for none. Default 100.
    #[cfg(feature = "vitals")]
    #[must_use]
    pub const fn long_frames(mut self, threshold_ms: f64) -> Self {
        self.long_frame_ms = threshold_ms;
        self
    }

    /// Whether panics, uncaught errors, unhandled rejections, resources that fail to load and violations of the content
    /// security policy are reported. Default true.
    #[cfg(feature = "errors")]
    #[must_use]
    pub const fn errors(mut self, reported: bool) -> Self {
        self.errors = reported;
        self
    }

    /// Whether calls of `console.error` are reported. What programs write there may be anything, so the default is false.
    #[cfg(feature = "errors")]
    #[must_use]
    pub const fn console_errors(mut self, reported: bool) -> Self {
        self.console_errors = reported;
        self
    }

    /// Whether what cannot be sent before the page goes is kept in `localStorage` for the next page. Default true.
    #[cfg(feature = "offline")]
    #[must_use]
    pub const fn offline(mut self, kept: bool) -> Self {
        self.offline = kept;
        self
    }

    /// How long a finished span waits for company, in milliseconds. Default 5000.
    #[must_use]
    pub const fn flush_interval_ms(mut self, interval_ms: u32) -> Self {
        self.flush_interval_ms = interval_ms;
        self
    }

    /// At most so many records go in one request; as soon as so many wait, they go. Default 512.
    #[must_use]
    pub const fn max_batch(mut self, records: usize) -> Self {
        self.max_batch = records;
        self
    }

    /// At most so many records wait; what is beyond is dropped and counted. Default 2048.
    #[must_use]
    pub const fn max_queue(mut self, records: usize) -> Self {
        self.max_queue = records;
        self
    }
}
