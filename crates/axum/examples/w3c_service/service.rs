//! The service: it makes the calls that a request lists, in the trace of that request.

use anyhow::Context;
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use serde_json::Value;
use throughline_axum::TraceLayer;
use throughline_propagator::Propagator;
use throughline_reqwest::RequestBuilderExt;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// A call to make.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    /// The address to call.
    url: String,
    /// The JSON body to send.
    #[serde(default)]
    arguments: Value,
}

/// Sets up tracing for the whole process.
///
/// # Errors
/// Returns an error if it has already been set up.
pub(crate) fn start_tracing(provider: &SdkTracerProvider) -> anyhow::Result<()> {
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("w3c_service"));
    let ours = Targets::new().with_target("throughline", tracing::Level::INFO);
    tracing_subscriber::registry().with(ours).with(spans).try_init()?;
    opentelemetry::global::set_text_map_propagator(Propagator::new());
    Ok(())
}

/// Returns the router with `POST /test`, which accepts a list of [`Call`]s.
///
/// # Errors
/// Returns an error if the HTTP client cannot be built.
pub(crate) fn router() -> anyhow::Result<Router> {
    // reqwest has no default provider. An error means that one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().context("cannot build the HTTP client")?;
    Ok(Router::new().route("/test", post(test)).layer(TraceLayer::new("w3c-service")).with_state(client))
}

async fn test(
    State(client): State<reqwest::Client>,
    Json(calls): Json<Vec<Call>>,
) -> Result<StatusCode, (StatusCode, String)> {
    for call in calls {
        let sent = client.post(&call.url).json(&call.arguments).traced().send().await;
        sent.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
    }
    Ok(StatusCode::OK)
}
