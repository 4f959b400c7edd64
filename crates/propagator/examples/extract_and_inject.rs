//! Extracts and injects a context: `cargo run -p throughline-propagator --example extract_and_inject`.

use std::error::Error;

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    baggage::BaggageExt as _,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline_propagator::Propagator;

fn main() -> Result<(), Box<dyn Error>> {
    // As the global propagator, it is used by all instrumentations of the process:
    // `opentelemetry::global::set_text_map_propagator(Propagator::from_env()?)`.
    let propagator = Propagator::new();
    let provider = SdkTracerProvider::builder().build();

    let mut received = HeaderMap::new();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    received.insert("traceparent", HeaderValue::from_static(traceparent));
    received.insert("tracestate", HeaderValue::from_static("congo=t61rcWkgMzE"));
    received.insert("baggage", HeaderValue::from_static("user=Zo%C3%AB,plan=pro;source=login"));

    let context = propagator.extract(&HeaderExtractor(&received));
    println!("extracted:");
    println!("  trace id: {}", context.span().span_context().trace_id());
    println!("  span id of the caller: {}", context.span().span_context().span_id());
    for (key, (value, _)) in context.baggage() {
        println!("  baggage: {key} is {value}");
    }

    // The span of this service is a child of the caller's span, and the parent of the request that it sends.
    let span = provider.tracer("example").start_with_context("GET /users/{id}", &context);
    let own = context.with_span(span);
    let mut sent = HeaderMap::new();
    propagator.inject_context(&own, &mut HeaderInjector(&mut sent));
    println!("injected:");
    for (name, value) in &sent {
        println!("  {name}: {}", value.to_str()?);
    }
    drop(own);
    provider.shutdown()?;
    Ok(())
}
