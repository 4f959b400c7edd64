//! The browser's clocks, its randomness, its storage, and what it says of itself.

use std::cell::Cell;

use js_sys::{Date, Uint8Array};
use wasm_bindgen::JsValue;

use super::{
    action::two_words,
    js::{self, Name},
};
use crate::{
    attributes::Attributes,
    clock::{Clock, Random},
};

/// Timers of a page that is cross-origin isolated are this exact.
const FINE_QUANTUM_NS: i64 = 5_000;
/// Timers of any other page.
const COARSE_QUANTUM_NS: i64 = 100_000;

mod performance {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        // Asked for at each event: this one has its own import.
        #[wasm_bindgen(js_namespace = performance, catch)]
        pub(super) fn now() -> Result<f64, JsValue>;
    }
}

/// `performance.now()` and `Date.now()`.
#[derive(Debug)]
pub(super) struct BrowserClock {
    /// What it said last, in case it breaks.
    last_ms: Cell<f64>,
    is_fresh: Cell<bool>,
}

impl BrowserClock {
    /// The clock and the page's time origin; `None` where the browser has none.
    pub(super) fn new() -> Option<(Self, f64)> {
        let origin_ms = js::number(&js::of_window(Name::Performance), Name::TimeOrigin);
        let last_ms = performance::now().ok()?;
        (origin_ms > 0.0).then_some((Self { last_ms: Cell::new(last_ms), is_fresh: Cell::new(true) }, origin_ms))
    }

    /// Lets it be looked at anew. Until then it stands still, because each look is a call into the browser: what is done about
    /// one event is done at one time.
    pub(super) fn go_on(&self) {
        self.is_fresh.set(false);
    }
}

impl Clock for BrowserClock {
    fn page_ms(&self) -> f64 {
        if !self.is_fresh.replace(true)
            && let Ok(now_ms) = performance::now()
            && now_ms > self.last_ms.get()
        {
            self.last_ms.set(now_ms);
        }
        self.last_ms.get()
    }

    fn wall_ms(&self) -> f64 {
        Date::now()
    }
}

/// How exact the timers of this page are.
pub(super) fn quantum_ns(window: &JsValue) -> i64 {
    if js::is(window, Name::CrossOriginIsolated) { FINE_QUANTUM_NS } else { COARSE_QUANTUM_NS }
}

/// Random bytes: of `crypto` where there is one, else of `Math.random`.
#[derive(Debug)]
pub(super) struct BrowserRandom;

impl Random for BrowserRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let array = Uint8Array::from(&*bytes);
        let crypto = js::of_window(Name::Crypto);
        if js::call(&crypto, Name::GetRandomValues, &[&array]).is_object() {
            array.copy_to(bytes);
        } else {
            for byte in bytes {
                // Never zero: an id of zeros is invalid.
                *byte = (js_sys::Math::random() * 255.0) as u8 + 1;
            }
        }
    }
}

/// What the browser keeps for all tabs and the next page of this origin.
fn storage() -> JsValue {
    js::of_window(Name::LocalStorage)
}

pub(super) fn stored(key: &str) -> Option<String> {
    js::call(&storage(), Name::GetItem, &[&key.into()]).as_string()
}

/// Storage may be full or forbidden; then nothing is kept.
pub(super) fn store(key: &str, value: &str) {
    js::call(&storage(), Name::SetItem, &[&key.into(), &value.into()]);
}

/// Takes what is kept, so that nobody else does.
#[cfg(feature = "offline")]
pub(super) fn take_stored(key: &str) -> Option<String> {
    let value = stored(key)?;
    js::call(&storage(), Name::RemoveItem, &[&key.into()]);
    Some(value)
}

pub(super) fn navigator() -> JsValue {
    js::of_window(Name::Navigator)
}

/// Whether the browser knows that there is no network.
pub(super) fn is_offline() -> bool {
    let is_there = js::get(&navigator(), Name::OnLine);
    !is_there.is_undefined() && is_there.is_falsy()
}

/// The path of the page.
pub(super) fn path() -> String {
    js::word(&js::of_window(Name::Location), Name::Pathname)
}

/// The kind of network, as the conventions' `network.connection.*`.
pub(super) fn describe_network(attributes: &mut Attributes) {
    let connection = js::get(&navigator(), Name::Connection);
    let kind = js::text(&connection, Name::Type);
    let kind = match kind.as_deref() {
        _ if is_offline() => Some("unavailable"),
        Some("cellular") => Some("cell"),
        Some("ethernet") => Some("wired"),
        Some("none") => Some("unavailable"),
        other => other,
    };
    attributes.maybe("network.connection.type", kind);
    note(attributes, "network.connection.subtype", &connection, Name::EffectiveType);
}

/// Sets `key` to a property, if that is a text with something in it.
pub(super) fn note(attributes: &mut Attributes, key: &str, object: &JsValue, name: Name) {
    attributes.maybe(key, js::text(object, name).as_deref());
}

/// What the browser says of itself: OpenTelemetry's resource conventions, `browser.*` and `user_agent.*`.
pub(super) fn describe(resource: &mut Attributes) {
    resource.text("telemetry.sdk.name", env!("CARGO_PKG_NAME"));
    resource.text("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    resource.text("telemetry.sdk.language", "rust");
    let navigator = navigator();
    let data = js::get(&navigator, Name::UserAgentData);
    note(resource, "user_agent.original", &navigator, Name::UserAgent);
    note(resource, "browser.language", &navigator, Name::Language);
    note(resource, "browser.platform", &data, Name::Platform);
    if data.is_object() {
        resource.bool("browser.mobile", js::is(&data, Name::Mobile));
    }
    let brands = js::items(js::get(&data, Name::Brands));
    if !brands.is_empty() {
        let text = |brand: &JsValue, name| js::word(brand, name);
        let mut words = brands.map(|brand| two_words(&text(&brand, Name::Brand), &text(&brand, Name::Version)));
        resource.texts("browser.brands", &mut words);
    }
}

#[cfg(feature = "vitals")]
/// An element as a person would point to it, and never what is written in it: `button#send`, or `div.card` without an id.
pub(super) fn selector(element: &JsValue) -> Option<String> {
    let mut selector = js::text(element, Name::LocalName)?;
    for (mark, attribute) in [("#", "id"), (".", "class")] {
        // default: an attribute that is absent has no value
        let value = js::call(element, Name::GetAttribute, &[&attribute.into()]).as_string().unwrap_or_default();
        // Of several classes the first says what it is.
        let end = value.bytes().position(|byte| byte == b' ').unwrap_or(value.len());
        if let Some(value) = value.get(..end).filter(|value| !value.is_empty()) {
            selector.push_str(mark);
            selector.push_str(value);
            break;
        }
    }
    Some(selector)
}

/// The name of a JavaScript error, if it is one.
pub(super) fn error_name(error: &JsValue) -> Option<String> {
    if error.is_object() { js::text(error, Name::NameOf) } else { None }
}

/// A value that somebody threw, as a text.
#[cfg(feature = "errors")]
pub(super) fn as_text(value: &JsValue) -> String {
    let message = if value.is_object() { js::text(value, Name::Message) } else { value.as_string() };
    message.unwrap_or_else(|| "something that is no error".to_owned())
}
