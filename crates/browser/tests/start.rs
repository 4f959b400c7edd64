//! Test of `start` in a browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod page;

use page::{eval, is_sent, record, task};
use throughline_browser::{flush, start};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// Issues an ingest token and records those that are sent. Timers of 5 seconds or more never fire, because one of them
/// marks the application as mounted without `app_ready`.
const RECEIVER: &str = r"
window.tokens = [];
window.fetch = (real => function fetch(input, init) {
    if (input === '/v1/ingest-token') return Promise.resolve(Response.json({ ingest_token: 'v1.given', expires_in_s: 900 }));
    if (input === '/v1/traces') window.tokens.push(new Headers(init.headers).get('x-throughline-ingest-token'));
    return real.call(window, input, init);
})(window.fetch);
window.setTimeout = (real => (callback, delay) => delay >= 5000 ? 1 : real.call(window, callback, delay))(window.setTimeout);
";

#[wasm_bindgen_test]
async fn start_requests_a_token_and_ends_the_page_load_when_the_application_is_mounted() {
    record();
    eval(RECEIVER);
    start();
    start();
    for _ in 0..1000 {
        flush();
        task().await;
        if is_sent("/v1/traces", "documentLoad") {
            break;
        }
    }
    assert!(is_sent("/v1/traces", "documentLoad"), "the page load never ends");
    assert_eq!(eval("[...new Set(window.tokens)].join()"), "v1.given");
}
