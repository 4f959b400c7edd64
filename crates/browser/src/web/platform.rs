//! Small things that are asked of the browser.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

use crate::span::Attributes;

const SESSION_KEY: &str = "throughline:session";

/// Random bytes: of `crypto` where there is one, else of `Math.random`.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let strong = web_sys::window()
        .and_then(|window| window.crypto().ok())
        .is_some_and(|crypto| crypto.get_random_values_with_u8_array(&mut bytes).is_ok());
    if !strong {
        for byte in &mut bytes {
            *byte = (js_sys::Math::random() * 256.0) as u8;
        }
    }
    bytes
}

/// `scheme://host:port` of the page; empty where it has none.
pub(super) fn origin() -> String {
    web_sys::window().and_then(|window| window.location().origin().ok()).unwrap_or_default()
}

/// The path of the page.
pub(super) fn path() -> String {
    web_sys::window().and_then(|window| window.location().pathname().ok()).unwrap_or_default()
}

/// A property of a JavaScript object, unless it is null or undefined.
pub(super) fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_null() && !value.is_undefined())
}

/// A number among the properties of a JavaScript object.
pub(super) fn number(object: &JsValue, name: &str) -> Option<f64> {
    property(object, name)?.as_f64()
}

/// Runs `f` in a task of its own after `delay_ms`.
pub(super) fn after(delay_ms: u32, f: impl FnOnce() + 'static) {
    let Some(window) = web_sys::window() else { return };
    let callback = Closure::once_into_js(f);
    // A page that cannot set a timer any more is going away; there is nothing left to do then.
    let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(
        callback.unchecked_ref(),
        i32::try_from(delay_ms).unwrap_or(i32::MAX),
    );
}

/// Calls `f` at each event `name` of `target`, for as long as the page lives.
pub(super) fn listen(target: &web_sys::EventTarget, name: &str, f: impl FnMut() + 'static) {
    let callback = Closure::<dyn FnMut()>::new(f);
    if target.add_event_listener_with_callback(name, callback.as_ref().unchecked_ref()).is_ok() {
        callback.forget();
    }
}

fn session_storage() -> Option<web_sys::Storage> {
    web_sys::window()?.session_storage().ok()?
}

/// The session of this tab, where an earlier page of it began one.
pub(super) fn stored_session() -> Option<String> {
    session_storage()?.get_item(SESSION_KEY).ok()?.filter(|session_id| super::delivery::is_session_id(session_id))
}

pub(super) fn store_session(session_id: &str) {
    if let Some(storage) = session_storage() {
        // A full or forbidden storage costs the next page its session, nothing more.
        let _ = storage.set_item(SESSION_KEY, session_id);
    }
}

/// What the browser says of itself (OpenTelemetry resource conventions, `browser.*` and `user_agent.*`).
pub(super) fn describe(resource: &mut Attributes) {
    resource.set("telemetry.sdk.name", env!("CARGO_PKG_NAME"));
    resource.set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    resource.set("telemetry.sdk.language", "rust");
    let Some(window) = web_sys::window() else { return };
    let navigator = window.navigator();
    if let Ok(user_agent) = navigator.user_agent() {
        resource.set("user_agent.original", user_agent);
    }
    if let Some(language) = navigator.language() {
        resource.set("browser.language", language);
    }
    let Some(data) = property(&navigator, "userAgentData") else { return };
    if let Some(mobile) = property(&data, "mobile").and_then(|mobile| mobile.as_bool()) {
        resource.set("browser.mobile", mobile);
    }
    if let Some(platform) = property(&data, "platform").and_then(|platform| platform.as_string()) {
        resource.set("browser.platform", platform);
    }
}
