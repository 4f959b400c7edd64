//! The only place that touches the browser.
//!
//! All that a page's tracer knows is one [`Tracer`]. Whoever needs it takes it and puts it back, so nothing here can be borrowed
//! twice, and what happens while it is taken is simply not traced. It is put back before anybody else's code runs.

pub(crate) mod action;
#[cfg(feature = "actions")]
mod actions;
mod active;
mod document;
#[cfg(feature = "errors")]
mod errors;
mod exit;
mod fetch;
mod finish;
pub mod http;
mod js;
mod navigation;
mod observer;
mod platform;
mod sender;
mod sessions;
#[cfg(feature = "vitals")]
mod vitals;
#[cfg(feature = "xhr")]
mod xhr;

use std::{cell::Cell, rc::Rc, thread::LocalKey};

use throughline_context::{TraceFlags, UrlParts};
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM};
use wasm_bindgen::{JsCast, JsValue};

#[cfg(feature = "errors")]
pub use self::errors::record_error;
pub use self::navigation::navigation;
use self::{
    active::Active,
    js::{Name, Tag},
    platform::{BrowserClock, BrowserRandom},
};
use crate::{
    attributes::{Attributes, Value},
    clock::{Ids, Timeline},
    config::Config,
    context::{self, Context},
    delivery::{Batch, Delivery, Record},
    measure::{Measured, ms},
    record::{Event, Kind, Origin, Severity, Signal, Span, SpanContext},
    session::{Session, SessionId, push_hex},
    summary::{RequestSummary, Status},
};

/// How long the spans of a page that is loading wait for its end, milliseconds.
const LOADING_MS: f64 = 5_000.0;

/// How many requests are kept for a listener that may come.
const MAX_UNHEARD: usize = 20;

type Listener<T> = Rc<dyn Fn(&T)>;
type Summarize = fn(&Active, &Measured);

/// One page's tracer.
pub(crate) struct Tracer {
    config: Config,
    timeline: Timeline<BrowserClock>,
    ids: Ids<BrowserRandom>,
    quantum_ns: i64,
    origin: Origin,
    /// `scheme://host:port` of the page.
    page_origin: String,
    /// The browser's own `fetch`, or whatever stood there before.
    fetch: JsValue,
    window: JsValue,
    document: JsValue,
    performance: JsValue,
    observer: JsValue,
    /// Whether the timing of requests is told: some browsers have no such timeline, and all is coarse there.
    tells_requests: bool,

    session: Session,
    /// Whether the session is recorded.
    sampled: bool,
    /// When the session was last looked at, wall clock.
    looked_ms: f64,
    /// What the application wants on every record.
    common: Attributes,

    /// Whatever has begun and has not ended, by number.
    active: Vec<Active>,
    last_number: u32,
    /// The parent of what is begun without a context: the number of a load, a route change or an action; 0 is none.
    ambient: u32,
    /// Until when a timer is relied upon to look at what may have settled, page milliseconds;
    settles_ms: f64,
    /// and at requests whose timing does not come.
    gives_up_ms: f64,
    clocks: ClockSync,

    delivery: Delivery,
    /// When the next look at the delivery is due, page milliseconds.
    wake_ms: f64,
    /// What was sent while the page went away, and has not been answered.
    exiting: Vec<Batch>,
    #[cfg(feature = "vitals")]
    vitals: vitals::Vitals,
    #[cfg(feature = "errors")]
    repeats: crate::repeat::Repeats,
    /// The page's load, to which what belongs to the whole page is tied.
    page: Option<SpanContext>,
    /// The path that was last seen.
    path: String,
    #[cfg(feature = "errors")]
    panicked: bool,
}

thread_local! {
    static TRACER: Cell<Option<Box<Tracer>>> = const { Cell::new(None) };
    static STARTED: Cell<bool> = const { Cell::new(false) };
    /// What the application said before it started the tracer.
    static SAID_EARLY: Cell<Option<Attributes>> = const { Cell::new(None) };
    static BAGGAGE: Cell<Vec<(String, String)>> = const { Cell::new(Vec::new()) };
    /// The header, if there is anything in it.
    static BAGGAGE_HEADER: Cell<String> = const { Cell::new(String::new()) };
    static STATUS: Cell<Status> = const { Cell::new(Status::Starting) };
    // Set by those who listen, so that a page in which nobody does has none of their code:
    static AFTER: Cell<Option<fn()>> = const { Cell::new(None) };
    static SUMMARIZE: Cell<Option<Summarize>> = const { Cell::new(None) };
    static ON_REQUEST: Cell<Vec<Listener<RequestSummary>>> = const { Cell::new(Vec::new()) };
    static ON_STATUS: Cell<Vec<Listener<Status>>> = const { Cell::new(Vec::new()) };
    static TOLD: Cell<Status> = const { Cell::new(Status::Starting) };
    /// Requests that nobody has been told of yet.
    static SUMMARIES: Cell<Vec<RequestSummary>> = const { Cell::new(Vec::new()) };
}

/// Does something with the tracer, if there is one and nobody else does.
fn with<T>(f: impl FnOnce(&mut Tracer) -> T) -> Option<T> {
    let mut tracer = TRACER.take()?;
    tracer.timeline.clock().go_on();
    let result = f(&mut tracer);
    put_back(tracer);
    Some(result)
}

/// Puts the tracer where everybody finds it. There is none: there is only one, and whoever has it took it from there.
fn put(tracer: Box<Tracer>) {
    // Forgotten, so that no page downloads what would drop a whole tracer.
    std::mem::forget(TRACER.replace(Some(tracer)));
}

#[inline(never)]
fn put_back(tracer: Box<Tracer>) {
    put(tracer);
    if let Some(after) = AFTER.get() {
        after();
    }
}

/// Tells listeners what happened while the tracer was taken. They may add listeners, or ask for anything.
fn tell_listeners() {
    fn tell<T>(listeners: &'static LocalKey<Cell<Vec<Listener<T>>>>, things: &[T]) {
        let mut all = listeners.take();
        for thing in things {
            for listener in &all {
                listener(thing);
            }
        }
        all.append(&mut listeners.take());
        listeners.set(all);
    }
    let status = STATUS.get();
    if TOLD.replace(status) != status {
        tell(&ON_STATUS, &[status]);
    }
    let listening = ON_REQUEST.take();
    let hears = !listening.is_empty();
    ON_REQUEST.set(listening);
    if hears {
        let summaries = SUMMARIES.take();
        if !summaries.is_empty() {
            tell(&ON_REQUEST, &summaries);
        }
    }
}

/// Starts the tracer of this page. A second call changes nothing; nothing here panics or fails the page.
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
    let mut delivery = Delivery::new(config.max_queue, config.max_batch, config.ticket_endpoint.is_some());
    let performance = js::get(&window, Name::Performance);
    let navigation = document::navigation_entry(&performance);
    let ticket = document::page_ticket(&navigation);
    let started = sessions::start(ids.trace_id(), ticket.as_ref().map(|ticket| ticket.session), now_ms);
    if let Some(ticket) = ticket {
        delivery.set_ticket(ticket);
    }
    let mut tracer = Box::new(Tracer {
        origin: Origin::new(&resource, config.scope_name, config.scope_version),
        quantum_ns: platform::quantum_ns(&window),
        page_origin: js::word(&js::get(&window, Name::Location), Name::Origin),
        fetch: js::get(&window, Name::Fetch),
        document: js::get(&window, Name::Document),
        performance,
        observer: JsValue::UNDEFINED,
        tells_requests: false,
        session: started.session,
        sampled: crate::session::is_sampled(started.session.id, config.sample_ratio),
        looked_ms: now_ms,
        common: SAID_EARLY.take().unwrap_or_default(),
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
    tracer.session_found(&started);
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
    /// What happens to the page.
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
            js::listen(document, "click", Tag::Acted);
            js::listen(document, "submit", Tag::Acted);
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

    /// Something that the browser calls back for, and whose result nobody waits for.
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
            _ if is(tag, Tag::Flush) => self.woken(),
            _ if is(tag, Tag::Settle) => self.settle(),
            _ if is(tag, Tag::GiveUp) => self.give_up_in_time(),
            _ if is(tag, Tag::Ready) => self.page_ready(),
            _ if is(tag, Tag::Loaded) => self.settle_soon(),
            _ if is(tag, Tag::Activated) => self.activated(),
            _ if is(tag, Tag::Hidden) => self.visibility_changed(),
            _ if is(tag, Tag::PageHide) => self.page_hides(),
            _ if is(tag, Tag::PageShow) => self.shown(a),
            _ if is(tag, Tag::Online) => self.online(),
            _ if is(tag, Tag::Sent) => self.delivered(number, a),
            _ if is(tag, Tag::SentAtExit) => self.delivered_at_exit(number, a),
            _ if is(tag, Tag::TicketRead) => self.ticket_read(number, a),
            #[cfg(feature = "actions")]
            _ if is(tag, Tag::Acted) => self.acted(a),
            #[cfg(feature = "actions")]
            _ if is(tag, Tag::ActedOver) => self.action_over(number),
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

    /// A new span of this page that starts now.
    fn start(&mut self, parent: Option<SpanContext>, name: String, kind: Kind) -> Span {
        if self.timeline.stepped() {
            // The laptop slept or the clock was set: what was learnt of the server's clock no longer holds.
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

    /// Takes a finished span: it will be sent, unless its session is not recorded and it is no error.
    fn record(&mut self, span: &mut Span) {
        // A session that is not recorded goes on, or ends, all the same.
        self.touch();
        if !span.context.flags.is_sampled() && !span.error {
            return;
        }
        self.finish_attributes(&mut span.attributes, self.session.id);
        // While a page loads, its spans wait for each other, and for who it is that loads it.
        let interval_ms = f64::from(self.config.flush_interval_ms);
        let delay_ms = if self.is_loading() { interval_ms.max(LOADING_MS) } else { interval_ms };
        self.push(Signal::Traces, self.session.id, span.encode(), delay_ms);
    }

    /// Takes an event that happens now, in the current span, or else in that of the page.
    fn tell_now(&mut self, name: &'static str, severity: Severity, attributes: Attributes) {
        if self.timeline.stepped() {
            self.clocks.reset();
        }
        let here = self.current();
        self.keep(here.scope);
        let span = here.span.or(self.page);
        self.tell(Event { name, time_ns: self.timeline.now_ns(), severity, attributes, span });
    }

    /// Takes an event: it will be sent, unless the session is not recorded and it is no error.
    fn tell(&mut self, event: Event) {
        self.touch();
        if event.severity != Severity::Info || self.sampled {
            self.tell_of(self.session.id, event);
        }
    }

    /// Takes an event of a session that may be over.
    fn tell_of(&mut self, session: SessionId, mut event: Event) {
        self.finish_attributes(&mut event.attributes, session);
        let body = event.encode(self.timeline.now_ns());
        self.push(Signal::Logs, session, body, f64::from(self.config.flush_interval_ms));
    }

    /// What every record has.
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

    /// The context in which code runs: see [`current`].
    fn current(&self) -> Context {
        context::attached().unwrap_or_else(|| self.ambient_context())
    }

    /// Whether a URL may be sent `traceparent`: one of the page's own origin, or of one that the application named.
    fn propagates_to(&self, url: &UrlParts<'_>) -> bool {
        let is_origin = |origin: &String| origin.strip_prefix(url.scheme) == Some(url.host);
        is_origin(&self.page_origin) || self.config.propagate_to.iter().any(is_origin)
    }

    /// A URL as it is recorded.
    fn redacted(&self, url: &str) -> String {
        let url = throughline_context::redact_url(url);
        match self.config.redact {
            Some(redact) => redact(&url),
            None => url,
        }
    }
}

/// The browser calls back: an event, a promise, a timer, or somebody who calls what was intercepted.
#[expect(clippy::needless_pass_by_value, reason = "the form of every handler")]
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
    if tag == Tag::TicketCame as u8 {
        return Ok(sender::ticket_came(a));
    }
    with(|tracer| tracer.called_back(tag, number, &a));
    // What a program awaits comes through as it was.
    if tag == Tag::FetchFailed as u8 { Err(a) } else { Ok(a) }
}

/// Says that the application is mounted: the page-load span ends when the requests that belong to it have ended. Without it
/// the span ends some seconds after the start.
pub fn app_ready() {
    with(Tracer::page_ready);
}

/// Who uses the page: `user.id` on every record that is not sent yet and on all that follow, until somebody else does.
pub fn set_user_id(user_id: Option<&str>) {
    match user_id {
        Some(user_id) => set_attribute("user.id", user_id.to_owned()),
        None => {
            if with(|tracer| tracer.common.remove("user.id")).is_none() {
                let mut early = SAID_EARLY.take().unwrap_or_default();
                early.remove("user.id");
                SAID_EARLY.set(Some(early));
            }
        }
    }
}

/// One more attribute for every span and event from now on, and for those that wait and lack it.
pub fn set_attribute(key: &str, value: impl Into<Value>) {
    let value = value.into();
    let said = with(|tracer| {
        let mut waiting = Attributes::default();
        waiting.put(key, &value);
        tracer.delivery.describe_waiting(tracer.session.id, &waiting, key);
        tracer.common.remove(key);
        tracer.common.put(key, &value);
    });
    if said.is_none() {
        let mut early = SAID_EARLY.take().unwrap_or_default();
        early.set(key, value);
        SAID_EARLY.set(Some(early));
    }
}

/// One more entry of W3C Baggage for the requests that carry `traceparent`, in place of an earlier one; `None` takes it out.
/// Whoever receives those requests can read it. A key that is no token (RFC 9110 §5.6.2) is left out, and so is what would be
/// more than 64 entries or 8192 bytes.
pub fn set_baggage(key: &str, value: Option<&str>) {
    let mut entries = BAGGAGE.take();
    entries.retain(|(known, _)| known != key);
    if let Some(value) = value {
        entries.push((key.to_owned(), value.to_owned()));
    }
    let mut baggage = throughline_context::Baggage::default();
    for (key, value) in &entries {
        // Said above.
        let _ = baggage.insert(key, value);
    }
    BAGGAGE.set(entries);
    BAGGAGE_HEADER.set(baggage.to_string());
}

/// The session's id, 32 hexadecimal digits, if the tracer runs.
#[must_use]
pub fn session_id() -> Option<String> {
    with(|tracer| tracer.session.id.to_string())
}

/// Tells of something that happened: a log record with this event name, in the span that is current.
pub fn event(name: &'static str, attributes: Attributes) {
    with(|tracer| tracer.tell_now(name, Severity::Info, attributes));
}

/// The context in which this code runs: that of the wrapped future or closure, else that of the page load, route change or
/// user action that has not settled yet, else none.
#[must_use]
pub fn current() -> Context {
    context::attached()
        .or_else(|| {
            with(|tracer| {
                let here = tracer.ambient_context();
                // Whoever asks may begin something in it later: then its parent has to be there.
                tracer.keep(here.scope);
                here
            })
        })
        .unwrap_or_default()
}

/// Calls `listener` with each finished request once its timing is known. To hear of those that end before anybody listens, that
/// of the document among them, say [`keep_requests`] before [`init`].
pub fn on_request(listener: impl Fn(&RequestSummary) + 'static) {
    keep_requests();
    let mut all = ON_REQUEST.take();
    all.push(Rc::new(listener));
    ON_REQUEST.set(all);
    // What was kept is told.
    with(|_| ());
}

/// Keeps the first few finished requests for a listener that comes later.
pub fn keep_requests() {
    SUMMARIZE.set(Some(summarize));
    AFTER.set(Some(tell_listeners));
}

/// Calls `listener` now with the present status, and again at each change.
pub fn on_status(listener: impl Fn(&Status) + 'static) {
    let status = if STARTED.get() { STATUS.get() } else { Status::Off("the tracer was not started") };
    listener(&status);
    TOLD.set(status);
    let mut all = ON_STATUS.take();
    all.push(Rc::new(listener));
    ON_STATUS.set(all);
    AFTER.set(Some(tell_listeners));
}

/// Keeps what a listener is told of a request.
fn summarize(call: &Active, measured: &Measured) {
    let Active { span, url, .. } = call;
    let listening = ON_REQUEST.take();
    let hears = !listening.is_empty();
    ON_REQUEST.set(listening);
    let mut all = SUMMARIES.take();
    if hears || all.len() < MAX_UNHEARD {
        let text = |key| span.attributes.get_text(key);
        all.push(RequestSummary {
            trace_id: span.context.trace_id.to_string(),
            span_id: span.context.span_id.to_string(),
            method: text("http.request.method").unwrap_or_default(),
            path: UrlParts::of(url).path.to_owned(),
            status: span.attributes.get_int("http.response.status_code").map(|status| status as u16),
            error: text("error.type"),
            start_ms: ms(span.start_ns),
            total_ms: ms(span.end_ns - span.start_ns),
            segments: measured.segments_ms(),
            quality: measured.decomposition.quality.as_str(),
            network: measured.network(),
        });
    }
    SUMMARIES.set(all);
}

/// How many finished records this page lost so far, because the queue was full or the door refused them.
#[must_use]
pub fn dropped() -> u64 {
    with(|tracer| tracer.delivery.dropped()).unwrap_or_default()
}

/// Sends what is waiting, now.
pub fn flush() {
    with(|tracer| {
        tracer.drain();
        tracer.delivery.hurry();
        tracer.pump();
    });
}

/// Now, Unix nanoseconds; 0 before the start.
#[cfg(feature = "tracing")]
pub(crate) fn now_ns() -> i64 {
    with(|tracer| tracer.timeline.now_ns()).unwrap_or_default()
}
