//! Requests: what the program asks for, whoever asks.

use std::rc::Rc;

use js_sys::{Array, Object};
use throughline_context::{Baggage, TraceParent};
use wasm_bindgen::{JsCast, JsValue};

use super::{
    Tracer, current, finish,
    js::{self, Name, Tag},
    observer::Entry,
    platform,
};
use crate::{
    context::Scope,
    record::{Kind, Span},
    request::{self, Url},
};

/// At most so many requests are followed at once; one that comes beyond is left alone, and counted as lost.
const MAX_CALLS: usize = 1_024;

/// A request that has not been told of yet.
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) span: Span,
    /// Absolute, as the performance timeline spells it.
    pub(super) url: String,
    pub(super) anchor_ms: f64,
    pub(super) start_ms: f64,
    /// When the program heard of the response's head.
    pub(super) head_ms: Option<f64>,
    /// When the program was through with it, or it failed.
    pub(super) ended_ms: Option<f64>,
    /// Whether the program says when it is through; otherwise the body's last byte is the end.
    pub(super) by_program: bool,
    pub(super) scope: Option<Rc<dyn Scope>>,
    /// The abort signal, if there is one.
    signal: JsValue,
    /// The response's `Server-Timing`, where the timeline may hide it.
    pub(super) server_timing: Option<String>,
    pub(super) entry: Option<Entry>,
}

/// What is asked for, apart from how.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// Absolute.
    pub(super) url: String,
    pub(super) route: Option<&'a str>,
    pub(super) by_program: bool,
    pub(super) signal: JsValue,
}

/// Headers that a request is to carry.
pub(super) type Carried = Vec<(&'static str, String)>;

/// `fetch(input, init)` was called; `this` and the function that was there before come with it.
pub(super) fn called(
    tracer: &Rc<Tracer>,
    target: &JsValue,
    this: &JsValue,
    arguments: &JsValue,
) -> Result<JsValue, JsValue> {
    let arguments = js::array(arguments);
    let Some((number, arguments)) = begin(tracer, arguments.clone(), None, false) else {
        return js::apply(target, this, &arguments);
    };
    match js::apply(target, this, &arguments) {
        // What is returned is as handled, or unhandled, as what it stands for.
        Ok(promise) => {
            let told =
                js::then(&promise, &js::function(Tag::FetchAnswered, number), &js::function(Tag::FetchFailed, number));
            Ok(told.unwrap_or(promise))
        }
        Err(error) => {
            failed(tracer, number, &error);
            Err(error)
        }
    }
}

/// Begins the span of a `fetch`, and gives its arguments with the headers that it is to carry. `None` if it is not traced.
pub(super) fn begin(
    tracer: &Rc<Tracer>,
    arguments: Array,
    route: Option<&str>,
    by_program: bool,
) -> Option<(u32, Array)> {
    let (input, init) = (arguments.get(0), arguments.get(1));
    let of_init = |name| if init.is_object() { js::get(&init, name) } else { JsValue::UNDEFINED };
    let request = if input.is_object() { js::text(&input, Name::Url) } else { None };
    let is_request = request.is_some();
    let url = match request {
        Some(url) => url,
        // A text, or anything that becomes one: `URL` first of all.
        None => absolute(tracer, &input)?,
    };
    let of_request = |name| if is_request { js::get(&input, name) } else { JsValue::UNDEFINED };
    let method = of_init(Name::Method).as_string().or_else(|| of_request(Name::Method).as_string());
    let given = of_init(Name::Signal);
    let signal = if given.is_undefined() { of_request(Name::Signal) } else { given };
    let asked = Asked { method: method.as_deref().unwrap_or("GET"), url, route, by_program, signal };
    let (number, carried) = start(tracer, asked)?;
    if carried.is_empty() {
        return Some((number, arguments));
    }
    let own = of_init(Name::Headers);
    if is_request && own.is_undefined() {
        // Beside other settings a second argument would reset the referrer; the request's own headers can be added to.
        let headers = js::get(&input, Name::Headers);
        for (name, value) in &carried {
            let _ = js::call(&headers, Name::Set, &[&(*name).into(), &value.into()]);
        }
        return Some((number, arguments));
    }
    // Copies: the application may use its objects again.
    let headers = if own.is_undefined() {
        let headers = js::empty();
        for (name, value) in &carried {
            js::set_named(&headers, name, &value.into());
        }
        headers
    } else {
        let Ok(headers) = js::new(Name::HeadersClass, &[&own]) else { return Some((number, arguments)) };
        for (name, value) in &carried {
            let _ = js::call(&headers, Name::Set, &[&(*name).into(), &value.into()]);
        }
        headers
    };
    let copy = js::empty();
    if init.is_object() {
        Object::assign(copy.unchecked_ref::<Object>(), init.unchecked_ref::<Object>());
    }
    js::set(&copy, Name::Headers, &headers);
    Some((number, Array::of2(&input, &copy)))
}

/// The absolute URL of what is asked for, as the performance timeline spells it.
pub(super) fn absolute(tracer: &Tracer, url: &JsValue) -> Option<String> {
    let url = js::new(Name::UrlClass, &[url, &js::get(&tracer.document, Name::BaseUri)]).ok()?;
    js::text(&url, Name::Href)
}

/// Begins a span, and says which headers the request is to carry; `None` if it is not traced.
pub(super) fn start(tracer: &Rc<Tracer>, asked: Asked<'_>) -> Option<(u32, Carried)> {
    let Asked { method, url, route, by_program, signal } = asked;
    let parts = Url::parse(&url)?;
    if tracer.config.ignore.iter().any(|prefix| url.starts_with(prefix)) {
        return None;
    }
    if tracer.calls.borrow().len() >= MAX_CALLS {
        tracer.delivery.borrow_mut().count_dropped(1);
        return None;
    }
    let known = request::known_method(method);
    let parent = current();
    let route = route.map(str::to_owned).or_else(|| tracer.config.route?(parts.path));
    // The conventions name a span with an unknown method `HTTP`.
    let mut name = known.unwrap_or("HTTP").to_owned();
    if let Some(route) = &route {
        name.push(' ');
        name.push_str(route);
    }
    let mut span = tracer.start(&parent, name, Kind::Client);
    let attributes = &mut span.attributes;
    attributes.word("http.request.method", known.unwrap_or("_OTHER"));
    if known.is_none() {
        attributes.text("http.request.method_original", method);
    }
    if let Some(route) = &route {
        attributes.text("url.template", route);
    }
    describe_url(tracer, &mut span, &url, &parts);
    let mut carried = Vec::new();
    if tracer.propagates_to(parts.origin) {
        let context = span.context;
        let header = TraceParent::new(context.trace_id, context.span_id, context.flags).to_bytes();
        carried.push(("traceparent", header.into_iter().map(char::from).collect()));
        if let Some(baggage) = baggage(tracer) {
            carried.push(("baggage", baggage));
        }
    }
    if let Some(scope) = &parent.scope {
        scope.begin();
    }
    let number = tracer.number();
    let call = Call {
        number,
        span,
        url,
        anchor_ms: tracer.timeline.anchor_ms(),
        start_ms: tracer.timeline.page_ms(),
        head_ms: None,
        ended_ms: None,
        by_program,
        scope: parent.scope,
        signal,
        server_timing: None,
        entry: None,
    };
    tracer.calls.borrow_mut().push(call);
    Some((number, carried))
}

/// Sets `url.full`, `server.address` and `server.port`.
pub(super) fn describe_url(tracer: &Tracer, span: &mut Span, url: &str, parts: &Url<'_>) {
    span.attributes.text("url.full", &tracer.redacted(url));
    span.attributes.text("server.address", parts.host);
    span.attributes.int("server.port", i64::from(parts.port));
}

fn baggage(tracer: &Tracer) -> Option<String> {
    let entries = tracer.baggage.borrow();
    if entries.is_empty() {
        return None;
    }
    let mut baggage = Baggage::default();
    for (key, value) in entries.iter() {
        // What W3C Baggage has no place for is left out, whole.
        let _ = baggage.insert(key, value);
    }
    Some(baggage.to_string())
}

/// The head of a response is there.
pub(super) fn answered(tracer: &Rc<Tracer>, number: u32, response: &JsValue) {
    let now_ms = tracer.timeline.page_ms();
    let status = js::number(response, Name::Status);
    {
        let mut calls = tracer.calls.borrow_mut();
        let Some(call) = calls.iter_mut().find(|call| call.number == number) else { return };
        call.head_ms = Some(now_ms);
        if status > 0.0 {
            describe_status(&mut call.span, status);
        }
        if !call.url.starts_with(&tracer.page_origin) {
            let header = js::call(&js::get(response, Name::Headers), Name::Get, &[&"server-timing".into()]);
            call.server_timing = header.ok().and_then(|header| header.as_string());
        }
    }
    finish::consider(tracer, number);
}

/// What a status code says of a request.
pub(super) fn describe_status(span: &mut Span, status: f64) {
    span.attributes.int("http.response.status_code", status as i64);
    if status >= 400.0 {
        let mut code = String::new();
        crate::session::decimal(&mut code, status as u64);
        span.fail(&code);
    }
}

/// No response came, or its body broke off.
pub(super) fn failed(tracer: &Rc<Tracer>, number: u32, reason: &JsValue) {
    let name = platform::error_name(reason);
    let aborted = {
        let calls = tracer.calls.borrow();
        let Some(call) = calls.iter().find(|call| call.number == number) else { return };
        call.signal.is_object() && js::get(&call.signal, Name::Aborted).is_truthy()
    };
    // Somebody meant it to stop: that is no failure. A time limit that ran out is one.
    let intended = match name.as_deref() {
        // Nothing but an abort rejects with something that is no `Error`.
        Some("AbortError") | None => true,
        Some("TimeoutError") => false,
        Some(_) => aborted,
    };
    failed_by(tracer, number, if intended { None } else { name.as_deref() });
}

/// It ended without all of its response: by an error of this type, or because it was meant to.
pub(super) fn failed_by(tracer: &Rc<Tracer>, number: u32, error_type: Option<&str>) {
    if let Some(error_type) = error_type
        && let Some(call) = tracer.calls.borrow_mut().iter_mut().find(|call| call.number == number)
    {
        if !call.span.error {
            call.span.fail(error_type);
        }
        platform::describe_network(&mut call.span.attributes);
    }
    ended(tracer, number);
}

/// The program is through with it.
pub(super) fn ended(tracer: &Rc<Tracer>, number: u32) {
    let now_ms = tracer.timeline.page_ms();
    let scope = {
        let mut calls = tracer.calls.borrow_mut();
        let Some(call) = calls.iter_mut().find(|call| call.number == number) else { return };
        call.ended_ms = call.ended_ms.or(Some(now_ms));
        call.scope.take()
    };
    finish::consider(tracer, number);
    if let Some(scope) = scope {
        scope.end();
    }
}

/// The trace of a request that has not been told of, as hexadecimal digits.
pub(super) fn trace_id(tracer: &Tracer, number: u32) -> Option<String> {
    let calls = tracer.calls.borrow();
    let call = calls.iter().find(|call| call.number == number)?;
    Some(call.span.context.trace_id.to_hex().into_iter().map(char::from).collect())
}
