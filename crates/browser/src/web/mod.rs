//! The only module that uses the browser's API.
//!
//! The state of a page's tracer is one [`Tracer`]. A function that needs it takes it out of a thread-local and puts it
//! back, so it cannot be borrowed twice. Calls made while it is taken are not traced. It is put back before code of the
//! application runs.

pub(crate) mod action;
#[cfg(feature = "actions")]
mod actions;
mod active;
mod api;
mod document;
#[cfg(feature = "errors")]
mod errors;
mod exit;
mod fetch;
mod finish;
pub mod http;
mod js;
mod listeners;
mod navigation;
mod observer;
mod platform;
mod sender;
mod sessions;
mod start;
#[cfg(feature = "vitals")]
mod vitals;
#[cfg(feature = "xhr")]
mod xhr;

use std::cell::Cell;

use throughline_context::{TraceFlags, UrlParts};
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM};
use wasm_bindgen::{JsCast, JsValue};

#[cfg(feature = "errors")]
pub use self::errors::record_error;
use self::{
    active::Active,
    js::{Name, Tag},
    platform::{BrowserClock, BrowserRandom},
};
pub use self::{
    api::{app_ready, current, dropped, event, flush, session_id, set_attribute, set_baggage, set_user_id},
    listeners::{buffer_requests, on_request, on_status},
    navigation::navigation,
    start::start,
};
use crate::{
    attributes::Attributes,
    clock::{Ids, Timeline},
    config::Config,
    context::{self, Context},
    delivery::{Batch, Delivery, Record},
    record::{Event, Kind, Origin, Severity, Signal, Span, SpanContext},
    session::{Session, SessionId, push_hex},
    summary::Status,
};

/// How long spans wait while the page is loading, milliseconds.
const LOADING_MS: f64 = 5_000.0;

/// The tracer of a page.
pub(crate) struct Tracer {
    config: Config,
    timeline: Timeline<BrowserClock>,
    ids: Ids<BrowserRandom>,
    quantum_ns: i64,
    origin: Origin,
    /// `scheme://host:port` of the page.
    page_origin: String,
    /// `fetch` as it was before the tracer replaced it.
    fetch: JsValue,
    window: JsValue,
    document: JsValue,
    performance: JsValue,
    observer: JsValue,
    /// Whether the browser reports the timing of requests. If not, all timing is coarse.
    has_request_timing: bool,

    session: Session,
    /// Whether the session is recorded.
    sampled: bool,
    /// When the session was last synchronized, Unix milliseconds.
    synced_ms: f64,
    /// Attributes that the application sets on every record.
    common: Attributes,

    /// Spans that have begun and not ended.
    active: Vec<Active>,
    last_number: u32,
    /// The parent of spans begun without a context: the number of a page load, a route change or an action; 0 is none.
    ambient: u32,
    /// Until when the settle timer is expected to fire, page milliseconds. After that, another is set.
    settles_ms: f64,
    /// Until when the timer that completes requests without timing is expected to fire, page milliseconds.
    gives_up_ms: f64,
    clocks: ClockSync,

    delivery: Delivery,
    /// When the delivery timer fires, page milliseconds.
    wake_ms: f64,
    /// Batches that were sent while the page was closing, and have no response yet.
    exiting: Vec<Batch>,
    #[cfg(feature = "vitals")]
    vitals: vitals::Vitals,
    #[cfg(feature = "errors")]
    repeats: crate::repeat::Repeats,
    /// The span of the page load, to which events of the whole page belong.
    page: Option<SpanContext>,
    /// The last known path of the page.
    path: String,
    #[cfg(feature = "errors")]
    panicked: bool,
}

thread_local! {
    static TRACER: Cell<Option<Box<Tracer>>> = const { Cell::new(None) };
    static STARTED: Cell<bool> = const { Cell::new(false) };
    static STATUS: Cell<Status> = const { Cell::new(Status::Starting) };
}

/// Calls `f` with the tracer, if it is running and not in use.
fn with<T>(f: impl FnOnce(&mut Tracer) -> T) -> Option<T> {
    let mut tracer = TRACER.take()?;
    tracer.timeline.clock().invalidate();
    let result = f(&mut tracer);
    put_back(tracer);
    Some(result)
}

/// Puts the tracer into the thread-local, which is empty: there is only one tracer, and it was taken from there.
fn put(tracer: Box<Tracer>) {
    // Forgotten, so that the WASM does not contain the drop code of the tracer.
    std::mem::forget(TRACER.replace(Some(tracer)));
}

#[inline(never)]
fn put_back(tracer: Box<Tracer>) {
    put(tracer);
    if let Some(after) = listeners::AFTER.get() {
        after();
    }
}

/// Starts the tracer of this page. A second call has no effect. It does not panic or throw.
pub fn init(config: Config) {
    if STARTED.replace(true) {
        return;
    }
    let Some((clock, origin_ms)) = BrowserClock::new() else {
        STATUS.replace(Status::Off("this browser has no high-resolution clock"));
        return;
    };
    js::on_call_back(called_back);
    let window = js::window();
    let mut resource = config.resource.clone();
    platform::describe(&mut resource);
    let mut ids = Ids::new(BrowserRandom);
    let timeline = Timeline::new(clock, origin_ms);
    let now_ms = timeline.wall_ms();
    let mut delivery = Delivery::new(config.max_queue, config.max_batch, config.ingest_token_endpoint.is_some());
    let performance = js::get(&window, Name::Performance);
    let navigation = document::navigation_entry(&performance);
    let ingest_token = document::page_ingest_token(&navigation);
    let started = sessions::start(ids.trace_id(), ingest_token.as_ref().map(|token| token.session), now_ms);
    if let Some(ingest_token) = ingest_token {
        delivery.set_ingest_token(ingest_token);
    }
    let mut tracer = Box::new(Tracer {
        origin: Origin::new(&resource, config.scope_name, config.scope_version),
        quantum_ns: platform::quantum_ns(&window),
        page_origin: js::word(&js::get(&window, Name::Location), Name::Origin),
        fetch: js::get(&window, Name::Fetch),
        document: js::get(&window, Name::Document),
        performance,
        observer: JsValue::UNDEFINED,
        has_request_timing: false,
        session: started.session,
        sampled: crate::session::is_sampled(started.session.id, config.sample_ratio),
        synced_ms: now_ms,
        // default: no attributes were set before the start
        common: api::EARLY_ATTRIBUTES.take().unwrap_or_default(),
        active: Vec::new(),
        last_number: 0,
        ambient: 0,
        settles_ms: 0.0,
        gives_up_ms: 0.0,
        clocks: ClockSync::new(DEFAULT_DRIFT_PPM),
        delivery,
        wake_ms: f64::INFINITY,
        exiting: Vec::new(),
        #[cfg(feature = "vitals")]
        vitals: vitals::Vitals::default(),
        #[cfg(feature = "errors")]
        repeats: crate::repeat::Repeats::default(),
        page: None,
        path: platform::path(),
        #[cfg(feature = "errors")]
        panicked: false,
        window,
        timeline,
        ids,
        config,
    });
    tracer.start_page(navigation);
    tracer.adopt_session(&started);
    if tracer.config.fetch {
        js::intercept(&tracer.window, "fetch", Tag::FetchCalled);
    }
    #[cfg(feature = "xhr")]
    if tracer.config.xhr {
        xhr::start(&tracer.window);
    }
    tracer.start_observing();
    tracer.listen();
    #[cfg(feature = "offline")]
    tracer.restore();
    put(tracer);
}

impl Tracer {
    /// Registers the listeners for events of the page.
    fn listen(&self) {
        let Self { window, document, .. } = self;
        js::listen(document, "visibilitychange", Tag::Hidden);
        js::listen(window, "pagehide", Tag::PageHide);
        js::listen(window, "pageshow", Tag::PageShow);
        js::listen(window, "online", Tag::Online);
        js::listen(window, "load", Tag::Loaded);
        #[cfg(feature = "errors")]
        if self.config.errors {
            js::listen(window, "error", Tag::Failed);
            js::listen(window, "unhandledrejection", Tag::Rejected);
            js::listen(document, "securitypolicyviolation", Tag::PolicyViolated);
            errors::hook();
        }
        #[cfg(feature = "actions")]
        if self.config.actions {
            js::listen(document, "click", Tag::Action);
            js::listen(document, "submit", Tag::Action);
        }
        #[cfg(feature = "errors")]
        if self.config.console_errors {
            js::intercept(&js::get(window, Name::Console), "error", Tag::ConsoleCalled);
        }
        #[cfg(feature = "navigation")]
        if self.config.navigation {
            navigation::start(window);
        }
    }

    /// Handles a callback whose result is not used.
    fn called_back(&mut self, tag: u8, number: u32, a: &JsValue) {
        const fn is(tag: u8, known: Tag) -> bool {
            tag == known as u8
        }
        match tag {
            _ if is(tag, Tag::FetchAnswered) => self.answered(number, a),
            _ if is(tag, Tag::FetchFailed) => self.failed(number, a),
            #[cfg(feature = "xhr")]
            _ if is(tag, Tag::XhrEnded) => self.xhr_ended(a),
            _ if is(tag, Tag::Observed) => self.observed(js::call(a, Name::GetEntries, &[])),
            _ if is(tag, Tag::Flush) => self.on_flush_timer(),
            _ if is(tag, Tag::Settle) => self.settle(),
            _ if is(tag, Tag::GiveUp) => self.on_give_up_timer(),
            _ if is(tag, Tag::Ready) => self.page_ready(),
            _ if is(tag, Tag::Loaded) => self.settle_soon(),
            _ if is(tag, Tag::Activated) => self.activated(),
            _ if is(tag, Tag::Hidden) => self.visibility_changed(),
            _ if is(tag, Tag::PageHide) => self.page_hides(),
            _ if is(tag, Tag::PageShow) => self.shown(a),
            _ if is(tag, Tag::Online) => self.online(),
            _ if is(tag, Tag::Sent) => self.delivered(number, a),
            _ if is(tag, Tag::SentAtExit) => self.delivered_at_exit(number, a),
            _ if is(tag, Tag::IngestTokenRead) => self.ingest_token_read(number, a),
            #[cfg(feature = "actions")]
            _ if is(tag, Tag::Action) => self.on_action(a),
            #[cfg(feature = "actions")]
            _ if is(tag, Tag::ActionOver) => self.action_over(number),
            #[cfg(feature = "navigation")]
            _ if is(tag, Tag::Navigated) => self.navigated(),
            #[cfg(feature = "errors")]
            _ if is(tag, Tag::Failed) => self.error_event(a),
            #[cfg(feature = "errors")]
            _ if is(tag, Tag::Rejected) => self.rejection(a),
            #[cfg(feature = "errors")]
            _ if is(tag, Tag::PolicyViolated) => self.policy_violated(a),
            _ => {}
        }
    }

    /// Creates a span that starts now.
    fn start(&mut self, parent: Option<SpanContext>, name: String, kind: Kind) -> Span {
        if self.timeline.stepped() {
            // The laptop slept or the clock was set: the estimated offset of the server's clock is no longer valid.
            self.clocks.reset();
        }
        let span_id = self.ids.span_id();
        let context = match parent {
            Some(parent) => SpanContext { span_id, ..parent },
            None => {
                let flags = TraceFlags::RANDOM.with_sampled(self.sampled);
                SpanContext { trace_id: self.ids.trace_id(), span_id, flags }
            }
        };
        self.begin_at(context, parent, name, kind, self.timeline.page_ms())
    }

    /// Queues a finished span, unless its session is not recorded and the span is not an error.
    fn record(&mut self, span: &mut Span) {
        // A session that is not recorded is continued too.
        self.touch();
        if !span.context.flags.is_sampled() && !span.error {
            return;
        }
        self.finish_attributes(&mut span.attributes, self.session.id);
        // While a page loads, its spans wait for each other, and for a user id.
        let interval_ms = f64::from(self.config.flush_interval_ms);
        let delay_ms = if self.is_loading() { interval_ms.max(LOADING_MS) } else { interval_ms };
        self.push(Signal::Traces, self.session.id, span.encode(), delay_ms);
    }

    /// Queues an event that happens now, in the current span or else in that of the page.
    fn emit_now(&mut self, name: &'static str, severity: Severity, attributes: Attributes) {
        if self.timeline.stepped() {
            self.clocks.reset();
        }
        let here = self.current();
        self.keep(here.scope);
        let span = here.span.or(self.page);
        self.emit(Event { name, time_ns: self.timeline.now_ns(), severity, attributes, span });
    }

    /// Queues an event, unless the session is not recorded and the event has severity Info.
    fn emit(&mut self, event: Event) {
        self.touch();
        if event.severity != Severity::Info || self.sampled {
            self.emit_for(self.session.id, event);
        }
    }

    /// Queues an event of a session that may be over.
    fn emit_for(&mut self, session: SessionId, mut event: Event) {
        self.finish_attributes(&mut event.attributes, session);
        let body = event.encode(self.timeline.now_ns());
        self.push(Signal::Logs, session, body, f64::from(self.config.flush_interval_ms));
    }

    /// Adds the attributes of every record.
    fn finish_attributes(&self, attributes: &mut Attributes, session: SessionId) {
        let mut id = String::new();
        push_hex(&mut id, &session.to_hex());
        attributes.text("session.id", &id);
        attributes.extend(&self.common);
    }

    fn push(&mut self, signal: Signal, session: SessionId, body: Vec<u8>, delay_ms: f64) {
        let due_ms = self.timeline.page_ms() + delay_ms;
        self.delivery.push(signal, Record { session, body }, due_ms);
        self.schedule();
    }

    /// Returns the context in which code runs: see [`current`].
    fn current(&self) -> Context {
        context::attached().unwrap_or_else(|| self.ambient_context())
    }

    /// Returns whether `traceparent` may be sent to a URL: its origin is the page's own, or one configured by the
    /// application.
    fn propagates_to(&self, url: &UrlParts<'_>) -> bool {
        let is_origin = |origin: &String| origin.strip_prefix(url.scheme) == Some(url.host);
        is_origin(&self.page_origin) || self.config.propagate_to.iter().any(is_origin)
    }

    /// Returns a URL as it is recorded.
    fn redacted(&self, url: &str) -> String {
        self.apply_redact(throughline_context::redact_url(url))
    }

    /// Returns the page's path as it is recorded.
    fn path(&self) -> String {
        self.apply_redact(platform::path())
    }

    fn apply_redact(&self, url: String) -> String {
        match self.config.redact {
            Some(redact) => redact(&url),
            None => url,
        }
    }
}

/// Handles all callbacks of the browser: events, promises, timers, and calls of intercepted functions.
#[expect(clippy::needless_pass_by_value, reason = "the signature of `js::Handler`")]
fn called_back(tag: u8, number: u32, a: JsValue, b: JsValue, c: JsValue) -> Result<JsValue, JsValue> {
    if Tag::is_call(tag) {
        let arguments = c.unchecked_into();
        if tag == Tag::FetchCalled as u8 {
            return fetch::called(&a, &b, &arguments);
        }
        #[cfg(feature = "xhr")]
        if tag != Tag::HistoryCalled as u8 && tag != Tag::ConsoleCalled as u8 {
            return xhr::called(tag, &a, &b, &arguments);
        }
        let result = js::apply(&a, &b, &arguments);
        #[cfg(feature = "navigation")]
        if tag == Tag::HistoryCalled as u8 {
            with(Tracer::navigated);
        }
        #[cfg(feature = "errors")]
        if tag == Tag::ConsoleCalled as u8 {
            with(|tracer| tracer.console_called(&arguments));
        }
        return result;
    }
    if tag == Tag::IngestTokenReceived as u8 {
        return Ok(sender::ingest_token_received(a));
    }
    with(|tracer| tracer.called_back(tag, number, &a));
    // The program awaits the same result or error.
    if tag == Tag::FetchFailed as u8 { Err(a) } else { Ok(a) }
}

/// Returns the current time in Unix nanoseconds; 0 before the start.
#[cfg(feature = "tracing")]
pub(crate) fn now_ns() -> i64 {
    with(|tracer| tracer.timeline.now_ns()).unwrap_or(0)
}
