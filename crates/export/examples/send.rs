//! Sends spans to a receiver in this process and prints the counts: `cargo run -p throughline-export --example send`.

use std::error::Error;

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use opentelemetry::{
    KeyValue,
    trace::{Span as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use throughline_export::EncodingSpanProcessor;
use throughline_otlp::{Encoding, decode_traces};
use tokio::net::TcpListener;

const SPANS: i64 = 1_000;

/// Handles requests as a receiver that prints the number of spans in each request.
async fn receive(body: Bytes) -> StatusCode {
    match decode_traces(&body, Encoding::Protobuf) {
        Ok(decoded) => {
            println!("received {} spans in {} bytes", decoded.records.len(), body.len());
            StatusCode::OK
        }
        Err(error) => {
            println!("received an invalid request: {error}");
            StatusCode::BAD_REQUEST
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // The runtime is for the receiver only: the processor has its own thread and a blocking client.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let endpoint = format!("http://{}/v1/traces", listener.local_addr()?);
    let receiver: Router = Router::new().route("/v1/traces", post(receive));
    runtime.spawn(async move { axum::serve(listener, receiver).await });

    // `builder_from_env` reads the endpoint from OTEL_EXPORTER_OTLP_ENDPOINT instead.
    let processor = EncodingSpanProcessor::builder().endpoint(&endpoint)?.build()?;
    let monitor = processor.monitor();
    let resource = Resource::builder().with_service_name("shop").build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();
    let tracer = provider.tracer("example");
    for number in 0..SPANS {
        let mut span = tracer.start("GET /orders/{id}");
        span.set_attribute(KeyValue::new("order.number", number));
        span.end();
    }

    // A full batch is sent at once; the shutdown sends the rest.
    provider.shutdown()?;
    let counts = monitor.counts();
    println!("{} spans were exported, {} were lost", counts.exported, counts.lost());
    Ok(())
}
