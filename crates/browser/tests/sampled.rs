//! Test of a session that is not sampled in a browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod page;

use page::{eval, eval_async, is_sent, sent, start_with, task};
use throughline_browser::{Attributes, event, flush};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn a_session_that_is_not_sampled_sends_only_errors_and_propagates_the_decision() {
    start_with(|config| config.sample_ratio(0.0));
    eval_async("fetch('/?unrecorded').then(r => r.text())").await.unwrap();
    let header = eval("window.calls.findLast(call => call.url.endsWith('/?unrecorded')).headers.get('traceparent')");
    // The random flag without the sampled flag.
    assert!(header.as_string().unwrap().ends_with("-02"), "{header:?}");
    event("app.nothing_special", Attributes::default());
    // The errors are sent after the point at which the successful request would have been sent.
    assert!(eval_async("fetch('http://127.0.0.1:1/broken')").await.is_err());
    eval("dispatchEvent(new ErrorEvent('error', { error: new Error('kept'), message: 'kept' }))");
    assert!(sent("/v1/traces", "/broken").await);
    assert!(sent("/v1/logs", "kept").await);
    flush();
    task().await;
    assert!(!is_sent("/v1/traces", "unrecorded"));
    assert!(!is_sent("/v1/logs", "app.nothing_special"));
}
