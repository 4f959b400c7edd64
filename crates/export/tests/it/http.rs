//! Tests with a real client and socket, and an upstream that is as strict as Honeycomb.

use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use throughline_export::EncodingSpanProcessor;
use throughline_testkit::FakeHoneycomb;

const KEY: &str = "hcaik_test";

fn provider(endpoint: &str, key: &str) -> SdkTracerProvider {
    let processor = EncodingSpanProcessor::builder()
        .scheduled_delay(std::time::Duration::MAX)
        .endpoint(&format!("{endpoint}/v1/traces"))
        .and_then(|builder| builder.header("x-honeycomb-team", key))
        .unwrap()
        .build()
        .unwrap();
    let resource = Resource::builder_empty().with_service_name("shop").build();
    SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build()
}

#[test]
fn spans_reach_honeycomb_only_with_the_key() {
    // The runtime is for the upstream only: the processor sends with a blocking client on its own thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = runtime.block_on(FakeHoneycomb::start(KEY)).unwrap();

    let provider_with_key = provider(&upstream.endpoint(), KEY);
    let mut span = provider_with_key.tracer("test").start("GET /orders");
    span.set_attribute(KeyValue::new("http.response.status_code", 200));
    span.end();
    provider_with_key.shutdown().unwrap();
    let spans = upstream.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "GET /orders");
    assert_eq!(spans[0].resource.service_name(), "shop");

    let provider_without = provider(&upstream.endpoint(), "wrong");
    provider_without.tracer("test").start("refused").end();
    let error = provider_without.force_flush().unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    assert_eq!(upstream.spans().len(), 1);
}

#[test]
fn a_flush_in_a_single_threaded_runtime_does_not_hang() {
    let of_upstream = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = of_upstream.block_on(FakeHoneycomb::start(KEY)).unwrap();
    let provider = provider(&upstream.endpoint(), KEY);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        provider.tracer("test").start("flushed").end();
        provider.force_flush().unwrap();
        provider.tracer("test").start("last").end();
        provider.shutdown().unwrap();
        drop(provider);
    });
    let names: Vec<_> = upstream.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["flushed", "last"]);
}
