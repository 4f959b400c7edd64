//! Test of a panic in the application's code in a browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod page;

use page::{eval, sent, start};
use wasm_bindgen::{JsValue, prelude::Closure};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn a_panic_is_reported_with_message_location_and_stack() {
    start();
    let panics = Closure::<dyn Fn()>::new(|| panic!("the page is out of cards")).into_js_value();
    js_sys::Reflect::set(&eval("window"), &JsValue::from_str("panics"), &panics).unwrap();
    // Caught here; in an event listener the browser would catch it.
    eval("try { window.panics() } catch { window.trapped = true }");
    assert!(eval("window.trapped").is_truthy());
    assert!(sent("/v1/logs", "the page is out of cards").await);
    assert!(sent("/v1/logs", "tests/panicking.rs:").await);
    assert!(sent("/v1/logs", "wasm-function").await);
    assert!(sent("/v1/logs", "exception").await);
}
