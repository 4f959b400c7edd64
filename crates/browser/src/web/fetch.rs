//! Spans of requests: `fetch`, and the parts shared with `XMLHttpRequest`.

use js_sys::Array;
use throughline_context::{TraceId, TraceParent, UrlParts};
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    active::ActiveKind,
    api::BAGGAGE_HEADER,
    js::{self, Name, Tag},
    platform, with,
};
use crate::{
    record::{Kind, Span},
    request,
    session::{decimal, number, push_hex},
};

/// A request that has begun: its number, and the headers to add to it.
pub(super) struct StartedRequest {
    pub(super) number: u32,
    pub(super) carried: Vec<(Name, String)>,
}

/// The arguments of a request.
pub(super) struct RequestArgs<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a JsValue,
    pub(super) route: Option<&'a str>,
    pub(super) by_program: bool,
    pub(super) signal: JsValue,
}

/// Handles a call of `fetch(input, init)`; `target` is the original function.
pub(super) fn called(target: &JsValue, this: &JsValue, arguments: &Array) -> Result<JsValue, JsValue> {
    let begun = with(|tracer| tracer.fetch_called(arguments, None, false)).flatten();
    let result = js::apply(target, this, arguments);
    let Some(number) = begun else { return result };
    let promise = result.inspect_err(|error| {
        with(|tracer| tracer.failed(number, error));
    })?;
    // The derived promise is returned, so that a rejection stays unhandled unless the program handles it.
    let derived =
        js::then(&promise, &js::function(Tag::FetchAnswered, number), &js::function(Tag::FetchFailed, number));
    Ok(if derived.is_object() { derived } else { promise })
}

impl Tracer {
    /// Begins the span of a `fetch` and adds the headers to its arguments. `None` if it is not traced.
    pub(super) fn fetch_called(&mut self, arguments: &Array, route: Option<&str>, by_program: bool) -> Option<u32> {
        let input = arguments.get(0);
        let init = arguments.get(1);
        let has_init = init.is_object();
        let of_init = |name| if has_init { js::get(&init, name) } else { JsValue::UNDEFINED };
        let given = if input.is_object() { js::get(&input, Name::Url) } else { JsValue::UNDEFINED };
        let is_request = given.is_string();
        let first = |name| {
            let own = of_init(name);
            if own.is_undefined() && is_request { js::get(&input, name) } else { own }
        };
        let method = first(Name::Method).as_string();
        let args = RequestArgs {
            method: method.as_deref().unwrap_or("GET"),
            url: if is_request { &given } else { &input },
            route,
            by_program,
            signal: first(Name::Signal),
        };
        let begun = self.begin_request(args)?;
        if begun.carried.is_empty() {
            return Some(begun.number);
        }
        let own = of_init(Name::Headers);
        // `init` is a `Request`: its properties cannot be copied, but a new `Request` can be made of both.
        let is_both = of_init(Name::Url).is_string();
        // An added `init` would reset the referrer of a `Request`, so the headers are added to the `Request` itself.
        // Anything else is copied, because the application may use it again.
        let to_request = is_request && own.is_undefined();
        let request = if is_both { js::new(Name::RequestClass, &[&input, &init]) } else { input };
        // The browser reads a plain object much faster than `Headers`.
        let is_plain = !is_request && own.is_undefined();
        let headers = if is_plain {
            js::empty()
        } else if is_both || to_request {
            js::get(&request, Name::Headers)
        } else {
            js::new(Name::HeadersClass, &[&own])
        };
        for (name, value) in &begun.carried {
            if is_plain {
                js::set(&headers, *name, &value.into());
            } else {
                js::call(&headers, Name::Set, &[&js::name(*name), &value.into()]);
            }
        }
        if is_both && request.is_object() {
            js::set(arguments, Name::First, &request);
            js::set(arguments, Name::Second, &JsValue::UNDEFINED);
        } else if !to_request && headers.is_object() {
            let copy = js::empty();
            if has_init {
                // A getter that throws also throws in `fetch`, which reports it.
                js::call(&js::of_window(Name::ObjectClass), Name::Assign, &[&copy, &init]);
            }
            js::set(&copy, Name::Headers, &headers);
            js::set(arguments, Name::Second, &copy);
        }
        Some(begun.number)
    }

    /// Begins the span of a request; `None` if it is not traced.
    pub(super) fn begin_request(&mut self, args: RequestArgs<'_>) -> Option<StartedRequest> {
        let RequestArgs { method, url, route, by_program, signal } = args;
        let absolute = js::new(Name::UrlClass, &[url, &js::get(&self.document, Name::BaseUri)]);
        let url = js::text(&absolute, Name::Href).filter(|url| url.starts_with("http"))?;
        if self.config.ignore.iter().any(|prefix| url.starts_with(prefix.as_str())) {
            return None;
        }
        let parts = UrlParts::of(&url);
        let route = route.map(str::to_owned).or_else(|| self.config.route?(parts.path));
        let known = request::known_method(method);
        // By the conventions, the name of a span with an unknown method is `HTTP`.
        let mut name = known.unwrap_or("HTTP").to_owned();
        if let Some(route) = &route {
            name = super::action::two_words(&name, route);
        }
        let parent = self.current();
        let mut span = self.start(parent.span, name, Kind::Client);
        span.attributes.text("http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            span.attributes.text("http.request.method_original", method);
        }
        span.attributes.text_opt("url.template", route.as_deref());
        self.describe_url(&mut span, &url, &parts);
        let context = span.context;
        let may_carry = self.propagates_to(&parts);
        let number = self.follow(ActiveKind::Request, span, parent.scope);
        if let Some(call) = self.find(number) {
            call.url = url;
            call.by_program = by_program;
            call.signal = signal;
        }
        let mut carried = Vec::new();
        if number != 0 && may_carry {
            let mut header = String::new();
            push_hex(&mut header, &TraceParent::new(context.trace_id, context.span_id, context.flags).to_bytes());
            carried.push((Name::TraceParent, header));
            BAGGAGE_HEADER.with(|kept| {
                let baggage = kept.take();
                if !baggage.is_empty() {
                    carried.push((Name::Baggage, baggage.clone()));
                    kept.set(baggage);
                }
            });
        }
        Some(StartedRequest { number, carried })
    }

    /// Sets `url.full`, `server.address` and `server.port`.
    pub(super) fn describe_url(&self, span: &mut Span, url: &str, parts: &UrlParts<'_>) {
        let (name, port) = parts.name_and_port();
        span.attributes.text("url.full", &self.redacted(url));
        span.attributes.text("server.address", name);
        let default = if url.starts_with("https") { 443 } else { 80 };
        span.attributes.int("server.port", number(port).unwrap_or(default).cast_signed());
    }

    /// Handles the head of a response.
    pub(super) fn answered(&mut self, number: u32, response: &JsValue) {
        let now_ms = self.timeline.page_ms();
        let Some(index) = self.active.iter().position(|call| call.number == number) else { return };
        let call = &mut self.active[index];
        call.head_ms = now_ms;
        describe_status(&mut call.span, js::number(response, Name::Status));
        if !call.url.starts_with(&self.page_origin) {
            let headers = js::get(response, Name::Headers);
            call.server_timing = js::call(&headers, Name::Get, &[&"server-timing".into()]).as_string();
        }
        self.complete_if_ready(number);
    }

    /// Handles a request without a response, or with an incomplete body.
    pub(super) fn failed(&mut self, number: u32, reason: &JsValue) {
        let name = platform::error_name(reason);
        // An intentional abort is not a failure; a timeout is one. Only an abort rejects with a value that is not an
        // `Error`.
        let is_failure = match name.as_deref() {
            Some("AbortError") | None => false,
            Some("TimeoutError") => true,
            Some(_) => {
                self.find(number).is_none_or(|call| !(call.signal.is_object() && js::is(&call.signal, Name::Aborted)))
            }
        };
        self.failed_by(number, if is_failure { name.as_deref() } else { None });
    }

    /// Ends a request without a complete response: with an error of this type, or aborted.
    pub(super) fn failed_by(&mut self, number: u32, error_type: Option<&str>) {
        if let (Some(error_type), Some(call)) = (error_type, self.find(number)) {
            if !call.span.error {
                call.span.fail(error_type);
            }
            platform::describe_network(&mut call.span.attributes);
        }
        self.ended(number);
    }

    /// Ends a request: the program has read or dropped the response.
    pub(super) fn ended(&mut self, number: u32) {
        let now_ms = self.timeline.page_ms();
        let Some(call) = self.find(number) else { return };
        if call.ended_ms <= 0.0 {
            call.ended_ms = now_ms;
        }
        let scope = std::mem::replace(&mut call.scope, 0);
        self.complete_if_ready(number);
        self.child_ended(scope);
    }

    /// Returns the trace id of a request that is still active.
    pub(super) fn trace_of(&mut self, number: u32) -> Option<TraceId> {
        Some(self.find(number)?.span.context.trace_id)
    }
}

/// Sets the attributes for a status code; 0 is none.
pub(super) fn describe_status(span: &mut Span, status: f64) {
    if status > 0.0 {
        span.attributes.int("http.response.status_code", status as i64);
    }
    if status >= 400.0 {
        let mut code = String::new();
        decimal(&mut code, status as u64);
        span.fail(&code);
    }
}
