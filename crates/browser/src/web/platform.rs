//! The browser's clocks, its randomness, its storage, and what it says of itself.

use std::cell::Cell;

use js_sys::{Date, Uint8Array};
use wasm_bindgen::JsValue;

use super::js::{self, Name};
use crate::{
    attributes::{Attributes, Value},
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
        // Asked for several times a request: this one has its own import.
        #[wasm_bindgen(js_namespace = performance, catch)]
        pub(super) fn now() -> Result<f64, JsValue>;
    }
}

/// `performance.now()` and `Date.now()`.
#[derive(Debug)]
pub(super) struct BrowserClock {
    /// What it said last, in case it breaks.
    last_ms: Cell<f64>,
}

impl BrowserClock {
    /// The clock and the page's time origin; `None` where the browser has none.
    pub(super) fn new() -> Option<(Self, f64)> {
        let origin_ms = js::number(&js::get(&js::window(), Name::Performance), Name::TimeOrigin);
        let last_ms = performance::now().ok()?;
        (origin_ms > 0.0).then_some((Self { last_ms: Cell::new(last_ms) }, origin_ms))
    }
}

impl Clock for BrowserClock {
    fn page_ms(&self) -> f64 {
        if let Ok(now_ms) = performance::now()
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
pub(super) fn quantum_ns() -> i64 {
    if js::get(&js::window(), Name::CrossOriginIsolated).is_truthy() { FINE_QUANTUM_NS } else { COARSE_QUANTUM_NS }
}

/// Random bytes: of `crypto` where there is one, else of `Math.random`.
#[derive(Debug)]
pub(super) struct BrowserRandom;

impl Random for BrowserRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let array = Uint8Array::new_with_length(bytes.len() as u32);
        let crypto = js::get(&js::window(), Name::Crypto);
        if js::call(&crypto, Name::GetRandomValues, &[&array]).is_ok() {
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
    js::get(&js::window(), Name::LocalStorage)
}

pub(super) fn stored(key: &str) -> Option<String> {
    js::call(&storage(), Name::GetItem, &[&key.into()]).ok()?.as_string()
}

/// Whether it is kept: storage may be full or forbidden.
pub(super) fn store(key: &str, value: &str) -> bool {
    js::call(&storage(), Name::SetItem, &[&key.into(), &value.into()]).is_ok()
}

/// Takes what is kept, so that nobody else does.
pub(super) fn take_stored(key: &str) -> Option<String> {
    let value = stored(key)?;
    js::call(&storage(), Name::RemoveItem, &[&key.into()]).ok()?;
    Some(value)
}

pub(super) fn navigator() -> JsValue {
    js::get(&js::window(), Name::Navigator)
}

/// Whether the browser knows that there is no network.
pub(super) fn is_offline() -> bool {
    js::get(&navigator(), Name::OnLine) == JsValue::FALSE
}

/// The path of the page.
pub(super) fn path() -> String {
    js::text(&js::get(&js::window(), Name::Location), Name::Pathname).unwrap_or_default()
}

/// The kind of network, as the conventions' `network.connection.*`.
pub(super) fn describe_network(attributes: &mut Attributes) {
    let connection = js::get(&navigator(), Name::Connection);
    let kind = if is_offline() { Some("unavailable".to_owned()) } else { js::text(&connection, Name::Type) };
    if let Some(kind) = kind {
        attributes.text(
            "network.connection.type",
            match kind.as_str() {
                "cellular" => "cell",
                "ethernet" => "wired",
                "none" => "unavailable",
                other => other,
            },
        );
    }
    if let Some(subtype) = js::text(&connection, Name::EffectiveType) {
        attributes.text("network.connection.subtype", &subtype);
    }
}

/// What the browser says of itself: OpenTelemetry's resource conventions, `browser.*` and `user_agent.*`.
pub(super) fn describe(resource: &mut Attributes) {
    resource.word("telemetry.sdk.name", env!("CARGO_PKG_NAME"));
    resource.word("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    resource.word("telemetry.sdk.language", "rust");
    let navigator = navigator();
    if let Some(user_agent) = js::text(&navigator, Name::UserAgent) {
        resource.text("user_agent.original", &user_agent);
    }
    if let Some(language) = js::text(&navigator, Name::Language) {
        resource.text("browser.language", &language);
    }
    let data = js::get(&navigator, Name::UserAgentData);
    if let Some(mobile) = js::get(&data, Name::Mobile).as_bool() {
        resource.put("browser.mobile", &Value::Bool(mobile));
    }
    if let Some(platform) = js::text(&data, Name::Platform) {
        resource.text("browser.platform", &platform);
    }
    let brands: Vec<String> = js::items(&js::get(&data, Name::Brands))
        .filter_map(|brand| {
            let mut name = js::text(&brand, Name::Brand)?;
            name.push(' ');
            name.push_str(&js::text(&brand, Name::Version)?);
            Some(name)
        })
        .collect();
    if !brands.is_empty() {
        resource.put("browser.brands", &Value::Strs(brands));
    }
}

/// The nearest element to `node` that something can be done to: itself, or around it.
pub(super) fn closest(node: &JsValue, selector: &str) -> Option<JsValue> {
    let found = js::call(node, Name::Closest, &[&selector.into()]).ok()?;
    found.is_object().then_some(found)
}

/// An element as a person would point to it, and never what is written in it: `button#send`, or `div.card` without an id.
pub(super) fn selector(element: &JsValue) -> Option<String> {
    let mut selector = js::text(element, Name::LocalName)?;
    if let Some(id) = js::text(element, Name::Id) {
        selector.push('#');
        selector.push_str(&id);
    } else if let Ok(class) = js::call(element, Name::GetAttribute, &[&"class".into()])
        && let Some(class) = class.as_string().as_deref().and_then(|class| class.split_ascii_whitespace().next())
    {
        selector.push('.');
        selector.push_str(class);
    }
    Some(selector)
}

/// The name of a JavaScript error, if it is one.
pub(super) fn error_name(error: &JsValue) -> Option<String> {
    if error.is_object() { js::text(error, Name::NameOf) } else { None }
}

/// A value that somebody threw, as a text.
pub(super) fn as_text(value: &JsValue) -> String {
    js::text(value, Name::Message)
        .or_else(|| value.as_string())
        .or_else(|| value.as_f64().map(|_| "a number".to_owned()))
        .unwrap_or_else(|| "something that is no error".to_owned())
}
