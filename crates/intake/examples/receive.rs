//! Receives one OTLP request with an invalid span: `cargo run -p throughline-intake --example receive`.

use std::error::Error;

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{Request, header};
use throughline_intake::{IngestTokenKey, Intake, IntakeConfig, otlp_router};
use throughline_store::{ListFilter, SpanStore as _, Store};
use tower::ServiceExt as _;

/// The span id of the second span is all zero, which is invalid.
const BODY: &str = r#"{"resourceSpans":[{
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"spans":[
        {"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","name":"GET /orders/{id}","kind":2,
         "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000012000000"},
        {"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"0000000000000000","name":"SELECT orders"}
    ]}]
}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let config = IntakeConfig::new(IngestTokenKey::load_or_create(dir.path())?, "shop-web");
    let intake = Intake::new(store.clone(), config);
    // A program serves this router on a loopback address: `axum::serve(listener, app)`.
    let app: Router = otlp_router(intake.clone());

    let request = Request::post("/v1/traces").header(header::CONTENT_TYPE, "application/json");
    let response = app.oneshot(request.body(Body::from(BODY))?).await?;
    println!("status: {}", response.status());
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    println!("response: {}", String::from_utf8_lossy(&body));

    let spans = intake.stats().spans;
    println!("spans: {} accepted, {} invalid", spans.accepted, spans.rejected.invalid);
    for trace in store.list(ListFilter::default()).await? {
        println!("stored: {} {} of {}", trace.trace_id, trace.root_name, trace.root_service);
    }
    store.close().await;
    Ok(())
}
