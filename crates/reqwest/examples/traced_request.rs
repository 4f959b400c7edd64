//! Sends a traced request to a server in this process: `cargo run -p throughline-reqwest --example traced_request`.

use std::error::Error;

use axum::{Router, http::HeaderMap, routing::get};
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use throughline_propagator::Propagator;
use throughline_reqwest::RequestBuilderExt as _;
use tokio::net::TcpListener;
use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Returns the trace context of the request.
async fn user(headers: HeaderMap) -> String {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    format!("the server received traceparent: {}", traceparent.unwrap_or("none"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // An application has a batch exporter here.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("example"));
    let filter = Targets::new().with_target("throughline", Level::INFO);
    tracing_subscriber::registry().with(filter).with(spans).try_init()?;
    global::set_text_map_propagator(Propagator::new());
    // Only needed without a default TLS provider: here reqwest has the feature `rustls-no-provider`.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "a TLS provider is already installed")?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/users/7?access_token=secret", listener.local_addr()?);
    let app: Router = Router::new().route("/users/{id}", get(user));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.get(url).traced().url_template("/users/{id}").send().await?;
    // The span ends with the last byte of the body.
    let body = response.error_for_status()?.text().await?;
    println!("{body}");

    for span in exporter.get_finished_spans()? {
        println!("span: {} ({:?})", span.name, span.span_kind);
        println!("  trace id: {}", span.span_context.trace_id());
        println!("  span id: {}", span.span_context.span_id());
        for attribute in &span.attributes {
            println!("  {}: {}", attribute.key, attribute.value);
        }
    }
    provider.shutdown()?;
    Ok(())
}
