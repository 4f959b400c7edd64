//! The server's own spans: `tracing` → OpenTelemetry → OTLP → the receiver, like the spans of any other program.
//!
//! The processor of `throughline_export` encodes each span when it ends, and sends batches of encoded spans.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, SpanProcessor},
};
use opentelemetry_semantic_conventions::resource;
use secrecy::ExposeSecret as _;
use throughline_export::{BuildError, Builder, EncodingSpanProcessor};
use throughline_propagator::{Propagator, PropagatorsError};
use tracing::Level;
use tracing_subscriber::{EnvFilter, Layer as _, filter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{init::otel_layer, settings::Settings};

const EXPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// The delay between two batches. The SDK's default of 5 s is too long for the live view of the inspector.
pub(crate) const EXPORT_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// Creates an HTTP client that uses no proxy. It is created on its own thread, because `reqwest` panics if a blocking client is created
/// in an asynchronous context.
pub(crate) fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let made = std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(EXPORT_TIMEOUT).build());
    Ok(made.join().map_err(|_| anyhow::anyhow!("cannot create the exporter's HTTP client"))??)
}

/// Builds the processor that encodes spans when they end, and sends them.
pub(crate) fn processor(builder: Builder) -> Result<impl SpanProcessor, BuildError> {
    // A log line of level ERROR does not make the request's span an error.
    Ok(throughline_axum::ServerStatus::new(builder.build()?))
}

/// Installs the propagator that `OTEL_PROPAGATORS` names.
pub(crate) fn set_propagator() -> Result<(), PropagatorsError> {
    global::set_text_map_propagator(Propagator::from_env()?);
    Ok(())
}

/// Sets up logging and tracing. The caller has to shut down the provider, which sends the last spans.
pub(crate) fn start(settings: &Settings, instance: &str, otlp_http: SocketAddr) -> anyhow::Result<SdkTracerProvider> {
    let mut attributes = vec![
        KeyValue::new(resource::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(resource::SERVICE_INSTANCE_ID, instance.to_owned()),
    ];
    attributes
        .extend(settings.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    let resource =
        Resource::builder_empty().with_service_name(settings.service_name.clone()).with_attributes(attributes).build();
    // The endpoint is set in code, because OTEL_EXPORTER_OTLP_ENDPOINT is the upstream and not the receiver of this process.
    let mut builder = EncodingSpanProcessor::builder()
        .client(client()?)
        .endpoint(&format!("http://{}/v1/traces", from_here(otlp_http)))?
        .scheduled_delay(EXPORT_INTERVAL);
    if let Some(token) = &settings.receivers.otlp_token {
        builder = builder.header("authorization", &format!("Bearer {}", token.expose_secret()))?;
    }
    let processor = processor(builder)?;
    let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();
    set_propagator()?;
    // Spans are filtered independently of the log, so that a strict log filter does not hide spans.
    let recorded = filter::Targets::new().with_targets([("throughline", Level::INFO), (settings.program, Level::INFO)]);
    let spans = otel_layer(provider.tracer("throughline")).with_filter(recorded);
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::try_new(&settings.log)?);
    tracing_subscriber::registry().with(spans).with(log).try_init()?;
    Ok(provider)
}

/// Returns the address at which this machine reaches its own receiver: loopback for an unspecified address.
pub(crate) fn from_here(mut receiver: SocketAddr) -> SocketAddr {
    match receiver.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => receiver.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => receiver.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_reached_on_loopback() {
        for (receiver, here) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(from_here(receiver.parse().unwrap()), here.parse().unwrap());
        }
    }
}
