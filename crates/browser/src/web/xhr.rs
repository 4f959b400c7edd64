//! Tracing of `XMLHttpRequest`.

use js_sys::Array;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    fetch::RequestArgs,
    js::{self, Name, Tag},
    with,
};

// Properties set on an `XMLHttpRequest` between its calls:
/// The method.
const METHOD: &str = "throughline:method";
/// The URL.
const URL: &str = "throughline:url";
/// Whether the application has set `traceparent` itself.
const HAS_CONTEXT: &str = "throughline:context";
/// The number of the span of the last request.
const NUMBER: &str = "throughline:span";

pub(super) fn start(window: &JsValue) {
    let prototype = js::get(&js::get_named(window, "XMLHttpRequest"), Name::Prototype);
    js::intercept(&prototype, "open", Tag::XhrOpened);
    js::intercept(&prototype, "setRequestHeader", Tag::XhrHeaderSet);
    js::intercept(&prototype, "send", Tag::XhrSent);
}

/// Handles a call of `open(method, url, …)`, `setRequestHeader(name, value)` or `send(body)`.
pub(super) fn called(tag: u8, target: &JsValue, this: &JsValue, arguments: &Array) -> Result<JsValue, JsValue> {
    if tag == Tag::XhrOpened as u8 {
        js::set_named(this, METHOD, &arguments.get(0));
        js::set_named(this, URL, &arguments.get(1));
        js::set_named(this, HAS_CONTEXT, &JsValue::UNDEFINED);
        if let Some(number) = number_of(this) {
            // `open` cancels a request in flight without an event.
            with(|tracer| tracer.failed_by(number, None));
        }
        return js::apply(target, this, arguments);
    }
    if tag == Tag::XhrHeaderSet as u8 {
        if arguments.get(0).as_string().is_some_and(|name| name.eq_ignore_ascii_case("traceparent")) {
            js::set_named(this, HAS_CONTEXT, &JsValue::TRUE);
        }
        return js::apply(target, this, arguments);
    }
    let begun = with(|tracer| tracer.xhr_sent(this)).flatten();
    js::apply(target, this, arguments).inspect_err(|error| {
        if let Some(number) = begun {
            with(|tracer| tracer.failed(number, error));
        }
    })
}

impl Tracer {
    fn xhr_sent(&mut self, this: &JsValue) -> Option<u32> {
        let method = js::get_named(this, METHOD).as_string()?;
        let url = js::get_named(this, URL);
        let args =
            RequestArgs { method: &method, url: &url, route: None, by_program: true, signal: JsValue::UNDEFINED };
        let begun = self.begin_request(args)?;
        let set = js::get_named(this, "setRequestHeader");
        let has_context = js::get_named(this, HAS_CONTEXT).is_truthy();
        // A second value would be appended to the first, and the header would be invalid.
        for (name, value) in
            begun.carried.iter().filter(|(name, _)| !(has_context && matches!(name, Name::TraceParent)))
        {
            // best effort: it throws if the request is not open, and then `send` fails too
            let _ = js::apply(&set, this, &js::list(&[&js::name(*name), &value.into()]));
        }
        let is_new = number_of(this).is_none();
        js::set_named(this, NUMBER, &begun.number.into());
        if is_new {
            // The object can be used again, and keeps its listeners.
            for event in ["load", "error", "abort", "timeout"] {
                js::call(this, Name::Add, &[&event.into(), &js::function(Tag::XhrEnded, 0)]);
            }
        }
        Some(begun.number)
    }

    /// Handles the end of a request: loaded, failed, aborted or timed out.
    pub(super) fn xhr_ended(&mut self, event: &JsValue) {
        let target = js::get(event, Name::Target);
        let Some(number) = number_of(&target) else { return };
        match js::text(event, Name::Type).as_deref() {
            Some("load") => {
                self.answered(number, &target);
                self.ended(number);
            }
            Some("abort") => self.failed_by(number, None),
            Some("timeout") => self.failed_by(number, Some("TimeoutError")),
            _ => self.failed_by(number, Some("NetworkError")),
        }
    }
}

fn number_of(request: &JsValue) -> Option<u32> {
    js::get_named(request, NUMBER).as_f64().map(|number| number as u32)
}
