//! Batches on their way to the door: one at a time, retried where that helps, all at once when the page goes.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::{JSON, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RequestInit, Response, VisibilityState};

use super::{Tracer, finish, http::bytes, platform, tracer};
use crate::{
    encode::{export_request, export_requests_within},
    span::SpanData,
    summary::Status,
};

const TICKET_HEADER: &str = "x-throughline-ticket";
const CONTENT_TYPE: &str = "application/x-protobuf";
/// The browser lets 64 KiB of keepalive bodies be in flight for a page; below that with room for its own headers.
const KEEPALIVE_LIMIT_BYTES: usize = 60_000;
const FIRST_RETRY_MS: u32 = 1_000;
const LAST_RETRY_MS: u32 = 60_000;
/// A `Retry-After` is honoured up to this.
const LONGEST_WAIT_MS: u32 = 300_000;

/// The state of the way out.
#[derive(Default)]
pub(super) struct Delivery {
    /// The batch under way: if the page goes, it is sent again, and the door keeps each span once.
    under_way: RefCell<Option<Rc<[SpanData]>>>,
    /// When the next flush is due, page milliseconds; one timer at a time counts.
    due_page_ms: Cell<Option<f64>>,
    /// Before this the door wants to hear nothing, page milliseconds.
    not_before_page_ms: Cell<f64>,
    backoff_ms: Cell<u32>,
    /// Whether a timer runs that completes requests whose timing does not come.
    gives_up_later: Cell<bool>,
    ticket: RefCell<Option<String>>,
}

/// What became of a batch.
enum Sent {
    Accepted,
    /// The ticket has run out or was never good.
    NoTicket(String),
    /// It will never be accepted.
    Refused(String),
    /// It may be accepted later; the door may have said when.
    Later(Status, Option<u32>),
}

impl Delivery {
    /// Takes the ticket that came with the page, and the session that it is for.
    pub(super) fn page_ticket(&self, tracer: &Tracer, ticket: &str) {
        let Some(session_id) = ticket.split('.').nth(2).filter(|session_id| is_session_id(session_id)) else { return };
        platform::store_session(session_id);
        tracer.session_id.replace(Some(session_id.to_owned()));
        self.ticket.replace(Some(ticket.to_owned()));
    }
}

/// 32 lower-case hex digits: anything else in the storage is not ours.
pub(super) fn is_session_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Sends what waits in `delay_ms`, or earlier if that was said before; later if the door wants it so.
pub(super) fn schedule(tracer: &Rc<Tracer>, delay_ms: u32) {
    let delivery = &tracer.delivery;
    if delivery.under_way.borrow().is_some() {
        // It sees to what waits when it has ended.
        return;
    }
    let now = tracer.clock.page_ms();
    let due = (now + f64::from(delay_ms)).max(delivery.not_before_page_ms.get());
    if delivery.due_page_ms.get().is_some_and(|known| known <= due) {
        return;
    }
    delivery.due_page_ms.set(Some(due));
    let tracer = Rc::clone(tracer);
    platform::after((due - now).ceil() as u32, move || {
        // An earlier flush may have taken this one's place.
        if tracer.delivery.due_page_ms.get() == Some(due) {
            flush_now(&tracer);
        }
    });
}

/// Completes requests whose timing has not come after an interval, whatever the door says.
pub(super) fn give_up_later(tracer: &Rc<Tracer>) {
    if tracer.delivery.gives_up_later.replace(true) {
        return;
    }
    let tracer = Rc::clone(tracer);
    let interval_ms = tracer.config.flush_interval_ms;
    platform::after(interval_ms, move || {
        tracer.delivery.gives_up_later.set(false);
        drain(&tracer);
        finish::give_up(&tracer, tracer.clock.page_ms() - f64::from(interval_ms) / 2.0);
        if !tracer.awaiting.borrow().is_empty() {
            give_up_later(&tracer);
        }
    });
}

fn drain(tracer: &Tracer) {
    if let Some(observer) = tracer.observer.borrow().as_ref() {
        observer.drain();
    }
}

/// Begins to send what waits, unless a batch is on its way already.
pub(super) fn flush_now(tracer: &Rc<Tracer>) {
    drain(tracer);
    tracer.delivery.due_page_ms.set(None);
    if tracer.delivery.under_way.borrow().is_some() {
        return;
    }
    // Nothing, but something: nobody begins a second time.
    tracer.delivery.under_way.replace(Some(Rc::from([])));
    let tracer = Rc::clone(tracer);
    spawn_local(async move {
        deliver(&tracer).await;
        tracer.delivery.under_way.take();
        if !tracer.queue.borrow().is_empty() {
            schedule(&tracer, tracer.config.flush_interval_ms);
        }
    });
}

/// Sends batch after batch until nothing waits or the door says no.
async fn deliver(tracer: &Rc<Tracer>) {
    loop {
        let batch: Rc<[SpanData]> = tracer.queue.borrow_mut().take(tracer.config.max_batch).into();
        if batch.is_empty() {
            return;
        }
        tracer.delivery.under_way.replace(Some(Rc::clone(&batch)));
        let mut sent = try_batch(tracer, &batch).await;
        if matches!(sent, Sent::NoTicket(_)) {
            // Once with a fresh one; if that is not good either, the door means it.
            tracer.delivery.ticket.take();
            sent = try_batch(tracer, &batch).await;
        }
        if !settle(tracer, &batch, sent) {
            return;
        }
    }
}

/// Takes note of what became of a batch; whether the door is open for the next.
fn settle(tracer: &Tracer, batch: &[SpanData], sent: Sent) -> bool {
    match sent {
        Sent::Accepted => {
            tracer.delivery.backoff_ms.set(0);
            tracer.set_status(Status::Ok);
            true
        }
        Sent::Refused(why) | Sent::NoTicket(why) => {
            tracer.queue.borrow_mut().count_dropped(batch.len());
            tracer.delivery.backoff_ms.set(0);
            tracer.set_status(Status::Refused(why));
            true
        }
        Sent::Later(status, retry_after_ms) => {
            tracer.queue.borrow_mut().put_back(batch.to_vec());
            let backoff_ms = (tracer.delivery.backoff_ms.get() * 2).clamp(FIRST_RETRY_MS, LAST_RETRY_MS);
            tracer.delivery.backoff_ms.set(backoff_ms);
            let wait_ms = retry_after_ms.map_or(backoff_ms, |asked| asked.max(backoff_ms).min(LONGEST_WAIT_MS));
            tracer.delivery.not_before_page_ms.set(tracer.clock.page_ms() + f64::from(wait_ms));
            tracer.set_status(status);
            false
        }
    }
}

async fn try_batch(tracer: &Rc<Tracer>, batch: &[SpanData]) -> Sent {
    let with_ticket = tracer.delivery.ticket.borrow().is_some();
    if !with_ticket && let Some(endpoint) = &tracer.config.ticket_endpoint {
        match ask_ticket(tracer, endpoint).await {
            Ok(ticket) => drop(tracer.delivery.ticket.replace(Some(ticket))),
            Err(sent) => return sent,
        }
    }
    let request = export_request(&tracer.origin, batch.iter());
    let Ok(init) = post(tracer, &request) else {
        return Sent::Refused("this browser cannot send spans".to_owned());
    };
    answer(fetch(&tracer.config.endpoint, &init).await)
}

/// What a response, or none, means for a batch.
fn answer(response: Option<Response>) -> Sent {
    let Some(response) = response else {
        return Sent::Later(Status::Unreachable("the telemetry endpoint cannot be reached".to_owned()), None);
    };
    let status = response.status();
    let why = || format!("the telemetry endpoint answered {status}");
    match status {
        200..=299 => Sent::Accepted,
        401 => Sent::NoTicket(why()),
        408 | 429 | 502 | 503 | 504 => {
            let seconds =
                response.headers().get("retry-after").ok().flatten().and_then(|text| text.parse::<u32>().ok());
            Sent::Later(Status::Unreachable(why()), seconds.map(|seconds| seconds.saturating_mul(1000)))
        }
        _ => Sent::Refused(why()),
    }
}

/// Asks the door for a ticket for this tab's session.
async fn ask_ticket(tracer: &Tracer, endpoint: &str) -> Result<String, Sent> {
    let body = match tracer.session_id.borrow().as_deref().filter(|id| is_session_id(id)) {
        Some(session_id) => format!("{{\"session_id\":\"{session_id}\"}}"),
        None => "{}".to_owned(),
    };
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&JsValue::from_str(&body));
    let headers =
        web_sys::Headers::new().and_then(|headers| headers.set("content-type", "application/json").map(|()| headers));
    if let Ok(headers) = headers {
        init.set_headers(&headers);
    }
    let response = fetch(endpoint, &init).await;
    let body = match &response {
        Some(response) if response.ok() => match response.text() {
            Ok(text) => JsFuture::from(text).await.ok().and_then(|text| text.as_string()),
            Err(_) => None,
        },
        _ => None,
    };
    let ticket = body.and_then(|body| {
        let object = JSON::parse(&body).ok()?;
        let session_id = platform::property(&object, "session_id")?.as_string()?;
        platform::store_session(&session_id);
        tracer.session_id.replace(Some(session_id));
        platform::property(&object, "ticket")?.as_string()
    });
    ticket.ok_or_else(|| match answer(response) {
        Sent::Accepted => Sent::Refused("the ticket endpoint answered something that is no ticket".to_owned()),
        other => other,
    })
}

fn post(tracer: &Tracer, body: &[u8]) -> Result<RequestInit, JsValue> {
    let headers = web_sys::Headers::new()?;
    headers.set("content-type", CONTENT_TYPE)?;
    if let Some(ticket) = tracer.delivery.ticket.borrow().as_ref() {
        headers.set(TICKET_HEADER, ticket)?;
    }
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&bytes(body));
    Ok(init)
}

/// The response, or `None` if none came.
async fn fetch(url: &str, init: &RequestInit) -> Option<Response> {
    let promise = web_sys::window()?.fetch_with_str_and_init(url, init);
    JsFuture::from(promise).await.ok()?.dyn_into().ok()
}

/// Sends everything when the page is hidden or goes away: what waits, and what has not ended yet.
pub(super) fn flush_at_exit() {
    let Some(window) = web_sys::window() else { return };
    if let Some(document) = window.document() {
        let page = document.clone();
        platform::listen(&document, "visibilitychange", move || {
            if page.visibility_state() == VisibilityState::Hidden {
                exit();
            }
        });
    }
    platform::listen(&window, "pagehide", exit);
}

/// Everything that has ended, and the load of the page, which ends with it.
fn exit() {
    let Some(tracer) = tracer() else { return };
    drain(&tracer);
    finish::give_up(&tracer, f64::INFINITY);
    let ambient = tracer.ambient.borrow().clone();
    if let Some(scope) = ambient {
        scope.finish();
    }
    // A batch under way may not survive the page: it goes again, and the door keeps each span once.
    let mut spans = tracer.delivery.under_way.borrow().as_deref().map(<[SpanData]>::to_vec).unwrap_or_default();
    let again = spans.len();
    spans.extend(tracer.queue.borrow_mut().take(usize::MAX));
    let (requests, too_large) = export_requests_within(&tracer.origin, &spans, KEEPALIVE_LIMIT_BYTES);
    tracer.queue.borrow_mut().count_dropped(too_large);
    let mut left_bytes = KEEPALIVE_LIMIT_BYTES;
    for (range, request) in requests {
        // What is beyond the browser's budget is sent all the same: the page may only be hidden.
        let keepalive = request.len() <= left_bytes;
        if keepalive {
            left_bytes -= request.len();
        }
        send_at_exit(
            &tracer,
            spans.get(range.start.max(again)..range.end).unwrap_or_default().to_vec(),
            &request,
            keepalive,
        );
    }
}

/// Sends a request without waiting for what becomes of it. If the page lives on and it did not arrive, `batch` waits again.
fn send_at_exit(tracer: &Rc<Tracer>, batch: Vec<SpanData>, request: &[u8], keepalive: bool) {
    let init = post(tracer, request);
    let promise = init.and_then(|init| {
        if keepalive {
            // web-sys has no name for it; without it the request would die with the page.
            Reflect::set(&init, &"keepalive".into(), &JsValue::TRUE)?;
        }
        let window = web_sys::window().ok_or(JsValue::UNDEFINED)?;
        Ok(window.fetch_with_str_and_init(&tracer.config.endpoint, &init))
    });
    let Ok(promise) = promise else { return };
    let tracer = Rc::clone(tracer);
    spawn_local(async move {
        let response = JsFuture::from(promise).await.ok().and_then(|response| response.dyn_into().ok());
        let sent = match answer(response) {
            Sent::NoTicket(why) => {
                tracer.delivery.ticket.take();
                Sent::Later(Status::Unreachable(why), None)
            }
            sent => sent,
        };
        if !settle(&tracer, &batch, sent) {
            schedule(&tracer, 0);
        }
    });
}
