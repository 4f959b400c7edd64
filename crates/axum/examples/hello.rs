//! Prints the span and the `Server-Timing` header of one request: `cargo run -p throughline-axum --example hello`.

use std::error::Error;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Path,
    http::Request,
    routing::get,
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use throughline_axum::TraceLayer;
use throughline_propagator::Propagator;
use tower::ServiceExt as _;

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // An application has a batch exporter here.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = TraceLayer::new("instance-1").tracer(provider.tracer("hello")).propagator(Propagator::new());
    let app: Router = Router::new().route("/hello/{name}", get(hello)).layer(layer);

    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::get("/hello/Ferris").header("traceparent", traceparent).body(Body::empty())?;
    let response = app.oneshot(request).await?;
    println!("status: {}", response.status());
    for value in response.headers().get_all("server-timing") {
        println!("server-timing: {}", value.to_str()?);
    }
    // The span ends with the last byte of the body.
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    println!("body: {}", String::from_utf8_lossy(&body));

    for span in exporter.get_finished_spans()? {
        println!("span: {} ({:?}), child of {}", span.name, span.span_kind, span.parent_span_id);
        println!("  trace id: {}", span.span_context.trace_id());
        for attribute in &span.attributes {
            println!("  {}: {}", attribute.key, attribute.value);
        }
    }
    provider.shutdown()?;
    Ok(())
}
