//! The only place that touches the browser.

pub(crate) mod action;
mod actions;
mod document;
mod errors;
mod exit;
mod fetch;
mod finish;
pub mod http;
mod js;
mod navigation;
mod observer;
mod platform;
mod scope;
mod sender;
mod sessions;
mod vitals;
#[cfg(feature = "xhr")]
mod xhr;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use throughline_context::TraceFlags;
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM};
use wasm_bindgen::JsValue;

use self::{
    action::Open,
    fetch::Call,
    js::{Name, Tag},
    observer::Watch,
    platform::{BrowserClock, BrowserRandom},
    scope::RootScope,
    sender::Exiting,
};
pub use self::{errors::record_error, navigation::navigation};
use crate::{
    attributes::{Attributes, Value},
    clock::{Ids, Timeline},
    config::Config,
    context::{self, Context},
    delivery::{Delivery, Record},
    record::{Event, Kind, Origin, Severity, Signal, Span, SpanContext},
    repeat::Repeats,
    session::Session,
    summary::{RequestSummary, Status},
};

/// How long the spans of a page that is loading wait for its end, milliseconds.
const LOADING_MS: f64 = 5_000.0;

/// How many requests are kept for a listener that may come.
const MAX_UNHEARD: usize = 20;

type Listener<T> = Rc<dyn Fn(&T)>;

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
    document: JsValue,
    performance: JsValue,

    session: RefCell<Session>,
    /// Whether the session is recorded.
    sampled: Cell<bool>,
    /// When the session was last looked at, wall clock.
    looked_ms: Cell<f64>,
    /// What the application wants on every record.
    common: RefCell<Attributes>,
    baggage: RefCell<Vec<(String, String)>>,

    ambient: RefCell<Option<Rc<RootScope>>>,
    /// The action whose task is not over.
    acting: RefCell<Option<(u32, Rc<RootScope>)>>,
    /// Scopes that may have come to their end.
    settling: RefCell<Vec<Rc<RootScope>>>,
    open: RefCell<Vec<Open>>,
    calls: RefCell<Vec<Call>>,
    next_number: Cell<u32>,
    gives_up: Cell<bool>,
    clocks: RefCell<ClockSync>,

    delivery: RefCell<Delivery>,
    /// When the next look at the delivery is due, page milliseconds.
    wake_ms: Cell<f64>,
    exiting: RefCell<Vec<Exiting>>,
    watch: RefCell<Watch>,
    vitals: RefCell<vitals::Vitals>,
    repeats: RefCell<Repeats>,
    /// The page's load, to which what belongs to the whole page is tied.
    page: Cell<Option<SpanContext>>,
    /// The address that was last seen.
    address: RefCell<String>,

    on_request: RefCell<Vec<Listener<RequestSummary>>>,
    /// Requests that ended before anybody listened: that of the document always does.
    unheard: RefCell<Vec<RequestSummary>>,
    on_status: RefCell<Vec<Listener<Status>>>,
    status: RefCell<Status>,
}

thread_local! {
    static TRACER: RefCell<Option<Rc<Tracer>>> = const { RefCell::new(None) };
    /// What the application said before it started the tracer.
    static SAID_EARLY: RefCell<Option<Attributes>> = const { RefCell::new(None) };
    static OFF: Cell<bool> = const { Cell::new(false) };
}

fn tracer() -> Option<Rc<Tracer>> {
    TRACER.try_with(|tracer| tracer.try_borrow().ok()?.clone()).ok().flatten()
}

/// Starts the tracer of this page. A second call changes nothing; nothing here panics or fails the page.
pub fn init(config: Config) {
    if tracer().is_some() {
        return;
    }
    let Some((clock, origin_ms)) = BrowserClock::new() else {
        OFF.set(true);
        return;
    };
    js::on_call_back(called_back);
    let window = js::window();
    let mut resource = config.resource.clone();
    platform::describe(&mut resource);
    let timeline = Timeline::new(clock, origin_ms);
    let ids = Ids::new(BrowserRandom);
    let navigation = document::navigation_entry();
    let ticket = navigation.as_ref().and_then(document::page_ticket);
    let now_ms = timeline.wall_ms();
    let mut delivery = Delivery::new(config.max_queue, config.max_batch, config.ticket_endpoint.is_some());
    let started = sessions::start(&ids, ticket.as_ref().map(|ticket| &ticket.session), now_ms);
    if let Some(ticket) = ticket {
        delivery.set_ticket(ticket);
    }
    let tracer = Rc::new(Tracer {
        origin: Origin::new(&resource, config.scope_name, config.scope_version),
        quantum_ns: platform::quantum_ns(),
        page_origin: js::text(&js::get(&window, Name::Location), Name::Origin).unwrap_or_default(),
        fetch: js::get(&window, Name::Fetch),
        document: js::get(&window, Name::Document),
        performance: js::get(&window, Name::Performance),
        session: RefCell::new(started.session.clone()),
        sampled: Cell::new(true),
        looked_ms: Cell::new(now_ms),
        common: RefCell::new(SAID_EARLY.take().unwrap_or_default()),
        baggage: RefCell::default(),
        ambient: RefCell::default(),
        acting: RefCell::default(),
        settling: RefCell::default(),
        open: RefCell::default(),
        calls: RefCell::default(),
        next_number: Cell::new(1),
        gives_up: Cell::new(false),
        clocks: RefCell::new(ClockSync::new(DEFAULT_DRIFT_PPM)),
        delivery: RefCell::new(delivery),
        wake_ms: Cell::new(f64::INFINITY),
        exiting: RefCell::default(),
        watch: RefCell::default(),
        vitals: RefCell::default(),
        repeats: RefCell::default(),
        page: Cell::new(None),
        address: RefCell::new(platform::path()),
        on_request: RefCell::default(),
        unheard: RefCell::default(),
        on_status: RefCell::default(),
        status: RefCell::new(Status::Starting),
        timeline,
        ids,
        config,
    });
    TRACER.set(Some(Rc::clone(&tracer)));
    document::start(&tracer, navigation);
    sessions::begun(&tracer, &started);
    if tracer.config.fetch {
        js::intercept(&window, "fetch", Tag::FetchCalled);
    }
    #[cfg(feature = "xhr")]
    if tracer.config.xhr {
        xhr::start();
    }
    observer::start(&tracer);
    exit::start(&tracer);
    if tracer.config.errors {
        errors::start(&tracer);
    }
    if tracer.config.actions {
        actions::start(&tracer);
    }
    if tracer.config.navigation {
        navigation::start();
    }
    sender::restore(&tracer);
}

#[expect(clippy::needless_pass_by_value, reason = "the form of every handler")]
/// The browser calls back: an event, a promise, a timer, or somebody who calls what was intercepted.
fn called_back(tag: u8, number: u32, a: JsValue, b: JsValue, c: JsValue) -> Result<JsValue, JsValue> {
    const fn is(tag: u8, known: Tag) -> bool {
        tag == known as u8
    }
    let Some(tracer) = tracer() else {
        return if Tag::is_call(tag) { js::apply(&a, &b, &js::array(&c)) } else { Ok(a) };
    };
    let tracer = &tracer;
    match tag {
        _ if is(tag, Tag::FetchCalled) => return fetch::called(tracer, &a, &b, &c),
        _ if is(tag, Tag::FetchAnswered) => fetch::answered(tracer, number, &a),
        _ if is(tag, Tag::FetchFailed) => {
            fetch::failed(tracer, number, &a);
            return Err(a);
        }
        #[cfg(feature = "xhr")]
        _ if is(tag, Tag::XhrOpened) => return xhr::opened(&a, &b, &c),
        #[cfg(feature = "xhr")]
        _ if is(tag, Tag::XhrSent) => return xhr::sent(tracer, &a, &b, &c),
        #[cfg(feature = "xhr")]
        _ if is(tag, Tag::XhrEnded) => xhr::ended(tracer, number, &a),
        _ if is(tag, Tag::Observed) => observer::observed(tracer, &a),
        _ if is(tag, Tag::Flush) => sender::woken(tracer),
        _ if is(tag, Tag::Settle) => scope::settle(tracer),
        _ if is(tag, Tag::GiveUp) => finish::give_up_in_time(tracer),
        _ if is(tag, Tag::Ready) => document::ready(tracer),
        _ if is(tag, Tag::Loaded) => scope::settle_soon(tracer, None),
        _ if is(tag, Tag::Activated) => document::activated(tracer),
        _ if is(tag, Tag::Hidden) => exit::visibility_changed(tracer),
        _ if is(tag, Tag::PageHide) => exit::page_hides(tracer),
        _ if is(tag, Tag::PageShow) => document::shown(tracer, &a),
        _ if is(tag, Tag::Online) => sender::online(tracer),
        _ if is(tag, Tag::Sent) => sender::answered(tracer, &a),
        _ if is(tag, Tag::SendFailed) => sender::failed(tracer),
        _ if is(tag, Tag::SentAtExit) => sender::answered_at_exit(tracer, number, &a),
        _ if is(tag, Tag::TicketCame) => return Ok(sender::ticket_came(a)),
        _ if is(tag, Tag::TicketRead) => sender::ticket_read(tracer, &a),
        _ if is(tag, Tag::Acted) => actions::acted(tracer, &a),
        _ if is(tag, Tag::ActedOver) => actions::over(tracer, number),
        _ if is(tag, Tag::Navigated) => navigation::navigated(tracer),
        _ if is(tag, Tag::HistoryCalled) => {
            let result = js::apply(&a, &b, &js::array(&c));
            navigation::navigated(tracer);
            return result;
        }
        _ if is(tag, Tag::Failed) => errors::failed(tracer, &a),
        _ if is(tag, Tag::Rejected) => errors::rejected(tracer, &a),
        _ if is(tag, Tag::PolicyViolated) => errors::policy_violated(tracer, &a),
        _ if is(tag, Tag::ConsoleCalled) => {
            errors::console_called(tracer, &c);
            return js::apply(&a, &b, &js::array(&c));
        }
        _ => {}
    }
    Ok(a)
}

/// Says that the application is mounted: the page-load span ends when the requests that belong to it have ended. Without it
/// the span ends some seconds after the start.
pub fn app_ready() {
    if let Some(tracer) = tracer() {
        document::ready(&tracer);
    }
}

/// Who uses the page: `user.id` on every record that is not sent yet and on all that follow, until somebody else does.
pub fn set_user_id(user_id: Option<&str>) {
    match user_id {
        Some(user_id) => set_attribute("user.id", user_id.to_owned()),
        None => {
            if let Some(tracer) = tracer() {
                tracer.common.borrow_mut().remove("user.id");
            }
        }
    }
}

/// One more attribute for every span and event from now on, and for those that wait and lack it.
pub fn set_attribute(key: &str, value: impl Into<Value>) {
    let value = value.into();
    let Some(tracer) = tracer() else {
        SAID_EARLY.with_borrow_mut(|early| early.get_or_insert_default().set(key, value));
        return;
    };
    let mut waiting = Attributes::default();
    waiting.put(key, &value);
    tracer.delivery.borrow_mut().describe_waiting(&waiting, key);
    let mut common = tracer.common.borrow_mut();
    common.remove(key);
    common.put(key, &value);
}

/// One more entry of W3C Baggage for the requests that carry `traceparent`, in place of an earlier one; `None` takes it out.
/// Whoever receives those requests can read it.
pub fn set_baggage(key: &str, value: Option<&str>) {
    if let Some(tracer) = tracer() {
        let mut baggage = tracer.baggage.borrow_mut();
        baggage.retain(|(known, _)| known != key);
        if let Some(value) = value {
            baggage.push((key.to_owned(), value.to_owned()));
        }
    }
}

/// The session's id, 32 hexadecimal digits, if the tracer runs.
#[must_use]
pub fn session_id() -> Option<String> {
    tracer().map(|tracer| tracer.session.borrow().id.as_ref().to_owned())
}

/// Tells of something that happened: a log record with this event name, in the span that is current.
pub fn event(name: &'static str, attributes: Attributes) {
    if let Some(tracer) = tracer() {
        tracer.tell(Event { name: name.into(), severity: Severity::Info, attributes, ..tracer.event() });
    }
}

/// The context in which this code runs: that of the wrapped future or closure, else that of the page load, route change or
/// user action that has not settled yet, else none.
#[must_use]
pub fn current() -> Context {
    context::attached()
        .or_else(|| tracer().and_then(|tracer| tracer.ambient.borrow().as_ref().map(RootScope::context)))
        .unwrap_or_default()
}

/// Calls `listener` with each finished request once its timing is known; the first listener also gets the few that ended
/// before it listened, that of the document among them.
pub fn on_request(listener: impl Fn(&RequestSummary) + 'static) {
    if let Some(tracer) = tracer() {
        for summary in tracer.unheard.take() {
            listener(&summary);
        }
        tracer.on_request.borrow_mut().push(Rc::new(listener));
    }
}

/// Calls `listener` now with the present status, and again at each change.
pub fn on_status(listener: impl Fn(&Status) + 'static) {
    let Some(tracer) = tracer() else {
        let why = if OFF.get() { "this browser has no high-resolution clock" } else { "the tracer was not started" };
        listener(&Status::Off(why));
        return;
    };
    let now = tracer.status.borrow().clone();
    listener(&now);
    tracer.on_status.borrow_mut().push(Rc::new(listener));
}

/// How many finished records this page lost so far, because the queue was full or the door refused them.
#[must_use]
pub fn dropped() -> u64 {
    tracer().map_or(0, |tracer| tracer.delivery.borrow().dropped())
}

/// Now, Unix nanoseconds; 0 before the start.
#[cfg(feature = "tracing")]
pub(crate) fn now_ns() -> i64 {
    tracer().map_or(0, |tracer| tracer.timeline.now_ns())
}

/// Sends what is waiting, now.
pub fn flush() {
    if let Some(tracer) = tracer() {
        observer::drain(&tracer);
        tracer.delivery.borrow_mut().hurry(0.0);
        sender::pump(&tracer);
    }
}

impl Tracer {
    /// A new span of this page that starts now.
    fn start(&self, parent: &Context, name: impl Into<std::borrow::Cow<'static, str>>, kind: Kind) -> Span {
        if self.timeline.stepped() {
            // The laptop slept or the clock was set: what was learnt of the server's clock no longer holds.
            self.clocks.borrow_mut().reset();
        }
        let parent = parent.span;
        let context = match parent {
            Some(parent) => SpanContext { span_id: self.ids.span_id(), ..parent },
            None => SpanContext {
                trace_id: self.ids.trace_id(),
                span_id: self.ids.span_id(),
                flags: TraceFlags::RANDOM.with_sampled(self.sampled.get()),
            },
        };
        let now_ns = self.timeline.now_ns();
        Span {
            context,
            parent: parent.map(|span| span.span_id),
            name: name.into(),
            kind,
            start_ns: now_ns,
            end_ns: now_ns,
            attributes: Attributes::default(),
            events: Vec::new(),
            error: false,
        }
    }

    /// A number for a call, a request or a timer.
    fn number(&self) -> u32 {
        let number = self.next_number.get();
        self.next_number.set(if number == u32::MAX { 1 } else { number + 1 });
        number
    }

    /// Takes a finished span: it will be sent, unless its session is not recorded and it is no error.
    fn record(self: &Rc<Self>, mut span: Span) {
        if !span.context.flags.is_sampled() && !span.error {
            return;
        }
        sessions::touch(self);
        let session = Rc::clone(&self.session.borrow().id);
        self.finish(&mut span.attributes, &session);
        // While a page loads, its spans wait for each other, and for who it is that loads it.
        let interval_ms = f64::from(self.config.flush_interval_ms);
        let loads = self.ambient.borrow().as_ref().is_some_and(|scope| scope.is_page_load());
        let delay_ms = if loads { interval_ms.max(LOADING_MS) } else { interval_ms };
        self.push(Signal::Traces, session, span.encode(), delay_ms);
    }

    /// An event that happens now, in the current span, or else in that of the page.
    fn event(&self) -> Event {
        let here = current();
        if let Some(scope) = &here.scope {
            scope.keep();
        }
        Event {
            name: "".into(),
            time_ns: self.timeline.now_ns(),
            severity: Severity::Info,
            attributes: Attributes::default(),
            span: here.span.or(self.page.get()),
        }
    }

    /// Takes an event: it will be sent, unless the session is not recorded and it is no error.
    fn tell(self: &Rc<Self>, event: Event) {
        if event.severity == Severity::Info && !self.sampled.get() {
            return;
        }
        sessions::touch(self);
        let session = Rc::clone(&self.session.borrow().id);
        self.tell_of(session, event);
    }

    /// Takes an event of a session that may be over.
    fn tell_of(self: &Rc<Self>, session: Rc<str>, mut event: Event) {
        self.finish(&mut event.attributes, &session);
        let body = event.encode(self.timeline.now_ns());
        self.push(Signal::Logs, session, body, f64::from(self.config.flush_interval_ms));
    }

    /// What every record has.
    fn finish(&self, attributes: &mut Attributes, session: &str) {
        attributes.text("session.id", session);
        attributes.extend(&self.common.borrow());
    }

    fn push(self: &Rc<Self>, signal: Signal, session: Rc<str>, body: Vec<u8>, delay_ms: f64) {
        let due_ms = self.timeline.page_ms() + delay_ms;
        self.delivery.borrow_mut().push(signal, Record { session, body }, due_ms);
        sender::schedule(self);
    }

    fn announce(&self, summary: RequestSummary) {
        // Cloned first: a listener may add a listener.
        let listeners = self.on_request.borrow().clone();
        if listeners.is_empty() {
            let mut unheard = self.unheard.borrow_mut();
            if unheard.len() < MAX_UNHEARD {
                unheard.push(summary);
            }
            return;
        }
        for listener in listeners {
            listener(&summary);
        }
    }

    /// Whether anybody would hear of a request.
    fn is_heard(&self) -> bool {
        !self.on_request.borrow().is_empty() || self.unheard.borrow().len() < MAX_UNHEARD
    }

    fn set_status(&self, status: Option<Status>) {
        let Some(status) = status.filter(|status| *self.status.borrow() != *status) else { return };
        let listeners = self.on_status.borrow().clone();
        for listener in listeners {
            listener(&status);
        }
        self.status.replace(status);
    }

    /// Whether a URL may be sent `traceparent`: the page's own origin, or one that the application named.
    fn propagates_to(&self, origin: &str) -> bool {
        !origin.is_empty()
            && (origin == self.page_origin || self.config.propagate_to.iter().any(|allowed| allowed == origin))
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
