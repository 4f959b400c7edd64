//! Tests of the layer for `tracing` in a browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod page;

use gloo_net::http::Request;
use page::{all_of, carried, is_sent, parent_of, sent, start};
use throughline_browser::http;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn begin() {
    start();
    // Fails in later tests, because the first one has set the subscriber.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(throughline_browser::tracing::layer()),
    );
}

async fn get(path: &str) {
    http::send(Request::get(path).build().unwrap(), None).await.unwrap().text().await.unwrap();
}

#[wasm_bindgen_test]
async fn an_instrumented_span_is_the_parent_of_requests_in_it() {
    begin();
    let task = |name: &'static str| {
        async move {
            get(&format!("/{name}/first")).await;
            get(&format!("/{name}/second")).await;
        }
        .instrument(tracing::info_span!("load", otel.kind = "internal", who = name))
    };
    // Each task has its own span, although they are interleaved.
    all_of([task("one"), task("two")]).await;
    for path in ["/one/first", "/one/second", "/two/first", "/two/second"] {
        assert_eq!(parent_of(path).await, "load", "{path}");
    }
    assert_eq!(carried("/one/first").0, carried("/one/second").0);
    assert_ne!(carried("/one/first").0, carried("/two/first").0);
    assert!(is_sent("/v1/traces", "who"), "fields are attributes");
}

#[wasm_bindgen_test]
async fn spans_nest_have_events_and_are_filtered_by_level() {
    begin();
    let outer = tracing::info_span!("outer");
    async {
        tracing::debug_span!("too quiet").in_scope(|| {});
        let inner = tracing::info_span!("inner", count = tracing::field::Empty);
        inner.record("count", 3);
        async {
            tracing::error!("it went wrong");
            get("/nested").await;
        }
        .instrument(inner)
        .await;
        get("/outer").await;
    }
    .instrument(outer)
    .await;
    assert_eq!(parent_of("/nested").await, "inner");
    assert_eq!(parent_of("/outer").await, "outer");
    assert_eq!(carried("/nested").0, carried("/outer").0, "one trace");
    assert!(sent("/v1/traces", "it went wrong").await && is_sent("/v1/traces", "count"));
    assert!(!is_sent("/v1/traces", "too quiet"));
}

#[wasm_bindgen_test]
async fn guards_that_are_dropped_out_of_order_leave_no_span_entered() {
    begin();
    let (first, second) = (tracing::info_span!("first"), tracing::info_span!("second"));
    let first_guard = first.enter();
    let second_guard = second.enter();
    drop(first_guard);
    assert!(throughline_browser::current().span().is_some(), "the second is still entered");
    drop(second_guard);
    assert!(!throughline_browser::current().span().is_some(), "no span is entered");
}
