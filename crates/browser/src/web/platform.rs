//! The browser's clocks, randomness and storage, and the attributes that describe it.

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

/// The resolution of timers in a page that is cross-origin isolated.
const FINE_QUANTUM_NS: i64 = 5_000;
/// The resolution of timers in any other page.
const COARSE_QUANTUM_NS: i64 = 100_000;

mod performance {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        // Read at each event, so it has its own import.
        #[wasm_bindgen(js_namespace = performance, catch)]
        pub(super) fn now() -> Result<f64, JsValue>;
    }
}

/// A [`Clock`] of `performance.now()` and `Date.now()`.
#[derive(Debug)]
pub(super) struct BrowserClock {
    /// The last value of `performance.now()`.
    last_ms: Cell<f64>,
    is_fresh: Cell<bool>,
}

impl BrowserClock {
    /// Creates the clock and returns it with the page's time origin; `None` if the browser has none.
    pub(super) fn new() -> Option<(Self, f64)> {
        let origin_ms = js::number(&js::of_window(Name::Performance), Name::TimeOrigin);
        let last_ms = performance::now().ok()?;
        (origin_ms > 0.0).then_some((Self { last_ms: Cell::new(last_ms), is_fresh: Cell::new(true) }, origin_ms))
    }

    /// Discards the cached time. It is read once for each event, because each read is a call into the browser.
    pub(super) fn invalidate(&self) {
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

/// Returns the resolution of the timers of this page.
pub(super) fn quantum_ns(window: &JsValue) -> i64 {
    if js::is(window, Name::CrossOriginIsolated) { FINE_QUANTUM_NS } else { COARSE_QUANTUM_NS }
}

/// Random bytes from `crypto`, or from `Math.random` if there is none.
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

/// Returns the storage shared by all tabs and pages of this origin.
fn storage() -> JsValue {
    js::of_window(Name::LocalStorage)
}

pub(super) fn stored(key: &str) -> Option<String> {
    js::call(&storage(), Name::GetItem, &[&key.into()]).as_string()
}

/// Stores a value. Nothing is stored if the storage is full or forbidden.
pub(super) fn store(key: &str, value: &str) {
    js::call(&storage(), Name::SetItem, &[&key.into(), &value.into()]);
}

/// Removes a stored value and returns it, so that no other tab reads it.
#[cfg(feature = "offline")]
pub(super) fn take_stored(key: &str) -> Option<String> {
    let value = stored(key)?;
    js::call(&storage(), Name::RemoveItem, &[&key.into()]);
    Some(value)
}

pub(super) fn navigator() -> JsValue {
    js::of_window(Name::Navigator)
}

/// Returns whether the browser reports that it is offline.
pub(super) fn is_offline() -> bool {
    let on_line = js::get(&navigator(), Name::OnLine);
    !on_line.is_undefined() && on_line.is_falsy()
}

/// Returns the path of the page.
pub(super) fn path() -> String {
    js::word(&js::of_window(Name::Location), Name::Pathname)
}

/// Sets `network.connection.*`.
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
    attributes.text_opt("network.connection.type", kind);
    copy_text(attributes, "network.connection.subtype", &connection, Name::EffectiveType);
}

/// Sets `key` to a property, if that is a string and not empty.
pub(super) fn copy_text(attributes: &mut Attributes, key: &str, object: &JsValue, name: Name) {
    attributes.text_opt(key, js::text(object, name).as_deref());
}

/// Sets the resource attributes that describe the browser: `telemetry.sdk.*`, `browser.*` and `user_agent.*`.
pub(super) fn describe(resource: &mut Attributes) {
    resource.text("telemetry.sdk.name", env!("CARGO_PKG_NAME"));
    resource.text("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    resource.text("telemetry.sdk.language", "rust");
    let navigator = navigator();
    let data = js::get(&navigator, Name::UserAgentData);
    copy_text(resource, "user_agent.original", &navigator, Name::UserAgent);
    copy_text(resource, "browser.language", &navigator, Name::Language);
    copy_text(resource, "browser.platform", &data, Name::Platform);
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
/// Returns a selector for an element: `button#send`, or `div.card` without an id. It never contains text of the
/// element.
pub(super) fn selector(element: &JsValue) -> Option<String> {
    let mut selector = js::text(element, Name::LocalName)?;
    for (mark, attribute) in [("#", "id"), (".", "class")] {
        // default: an absent attribute has no value
        let value = js::call(element, Name::GetAttribute, &[&attribute.into()]).as_string().unwrap_or_default();
        // The first class usually identifies the component.
        let end = value.bytes().position(|byte| byte == b' ').unwrap_or(value.len());
        if let Some(value) = value.get(..end).filter(|value| !value.is_empty()) {
            selector.push_str(mark);
            selector.push_str(value);
            break;
        }
    }
    Some(selector)
}

/// Returns the name of a JavaScript error, if `error` is one.
pub(super) fn error_name(error: &JsValue) -> Option<String> {
    if error.is_object() { js::text(error, Name::NameOf) } else { None }
}

/// Returns the message of a thrown value.
#[cfg(feature = "errors")]
pub(super) fn as_text(value: &JsValue) -> String {
    let message = if value.is_object() { js::text(value, Name::Message) } else { value.as_string() };
    message.unwrap_or_else(|| "not an Error or a string".to_owned())
}
