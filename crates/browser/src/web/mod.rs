//! The only place that touches the browser.

pub(crate) mod action;
mod clock;
mod delivery;
mod finish;
pub mod http;
mod observer;
mod page_load;
mod platform;
mod scope;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use throughline_context::{SpanId, TraceFlags, TraceId, keys};
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM};

use self::{
    clock::Clock,
    delivery::Delivery,
    finish::{Awaiting, UnderWay},
    observer::Entry,
    scope::RootScope,
};
use crate::{
    config::Config,
    context::{self, Context},
    encode::Origin,
    queue::Queue,
    span::{Attributes, Kind, SpanContext, SpanData},
    summary::{RequestSummary, Status},
};

/// How long the spans of a page that is loading wait for its end, milliseconds.
const LOADING_MS: u32 = 5_000;

/// How many requests are kept for a listener that may come.
const MAX_UNHEARD: usize = 20;

type Listener<T> = Rc<dyn Fn(&T)>;

/// One page's tracer.
pub(crate) struct Tracer {
    config: Config,
    clock: Clock,
    origin: Origin,
    /// `scheme://host:port` of the page.
    page_origin: String,
    queue: RefCell<Queue>,
    clocks: RefCell<ClockSync>,
    user_id: RefCell<Option<String>>,
    session_id: RefCell<Option<String>>,
    ambient: RefCell<Option<Rc<RootScope>>>,
    under_way: RefCell<Vec<UnderWay>>,
    awaiting: RefCell<Vec<Awaiting>>,
    /// Timing of requests that are under way still, as far as the program knows.
    early: RefCell<Vec<Entry>>,
    delivery: Delivery,
    observer: RefCell<Option<observer::Observer>>,
    on_request: RefCell<Vec<Listener<RequestSummary>>>,
    /// Requests that ended before anybody listened: that of the document always does.
    unheard: RefCell<Vec<RequestSummary>>,
    on_status: RefCell<Vec<Listener<Status>>>,
    status: RefCell<Status>,
}

thread_local! {
    static TRACER: RefCell<Option<Rc<Tracer>>> = const { RefCell::new(None) };
    static WAITING_USER: RefCell<Option<String>> = const { RefCell::new(None) };
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
    let Some(clock) = Clock::new() else {
        OFF.set(true);
        return;
    };
    let mut resource = Attributes::default();
    resource.set("service.name", config.service_name.clone());
    platform::describe(&mut resource);
    let tracer = Rc::new(Tracer {
        origin: Origin { resource, scope_name: config.scope_name, scope_version: config.scope_version },
        page_origin: platform::origin(),
        queue: RefCell::new(Queue::new(config.max_queue)),
        clocks: RefCell::new(ClockSync::new(DEFAULT_DRIFT_PPM)),
        user_id: RefCell::new(WAITING_USER.take()),
        session_id: RefCell::new(platform::stored_session()),
        ambient: RefCell::default(),
        under_way: RefCell::default(),
        awaiting: RefCell::default(),
        early: RefCell::default(),
        delivery: Delivery::default(),
        observer: RefCell::default(),
        on_request: RefCell::default(),
        unheard: RefCell::default(),
        on_status: RefCell::default(),
        status: RefCell::new(Status::Starting),
        clock,
        config,
    });
    TRACER.set(Some(Rc::clone(&tracer)));
    page_load::start(&tracer);
    tracer.observer.replace(observer::Observer::start());
    delivery::flush_at_exit();
}

/// Says that the application is mounted: the page-load span ends when the requests that belong to it have ended.
pub fn app_ready() {
    if let Some(scope) = tracer().and_then(|tracer| tracer.ambient.borrow().clone()) {
        scope.release_soon();
    }
}

/// Says that the route changed inside the page, to `route` (a template such as `/{handle}`). What is fetched until that
/// settles becomes a child of the span `navigate {route}`.
pub fn navigation(route: &str) {
    if let Some(tracer) = tracer() {
        scope::navigate(&tracer, route);
    }
}

/// Who uses the page: `app.user_id` on every span that is not sent yet.
pub fn set_user_id(user_id: Option<&str>) {
    let user_id = user_id.map(str::to_owned);
    let Some(tracer) = tracer() else {
        WAITING_USER.set(user_id);
        return;
    };
    if let Some(user_id) = &user_id {
        // Until now nobody knew; what has ended and waits is theirs as well.
        tracer.queue.borrow_mut().set_missing(keys::APP_USER_ID, user_id);
    }
    tracer.user_id.replace(user_id);
}

/// The context in which this code runs: that of the wrapped future or closure, else that of the page load or route change
/// that has not settled yet, else none.
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
        listener(&Status::Off(why.to_owned()));
        return;
    };
    let now = tracer.status.borrow().clone();
    listener(&now);
    tracer.on_status.borrow_mut().push(Rc::new(listener));
}

/// How many finished spans this page lost so far, because the queue was full or the door refused them.
#[must_use]
pub fn dropped() -> u64 {
    tracer().map_or(0, |tracer| tracer.queue.borrow().dropped())
}

/// Sends what is waiting, now.
pub fn flush() {
    if let Some(tracer) = tracer() {
        delivery::flush_now(&tracer);
    }
}

impl Tracer {
    /// A new span of this page that starts now.
    fn start(&self, parent: &Context, name: String, kind: Kind) -> SpanData {
        if self.clock.stepped() {
            // The laptop slept or the clock was set: what was learnt of the server's clock no longer holds.
            self.clocks.borrow_mut().reset();
        }
        let now_ns = self.clock.now_ns();
        SpanData {
            context: SpanContext {
                trace_id: parent.span.map_or_else(new_trace_id, |span| span.trace_id),
                span_id: new_span_id(),
                flags: parent.span.map_or(TraceFlags::SAMPLED | TraceFlags::RANDOM, |span| span.flags),
            },
            parent: parent.span.map(|span| span.span_id),
            name: name.into(),
            kind,
            start_ns: now_ns,
            end_ns: now_ns,
            attributes: Attributes::default(),
            events: Vec::new(),
            error: false,
        }
    }

    /// Takes a finished span: it will be sent.
    fn record(self: &Rc<Self>, mut span: SpanData) {
        if !span.context.flags.is_sampled() {
            return;
        }
        if let Some(session_id) = self.session_id.borrow().as_ref() {
            span.attributes.set("session.id", session_id.clone());
        }
        if let Some(user_id) = self.user_id.borrow().as_ref() {
            span.attributes.set(keys::APP_USER_ID, user_id.clone());
        }
        span.end_ns = span.end_ns.max(span.start_ns);
        let waiting = {
            let mut queue = self.queue.borrow_mut();
            queue.push(span);
            queue.len()
        };
        let interval_ms = self.config.flush_interval_ms;
        // While a page loads, its spans wait for each other, and for who it is that loads it.
        let delay_ms = match self.ambient.borrow().is_some() {
            _ if waiting >= self.config.max_batch => 0,
            true => interval_ms.max(LOADING_MS),
            false => interval_ms,
        };
        delivery::schedule(self, delay_ms);
    }

    fn announce(&self, summary: &RequestSummary) {
        // Cloned first: a listener may add a listener.
        let listeners = self.on_request.borrow().clone();
        if listeners.is_empty() {
            let mut unheard = self.unheard.borrow_mut();
            if unheard.len() < MAX_UNHEARD {
                unheard.push(summary.clone());
            }
        }
        for listener in listeners {
            listener(summary);
        }
    }

    fn set_status(&self, status: Status) {
        if *self.status.borrow() == status {
            return;
        }
        let listeners = self.on_status.borrow().clone();
        for listener in listeners {
            listener(&status);
        }
        self.status.replace(status);
    }

    /// Whether a URL may be sent `traceparent`: the page's own origin, or one that the application named.
    fn propagates_to(&self, origin: &str) -> bool {
        origin == self.page_origin || self.config.propagate_to.iter().any(|allowed| allowed == origin)
    }
}

fn new_trace_id() -> TraceId {
    loop {
        if let Some(id) = TraceId::from_bytes(platform::random()) {
            return id;
        }
    }
}

fn new_span_id() -> SpanId {
    loop {
        if let Some(id) = SpanId::from_bytes(platform::random()) {
            return id;
        }
    }
}
