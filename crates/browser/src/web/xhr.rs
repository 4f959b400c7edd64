//! `XMLHttpRequest`, for the code that still uses it.

use js_sys::Array;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    fetch::Asked,
    js::{self, Name, Tag},
    with,
};

/// What is noted on a request between its two calls.
const METHOD: &str = "throughline:method";
const URL: &str = "throughline:url";

pub(super) fn start(window: &JsValue) {
    let prototype = js::get(&js::get_named(window, "XMLHttpRequest"), Name::Prototype);
    js::intercept(&prototype, "open", Tag::XhrOpened);
    js::intercept(&prototype, "send", Tag::XhrSent);
}

/// `open(method, url, …)` or `send(body)` was called.
pub(super) fn called(tag: u8, target: &JsValue, this: &JsValue, arguments: &Array) -> Result<JsValue, JsValue> {
    if tag == Tag::XhrOpened as u8 {
        js::set_named(this, METHOD, &arguments.get(0));
        js::set_named(this, URL, &arguments.get(1));
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
        let asked = Asked { method: &method, url: &url, route: None, by_program: true, signal: JsValue::UNDEFINED };
        let begun = self.begin_request(asked)?;
        let set = js::get_named(this, "setRequestHeader");
        for (name, value) in &begun.carried {
            // Refused where it is not open: then `send` fails too.
            let _ = js::apply(&set, this, &js::list(&[&(*name).into(), &value.into()]));
        }
        for event in ["load", "error", "abort", "timeout"] {
            js::call(this, Name::Add, &[&event.into(), &js::function(Tag::XhrEnded, begun.number)]);
        }
        Some(begun.number)
    }

    /// It loaded, failed, was aborted or took too long.
    pub(super) fn xhr_ended(&mut self, number: u32, event: &JsValue) {
        match js::text(event, Name::Type).as_deref() {
            Some("load") => {
                self.answered(number, &js::get(event, Name::Target));
                self.ended(number);
            }
            Some("abort") => self.failed_by(number, None),
            Some("timeout") => self.failed_by(number, Some("TimeoutError")),
            _ => self.failed_by(number, Some("NetworkError")),
        }
    }
}
