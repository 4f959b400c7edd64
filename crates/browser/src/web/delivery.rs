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

/// The state of the way out.
#[derive(Default)]
pub(super) struct Delivery {
    in_flight: Cell<bool>,
    scheduled: Cell<bool>,
    retry_ms: Cell<u32>,
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
    /// Takes the ticket that came with the page, unless this tab has a session that the ticket is not for.
    pub(super) fn page_ticket(&self, tracer: &Tracer, ticket: &str) {
        let Some(session_id) = ticket.split('.').nth(2).filter(|session_id| !session_id.is_empty()) else { return };
        let mut session = tracer.session_id.borrow_mut();
        match session.as_deref() {
            None => {
                platform::store_session(session_id);
                *session = Some(session_id.to_owned());
            }
            Some(mine) if mine != session_id => return,
            Some(_) => {}
        }
        self.ticket.replace(Some(ticket.to_owned()));
    }
}

/// Sends what waits, in `delay_ms` at the latest.
pub(super) fn schedule(tracer: &Rc<Tracer>, delay_ms: u32) {
    if tracer.delivery.in_flight.get() || (delay_ms > 0 && tracer.delivery.scheduled.replace(true)) {
        return;
    }
    let delay_ms = delay_ms.max(tracer.delivery.retry_ms.get());
    let tracer = Rc::clone(tracer);
    platform::after(delay_ms, move || {
        tracer.delivery.scheduled.set(false);
        flush_now(&tracer);
    });
}

/// Begins to send what waits, unless a batch is on its way already.
pub(super) fn flush_now(tracer: &Rc<Tracer>) {
    if let Some(observer) = tracer.observer.borrow().as_ref() {
        observer.drain();
    }
    // A whole interval has gone by since these ended: their timing will not come any more.
    finish::give_up(tracer, tracer.clock.page_ms() - f64::from(tracer.config.flush_interval_ms) / 2.0);
    if !tracer.awaiting.borrow().is_empty() {
        schedule(tracer, tracer.config.flush_interval_ms);
    }
    if tracer.delivery.in_flight.replace(true) {
        return;
    }
    let tracer = Rc::clone(tracer);
    spawn_local(async move {
        let again_ms = deliver(&tracer).await;
        tracer.delivery.in_flight.set(false);
        if !tracer.queue.borrow().is_empty() || !tracer.awaiting.borrow().is_empty() {
            schedule(&tracer, again_ms.max(1));
        }
    });
}

/// Sends batch after batch until nothing waits or the door says no. Gives the delay before the next try.
async fn deliver(tracer: &Rc<Tracer>) -> u32 {
    loop {
        let batch = tracer.queue.borrow_mut().take(tracer.config.max_batch);
        if batch.is_empty() {
            return tracer.config.flush_interval_ms;
        }
        let mut sent = try_batch(tracer, &batch).await;
        if matches!(sent, Sent::NoTicket(_)) {
            // Once with a fresh one; if that is not good either, the door means it.
            tracer.delivery.ticket.take();
            sent = try_batch(tracer, &batch).await;
        }
        match sent {
            Sent::Accepted => {
                tracer.delivery.retry_ms.set(0);
                tracer.set_status(Status::Ok);
            }
            Sent::Refused(why) | Sent::NoTicket(why) => {
                tracer.queue.borrow_mut().count_dropped(batch.len());
                tracer.delivery.retry_ms.set(0);
                tracer.set_status(Status::Refused(why));
            }
            Sent::Later(status, retry_after_ms) => {
                tracer.queue.borrow_mut().put_back(batch);
                let backoff = tracer.delivery.retry_ms.get();
                let next = (backoff * 2).clamp(FIRST_RETRY_MS, LAST_RETRY_MS);
                let next = retry_after_ms.map_or(next, |asked| asked.max(next).min(LAST_RETRY_MS * 5));
                tracer.delivery.retry_ms.set(next);
                tracer.set_status(status);
                return next;
            }
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
    let body = match tracer.session_id.borrow().as_deref().filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
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

fn exit() {
    let Some(tracer) = tracer() else { return };
    if let Some(observer) = tracer.observer.borrow().as_ref() {
        observer.drain();
    }
    finish::give_up(&tracer, f64::INFINITY);
    let ambient = tracer.ambient.borrow().clone();
    if let Some(scope) = ambient {
        scope.finish();
    }
    let spans = tracer.queue.borrow_mut().take(usize::MAX);
    let (requests, too_large) = export_requests_within(&tracer.origin, &spans, KEEPALIVE_LIMIT_BYTES);
    tracer.queue.borrow_mut().count_dropped(too_large);
    for request in requests {
        let Ok(init) = post(&tracer, &request) else { return };
        // web-sys has no name for it; without it the request would die with the page.
        let _ = Reflect::set(&init, &"keepalive".into(), &JsValue::TRUE);
        if let Some(window) = web_sys::window() {
            let promise = window.fetch_with_str_and_init(&tracer.config.endpoint, &init);
            // Nobody may be left to hear of it; if somebody is, a failure is not theirs.
            spawn_local(async move { drop(JsFuture::from(promise).await) });
        }
    }
}
