//! Does what the delivery says, and tells it what came of it.

use std::rc::Rc;

use wasm_bindgen::JsValue;

use super::{
    Tracer,
    js::{self, Name, Tag},
    platform,
};
use crate::{
    delivery::{Answer, Batch, Step},
    offline,
    record::Signal,
    summary::Status,
};

const TICKET_HEADER: &str = "x-throughline-ticket";
const CONTENT_TYPE: &str = "application/x-protobuf";
const UNSENT_KEY: &str = "throughline:unsent";
/// The browser lets 64 KiB of keepalive bodies be in flight for a page; below that with room for its own headers.
const KEEPALIVE_LIMIT_BYTES: usize = 60_000;

/// What was sent while the page went away, and has not been answered.
pub(super) struct Exiting {
    number: u32,
    /// Without what was under way already.
    batch: Batch,
    bytes: usize,
}

/// Looks at the delivery again when something is due.
pub(super) fn schedule(tracer: &Rc<Tracer>) {
    let Some(due_ms) = tracer.delivery.borrow().due_ms() else { return };
    if due_ms >= tracer.wake_ms.get() {
        return;
    }
    tracer.wake_ms.set(due_ms);
    js::after((due_ms - tracer.timeline.page_ms()).max(0.0).ceil(), Tag::Flush, 0);
}

pub(super) fn woken(tracer: &Rc<Tracer>) {
    tracer.wake_ms.set(f64::INFINITY);
    super::observer::drain(tracer);
    pump(tracer);
}

/// The network is there again.
pub(super) fn online(tracer: &Rc<Tracer>) {
    tracer.delivery.borrow_mut().forget_backoff();
    pump(tracer);
}

/// Does what there is to do.
pub(super) fn pump(tracer: &Rc<Tracer>) {
    let step = tracer.delivery.borrow_mut().next(tracer.timeline.page_ms());
    match step {
        Step::Rest => {}
        Step::Wait => schedule(tracer),
        Step::AskTicket(session) => ask_ticket(tracer, &session),
        Step::Send => send(tracer),
    }
}

/// Sends what is under way.
fn send(tracer: &Rc<Tracer>) {
    let promise = {
        let delivery = tracer.delivery.borrow();
        let Some(batch) = delivery.under_way() else { return };
        let ticket = delivery.ticket_for(&batch.session);
        post(tracer, batch.signal, &js::bytes(&batch.request(&tracer.origin)), ticket, false)
    };
    let told = promise.and_then(|p| js::then(&p, &js::function(Tag::Sent, 0), &js::function(Tag::SendFailed, 0)));
    if told.is_err() {
        failed(tracer);
    }
}

fn post(
    tracer: &Tracer,
    signal: Signal,
    body: &JsValue,
    ticket: Option<&str>,
    keepalive: bool,
) -> Result<JsValue, JsValue> {
    let headers = js::empty();
    js::set_named(&headers, "content-type", &CONTENT_TYPE.into());
    for (name, value) in &tracer.config.headers {
        js::set_named(&headers, name, &value.into());
    }
    if let Some(ticket) = ticket {
        js::set_named(&headers, TICKET_HEADER, &ticket.into());
    }
    let init = init(&headers, body);
    if keepalive {
        js::set(&init, Name::Keepalive, &JsValue::TRUE);
    }
    fetch(tracer, &url(tracer, signal), &init)
}

fn init(headers: &JsValue, body: &JsValue) -> JsValue {
    let init = js::object(Name::Headers, headers);
    js::set(&init, Name::Method, &"POST".into());
    js::set(&init, Name::Body, body);
    init
}

fn url(tracer: &Tracer, signal: Signal) -> String {
    let mut url = tracer.config.endpoint.clone();
    url.push_str(signal.path());
    url
}

/// By the browser's own `fetch`: deliveries are not traced.
fn fetch(tracer: &Tracer, url: &str, init: &JsValue) -> Result<JsValue, JsValue> {
    js::apply(&tracer.fetch, &js::window(), &js_sys::Array::of2(&url.into(), init))
}

fn answer(response: &JsValue) -> Answer {
    let retry_after = js::call(&js::get(response, Name::Headers), Name::Get, &[&"retry-after".into()]);
    let seconds = retry_after.ok().and_then(|text| text.as_string()).and_then(|text| text.parse::<u32>().ok());
    let status = js::number(response, Name::Status) as u16;
    Answer { status: (status > 0).then_some(status), retry_after_s: seconds.map(f64::from) }
}

/// The door has answered.
pub(super) fn answered(tracer: &Rc<Tracer>, response: &JsValue) {
    settle(tracer, answer(response));
}

/// The door cannot be reached.
pub(super) fn failed(tracer: &Rc<Tracer>) {
    settle(tracer, Answer { status: None, retry_after_s: None });
}

fn settle(tracer: &Rc<Tracer>, answer: Answer) {
    let status = tracer.delivery.borrow_mut().answered(answer, tracer.timeline.page_ms());
    tracer.set_status(status);
    pump(tracer);
}

/// Asks the door for a ticket for a session.
fn ask_ticket(tracer: &Rc<Tracer>, session: &str) {
    let Some(endpoint) = &tracer.config.ticket_endpoint else { return };
    let mut body = String::from("{\"session_id\":\"");
    body.push_str(session);
    body.push_str("\"}");
    let headers = js::empty();
    js::set_named(&headers, "content-type", &"application/json".into());
    let told = fetch(tracer, endpoint, &init(&headers, &body.into()))
        .and_then(|response| js::then(&response, &js::function(Tag::TicketCame, 0), &JsValue::UNDEFINED))
        .and_then(|read| js::then(&read, &js::function(Tag::TicketRead, 0), &js::function(Tag::SendFailed, 0)));
    if told.is_err() {
        failed(tracer);
    }
}

/// The door has answered to that: what is in its answer, or the answer itself if that is no ticket.
pub(super) fn ticket_came(response: JsValue) -> JsValue {
    if answer(&response).status == Some(200) {
        js::call(&response, Name::Json, &[]).unwrap_or(response)
    } else {
        response
    }
}

/// A ticket, or something else.
pub(super) fn ticket_read(tracer: &Rc<Tracer>, read: &JsValue) {
    let expires_ms = tracer.timeline.wall_ms() + js::number(read, Name::ExpiresInS) * 1_000.0;
    let ticket = js::text(read, Name::Ticket).map(|text| (text, expires_ms));
    let came = ticket.is_some();
    let mut said = answer(read);
    // What was read and is no ticket has no status any more.
    said.status = said.status.or(Some(200));
    let status = tracer.delivery.borrow_mut().ticket(ticket, said, tracer.timeline.page_ms());
    tracer.set_status(status);
    if came {
        send(tracer);
    } else {
        pump(tracer);
    }
}

/// Sends everything now, in a way that outlives the page. `gone` says that the page will not be there to send more: what the
/// browser does not take then is kept for the next page.
pub(super) fn send_all(tracer: &Rc<Tracer>, gone: bool) {
    let batches = tracer.delivery.borrow_mut().take_all(&tracer.origin, KEEPALIVE_LIMIT_BYTES);
    let in_flight: usize = tracer.exiting.borrow().iter().map(|exiting| exiting.bytes).sum();
    let mut left_bytes = KEEPALIVE_LIMIT_BYTES.saturating_sub(in_flight);
    let reachable = !platform::is_offline() && !matches!(*tracer.status.borrow(), Status::Unreachable(_));
    let wall_ms = tracer.timeline.wall_ms();
    let mut kept = String::new();
    for (mut batch, repeated) in batches {
        let request = batch.request(&tracer.origin);
        let admitted = tracer.delivery.borrow().is_admitted(&batch.session, wall_ms);
        if admitted
            && request.len() <= left_bytes
            && (reachable || !gone)
            && send_one(tracer, &batch, &request, repeated)
        {
            left_bytes -= request.len();
        } else if gone {
            keep(tracer, &mut kept, &batch, 0);
        } else {
            batch.records.drain(..repeated);
            tracer.delivery.borrow_mut().put_back(batch);
        }
    }
    if gone {
        // What is too large for a request of this kind.
        for (batch, _) in tracer.delivery.borrow_mut().take_all(&tracer.origin, usize::MAX) {
            keep(tracer, &mut kept, &batch, 0);
        }
        if !kept.is_empty() {
            let mut all = platform::stored(UNSENT_KEY).unwrap_or_default();
            all.push_str(&kept);
            platform::store(UNSENT_KEY, &all);
        }
    } else {
        tracer.delivery.borrow_mut().hurry(0.0);
        pump(tracer);
    }
}

fn keep(tracer: &Tracer, kept: &mut String, batch: &Batch, skip: usize) {
    let lost = if tracer.config.offline { offline::store(kept, batch, skip) } else { batch.records.len() };
    tracer.delivery.borrow_mut().count_dropped(lost);
}

/// Whether the browser took it.
fn send_one(tracer: &Rc<Tracer>, batch: &Batch, request: &[u8], repeated: usize) -> bool {
    let body = js::bytes(request);
    let ticket = tracer.delivery.borrow().ticket_for(&batch.session).map(str::to_owned);
    let prototype = js::get2(&js::window(), Name::RequestClass, Name::Prototype);
    let number = tracer.number();
    let told = if js::has(&prototype, Name::Keepalive) {
        post(tracer, batch.signal, &body, ticket.as_deref(), true)
            .and_then(|p| js::then(&p, &js::function(Tag::SentAtExit, number), &js::function(Tag::SentAtExit, number)))
    } else {
        Err(JsValue::UNDEFINED)
    };
    if told.is_ok() {
        let batch = Batch { records: batch.records.iter().skip(repeated).cloned().collect(), ..batch.clone() };
        tracer.exiting.borrow_mut().push(Exiting { number, batch, bytes: request.len() });
        return true;
    }
    // A beacon has no headers, and nobody hears of its answer.
    let mut url = url(tracer, batch.signal);
    if let Some(ticket) = ticket {
        url.push_str("?ticket=");
        url.push_str(&ticket);
    }
    let kind = js::object(Name::Type, &CONTENT_TYPE.into());
    let blob = js::new(Name::Blob, &[&js_sys::Array::of1(&body), &kind]);
    blob.and_then(|blob| js::call(&platform::navigator(), Name::Beacon, &[&url.into(), &blob]))
        .is_ok_and(|taken| taken.is_truthy())
}

/// What was sent while the page went away has been answered, or has failed: then the page is still there.
pub(super) fn answered_at_exit(tracer: &Rc<Tracer>, number: u32, response: &JsValue) {
    let exiting = {
        let mut all = tracer.exiting.borrow_mut();
        all.iter().position(|one| one.number == number).map(|index| all.remove(index))
    };
    let Some(exiting) = exiting else { return };
    let status = tracer.delivery.borrow_mut().answered_late(exiting.batch, answer(response), tracer.timeline.page_ms());
    tracer.set_status(status);
    schedule(tracer);
}

/// Takes what earlier pages could not send.
pub(super) fn restore(tracer: &Rc<Tracer>) {
    if !tracer.config.offline {
        return;
    }
    let Some(text) = platform::take_stored(UNSENT_KEY) else { return };
    let due_ms = tracer.timeline.page_ms() + f64::from(tracer.config.flush_interval_ms);
    let mut delivery = tracer.delivery.borrow_mut();
    for (signal, record) in offline::restore(&text) {
        delivery.push(signal, record, due_ms);
    }
    drop(delivery);
    schedule(tracer);
}
