//! Settings of the tracer.

use crate::attributes::{Attributes, Value};

/// Returns the template of a path, such as `/users/{id}` for `/users/7`.
pub(crate) type RouteOf = fn(&str) -> Option<String>;
/// Returns the form of a URL that may be recorded.
pub(crate) type Redact = fn(&str) -> String;
/// Returns whether a path of the page is not traced.
pub(crate) type IgnorePage = fn(&str) -> bool;

/// Settings for [`init`](crate::init). Every setting has a default; the [guide](crate::guide::settings) lists them.
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
    /// Creates the default settings: OTLP to the page's own origin, without an ingest token, everything captured.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the base URL to which telemetry is posted as OTLP/HTTP protobuf. `/v1/traces` and `/v1/logs` are appended,
    /// as with `OTEL_EXPORTER_OTLP_ENDPOINT`. Default: the page's own origin.
    #[must_use]
    pub fn endpoint(mut self, base_url: impl Into<String>) -> Self {
        self.endpoint = base_url.into();
        while self.endpoint.ends_with('/') {
            self.endpoint.pop();
        }
        self
    }

    /// Adds a header to every request that sends telemetry. Every visitor of the page can read it, so it must not hold
    /// a secret. Default: none.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the URL from which an ingest token is requested if the document came without one or it has expired.
    /// Default: no ingest token is used.
    #[must_use]
    pub fn ingest_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.ingest_token_endpoint = Some(url.into());
        self
    }

    /// Sets `service.name`. Throughline's own receiver replaces it. Default: `browser`.
    #[must_use]
    pub fn service_name(self, name: impl Into<String>) -> Self {
        self.resource_attribute("service.name", name.into())
    }

    /// Sets an attribute of the resource, such as `service.version`. Throughline's own receiver accepts only those of
    /// the browser, device, operating system and user agent.
    #[must_use]
    pub fn resource_attribute(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.resource.set(key, value);
        self
    }

    /// Sets name and version of the instrumentation scope. Default: those of this crate.
    #[must_use]
    pub const fn scope(mut self, name: &'static str, version: &'static str) -> Self {
        self.scope_name = name;
        self.scope_version = version;
        self
    }

    /// Adds an origin, such as `https://api.example.com`, to which `traceparent` and `baggage` are sent. The page's own
    /// origin always receives them. No other origin does, because the headers would cause a CORS preflight.
    #[must_use]
    pub fn propagate_to(mut self, origin: impl Into<String>) -> Self {
        self.propagate_to.push(origin.into());
        self
    }

    /// Excludes requests whose absolute URL begins with `prefix` from tracing. Default: none.
    #[must_use]
    pub fn ignore(mut self, prefix: impl Into<String>) -> Self {
        self.ignore.push(prefix.into());
        self
    }

    /// Excludes pages by path: if `ignores` returns true, neither the load of the page nor the route change to it becomes
    /// a span. Default: none.
    #[must_use]
    pub fn ignore_page(mut self, ignores: fn(&str) -> bool) -> Self {
        self.ignore_page = Some(ignores);
        self
    }

    /// Names requests and route changes by template. Given a path, such as `/users/7`, `template_of` returns
    /// `/users/{id}`, or `None` if it has no template. The template becomes `url.template` and part of the span's name,
    /// which never contains the path itself; it also names links that have no name of their own. Default: none.
    #[must_use]
    pub fn route(mut self, template_of: fn(&str) -> Option<String>) -> Self {
        self.route = Some(template_of);
        self
    }

    /// Sets a function that redacts each URL, and the page's path, before it is recorded. It is called after userinfo and
    /// the values of known signature parameters were replaced in the URL. Default: no further redaction.
    #[must_use]
    pub fn redact(mut self, redact: fn(&str) -> String) -> Self {
        self.redact = Some(redact);
        self
    }

    /// Sets the fraction of sessions that is recorded, 0 to 1. The decision is made once for each session, and is sent in
    /// `traceparent`. Errors are always recorded. Default: 1.
    #[must_use]
    pub const fn sample_ratio(mut self, ratio: f64) -> Self {
        self.sample_ratio = ratio;
        self
    }

    /// Sets whether the load of the document becomes a span. Default: true.
    #[must_use]
    pub const fn page_load(mut self, traced: bool) -> Self {
        self.page_load = traced;
        self
    }

    /// Limits the spans of scripts, styles, images and fonts of a page load to `limit`, and to those that took at least
    /// `threshold_ms` milliseconds. Default: 32 and 10.
    #[cfg(feature = "resources")]
    #[must_use]
    pub const fn resources(mut self, limit: usize, threshold_ms: f64) -> Self {
        self.resources = limit;
        self.resource_threshold_ms = threshold_ms;
        self
    }

    /// Sets whether every `fetch` of the page is traced. If not, only requests through [`http`](crate::http) are.
    /// Default: true.
    #[must_use]
    pub const fn fetch(mut self, traced: bool) -> Self {
        self.fetch = traced;
        self
    }

    /// Sets whether `XMLHttpRequest` is traced. Default: true.
    #[cfg(feature = "xhr")]
    #[must_use]
    pub const fn xhr(mut self, traced: bool) -> Self {
        self.xhr = traced;
        self
    }

    /// Sets whether changes of the page's path become spans without a call of [`navigation`](crate::navigation).
    /// Default: true.
    #[cfg(feature = "navigation")]
    #[must_use]
    pub const fn navigation(mut self, traced: bool) -> Self {
        self.navigation = traced;
        self
    }

    /// Sets whether clicks, submits and keys on buttons become spans if they cause a request, a route change or another
    /// record. Default: true.
    #[cfg(feature = "actions")]
    #[must_use]
    pub const fn actions(mut self, traced: bool) -> Self {
        self.actions = traced;
        self
    }

    /// Sets whether LCP, INP, CLS, FCP and TTFB are reported. Default: true.
    #[cfg(feature = "vitals")]
    #[must_use]
    pub const fn vitals(mut self, reported: bool) -> Self {
        self.vitals = reported;
        self
    }

    /// Sets the duration in milliseconds from which animation frames are reported, or tasks if the browser does not
    /// report frames. The browser reports none below 50; `f64::INFINITY` disables the report. Default: 100.
    #[cfg(feature = "vitals")]
    #[must_use]
    pub const fn long_frames(mut self, threshold_ms: f64) -> Self {
        self.long_frame_ms = threshold_ms;
        self
    }

    /// Sets whether panics, uncaught errors, unhandled rejections, resources that fail to load and violations of the
    /// content security policy are reported. Default: true.
    #[cfg(feature = "errors")]
    #[must_use]
    pub const fn errors(mut self, reported: bool) -> Self {
        self.errors = reported;
        self
    }

    /// Sets whether calls of `console.error` are reported. Default: false, because programs may write any data there.
    #[cfg(feature = "errors")]
    #[must_use]
    pub const fn console_errors(mut self, reported: bool) -> Self {
        self.console_errors = reported;
        self
    }

    /// Sets whether records that cannot be sent before the page is closed are kept in `localStorage` for the next page.
    /// Default: true.
    #[cfg(feature = "offline")]
    #[must_use]
    pub const fn offline(mut self, kept: bool) -> Self {
        self.offline = kept;
        self
    }

    /// Sets how long a finished record waits to be batched with others, in milliseconds. Default: 5000.
    #[must_use]
    pub const fn flush_interval_ms(mut self, interval_ms: u32) -> Self {
        self.flush_interval_ms = interval_ms;
        self
    }

    /// Sets the maximum number of records in one request. Records are sent at once when this number is waiting. Default:
    /// 512.
    #[must_use]
    pub const fn max_batch(mut self, records: usize) -> Self {
        self.max_batch = records;
        self
    }

    /// Sets the maximum number of waiting records. Records above it are dropped and counted. Default: 2048.
    #[must_use]
    pub const fn max_queue(mut self, records: usize) -> Self {
        self.max_queue = records;
        self
    }
}
