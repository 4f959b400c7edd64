//! Settings of the tracer.

/// What [`init`](crate::init) needs to know; every setting has a default.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) endpoint: String,
    pub(crate) ticket_endpoint: Option<String>,
    pub(crate) service_name: String,
    pub(crate) scope_name: &'static str,
    pub(crate) scope_version: &'static str,
    pub(crate) propagate_to: Vec<String>,
    pub(crate) page_load: bool,
    pub(crate) flush_interval_ms: u32,
    pub(crate) max_batch: usize,
    pub(crate) max_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: "/v1/traces".to_owned(),
            ticket_endpoint: None,
            service_name: "browser".to_owned(),
            scope_name: env!("CARGO_PKG_NAME"),
            scope_version: env!("CARGO_PKG_VERSION"),
            propagate_to: Vec::new(),
            page_load: true,
            flush_interval_ms: 5_000,
            max_batch: 512,
            max_queue: 2_048,
        }
    }
}

impl Config {
    /// The defaults: OTLP to `/v1/traces` of the page's own origin, without a ticket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where spans are posted as OTLP/HTTP protobuf: a URL or a path of the page's origin. Default `/v1/traces`.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = url.into();
        self
    }

    /// Where a ticket is asked for when the page brought none or it has run out. Default: no ticket is used.
    #[must_use]
    pub fn ticket_endpoint(mut self, url: impl Into<String>) -> Self {
        self.ticket_endpoint = Some(url.into());
        self
    }

    /// The page's claim about `service.name`. Throughline's own door replaces it. Default `browser`.
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = name.into();
        self
    }

    /// Name and version of the instrumentation scope. Default: this crate's.
    #[must_use]
    pub fn scope(mut self, name: &'static str, version: &'static str) -> Self {
        self.scope_name = name;
        self.scope_version = version;
        self
    }

    /// One more origin, such as `https://api.example.com`, that is sent `traceparent`. The page's own always is; no other
    /// origin is, so that no third party gets a CORS preflight.
    #[must_use]
    pub fn propagate_to(mut self, origin: impl Into<String>) -> Self {
        self.propagate_to.push(origin.into());
        self
    }

    /// Whether the load of the document becomes a span. Default true.
    #[must_use]
    pub const fn page_load(mut self, traced: bool) -> Self {
        self.page_load = traced;
        self
    }

    /// How long a finished span waits for company, in milliseconds. Default 5000.
    #[must_use]
    pub const fn flush_interval_ms(mut self, interval_ms: u32) -> Self {
        self.flush_interval_ms = interval_ms;
        self
    }
}
