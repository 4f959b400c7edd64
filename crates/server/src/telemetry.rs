//! The server's own spans: `tracing` → OpenTelemetry → OTLP → the receiver, like any other program's.
//!
//! They are encoded where they end and posted by the same processor (`throughline_export`).

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
/// How long a span waits for company. The inspector is live: the SDK's 5 s would be felt.
pub(crate) const EXPORT_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A client that asks no proxy of the environment. Made on a thread of its own, because a blocking client must not be made where
/// futures run.
pub(crate) fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let made = std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(EXPORT_TIMEOUT).build());
    Ok(made.join().map_err(|_| anyhow::anyhow!("the exporter's client cannot be made"))??)
}

/// A processor that encodes spans where they end, and sends them.
pub(crate) fn processor(builder: Builder) -> Result<impl SpanProcessor, BuildError> {
    // A line of level ERROR in the log is no failed request.
    Ok(throughline_axum::ServerStatus::new(builder.build()?))
}

/// Installs the propagator that `OTEL_PROPAGATORS` describes.
pub(crate) fn set_propagator() -> Result<(), PropagatorsError> {
    global::set_text_map_propagator(Propagator::from_env()?);
    Ok(())
}

/// Sets logging and tracing up; the provider is to be shut down at the end, so that nothing is lost.
pub(crate) fn start(settings: &Settings, instance: &str, otlp_http: SocketAddr) -> anyhow::Result<SdkTracerProvider> {
    let mut attributes = vec![
        KeyValue::new(resource::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(resource::SERVICE_INSTANCE_ID, instance.to_owned()),
    ];
    attributes
        .extend(settings.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    let resource =
        Resource::builder_empty().with_service_name(settings.service_name.clone()).with_attributes(attributes).build();
    // The endpoint is given in code: OTEL_EXPORTER_OTLP_ENDPOINT names the upstream, not the receiver of this process.
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
    // What becomes a span is not what becomes a log line: a quiet log does not hide spans.
    let recorded = filter::Targets::new().with_targets([("throughline", Level::INFO), (settings.program, Level::INFO)]);
    let spans = otel_layer(provider.tracer("throughline")).with_filter(recorded);
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::try_new(&settings.log)?);
    tracing_subscriber::registry().with(spans).with(log).try_init()?;
    Ok(provider)
}

/// How this machine reaches its own receiver: "any address" is none to send to.
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
    fn any_address_is_reached_on_loopback() {
        for (receiver, here) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(from_here(receiver.parse().unwrap()), here.parse().unwrap());
        }
    }
}
