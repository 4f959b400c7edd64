//! `XMLHttpRequest`, for the code that still uses it.

use std::rc::Rc;

use wasm_bindgen::JsValue;

use super::{
    Tracer, fetch,
    js::{self, Name, Tag},
};

/// What is noted on a request between its two calls.
const METHOD: &str = "throughline:method";
const URL: &str = "throughline:url";

pub(super) fn start() {
    let prototype = js::get(&js::get_named(&js::window(), "XMLHttpRequest"), Name::Prototype);
    js::intercept(&prototype, "open", Tag::XhrOpened);
    js::intercept(&prototype, "send", Tag::XhrSent);
}

/// `open(method, url, …)` was called: what is asked for is noted on the request itself.
pub(super) fn opened(target: &JsValue, this: &JsValue, arguments: &JsValue) -> Result<JsValue, JsValue> {
    let arguments = js::array(arguments);
    js::set_named(this, METHOD, &arguments.get(0));
    js::set_named(this, URL, &arguments.get(1));
    js::apply(target, this, &arguments)
}

/// `send(body)` was called.
pub(super) fn sent(
    tracer: &Rc<Tracer>,
    target: &JsValue,
    this: &JsValue,
    arguments: &JsValue,
) -> Result<JsValue, JsValue> {
    let arguments = js::array(arguments);
    let begun = begin(tracer, this);
    let sent = js::apply(target, this, &arguments);
    if let (Some(number), Err(error)) = (begun, &sent) {
        fetch::failed(tracer, number, error);
    }
    sent
}

fn begin(tracer: &Rc<Tracer>, this: &JsValue) -> Option<u32> {
    let method = js::get_named(this, METHOD).as_string()?;
    let url = fetch::absolute(tracer, &js::get_named(this, URL))?;
    let asked = fetch::Asked { method: &method, url, route: None, by_program: true, signal: JsValue::UNDEFINED };
    let (number, carried) = fetch::start(tracer, asked)?;
    for (name, value) in carried {
        let set = js::get_named(this, "setRequestHeader");
        let _ = js::apply(&set, this, &js_sys::Array::of2(&name.into(), &value.into()));
    }
    let ended = js::function(Tag::XhrEnded, number);
    for event in ["load", "error", "abort", "timeout"] {
        let _ = js::call(this, Name::Add, &[&event.into(), &ended]);
    }
    Some(number)
}

/// It loaded, failed, was aborted or took too long.
pub(super) fn ended(tracer: &Rc<Tracer>, number: u32, event: &JsValue) {
    let kind = js::text(event, Name::Type);
    match kind.as_deref() {
        Some("load") => {
            fetch::answered(tracer, number, &js::get(event, Name::Target));
            fetch::ended(tracer, number);
        }
        Some("abort") => fetch::failed_by(tracer, number, None),
        Some("timeout") => fetch::failed_by(tracer, number, Some("TimeoutError")),
        _ => fetch::failed_by(tracer, number, Some("NetworkError")),
    }
}
