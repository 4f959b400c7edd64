//! A panic in the page's own code, in a real browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "the other pages' tests use the rest")]
mod page;

use page::{eval, sent, start};
use wasm_bindgen::{JsValue, prelude::Closure};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn a_panic_is_told_with_its_message_its_place_and_its_stack() {
    start();
    let panics = Closure::<dyn Fn()>::new(|| panic!("the page is out of cards")).into_js_value();
    js_sys::Reflect::set(&eval("window"), &JsValue::from_str("panics"), &panics).unwrap();
    // Caught, as an event listener's would be by the browser.
    eval("try { window.panics() } catch { window.trapped = true }");
    assert!(eval("window.trapped").is_truthy());
    assert!(sent("/v1/logs", "the page is out of cards").await);
    assert!(sent("/v1/logs", "tests/panicking.rs:").await);
    assert!(sent("/v1/logs", "wasm-function").await);
    assert!(sent("/v1/logs", "exception").await);
}
