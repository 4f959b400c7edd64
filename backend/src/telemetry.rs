//! The server's own spans: `tracing` → OpenTelemetry → OTLP → the trusted door, like any other program's.
//!
//! They are encoded where they end and posted by the exporter of `opentelemetry-otlp` (`throughline_export`).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use opentelemetry_semantic_conventions::resource;
use secrecy::ExposeSecret as _;
use throughline_export::EncodingSpanProcessor;
use tracing::Level;
use tracing_subscriber::{EnvFilter, Layer as _, filter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::settings::Settings;

const EXPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a span waits for company. The inspector is live: the SDK's 5 s would be felt.
const EXPORT_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// To ourselves, on this machine: a proxy of the environment is not asked. Made on a thread of its own, because a blocking client
/// must not be made where futures run.
fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let made = std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(EXPORT_TIMEOUT).build());
    Ok(made.join().map_err(|_| anyhow::anyhow!("the exporter's client cannot be made"))??)
}

/// Sets logging and tracing up; the provider is to be shut down at the end, so that nothing is lost.
pub(crate) fn start(settings: &Settings, instance: &str, door: SocketAddr) -> anyhow::Result<SdkTracerProvider> {
    let mut attributes = vec![
        KeyValue::new(resource::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(resource::SERVICE_INSTANCE_ID, instance.to_owned()),
    ];
    attributes
        .extend(settings.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    let resource =
        Resource::builder_empty().with_service_name(settings.service_name.clone()).with_attributes(attributes).build();
    // The endpoint is given in code: OTEL_EXPORTER_OTLP_ENDPOINT names where the pipe ends, not where it begins.
    let token = settings.doors.trusted_token.as_ref();
    let headers = token.map(|token| ("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
    let door = from_here(door);
    let processor = EncodingSpanProcessor::builder(client()?).scheduled_delay(EXPORT_INTERVAL).build(|client| {
        SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("http://{door}/v1/traces"))
            .with_headers(HashMap::from_iter(headers))
            .build()
    })?;
    // A line of level ERROR in the log is no failed request.
    let processor = throughline_axum::ServerStatus::new(processor);
    let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build();

    global::set_text_map_propagator(throughline_axum::TraceContextPropagator::new());
    // What becomes a span is not what becomes a log line: a quiet log does not hide spans.
    let ours = filter::Targets::new().with_target("throughline", Level::INFO);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("throughline"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(ours);
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::try_new(&settings.log)?);
    tracing_subscriber::registry().with(spans).with(log).try_init()?;
    Ok(provider)
}

/// How this machine reaches its own door: "any address" is none to send to.
fn from_here(mut door: SocketAddr) -> SocketAddr {
    match door.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => door.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => door.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    door
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_reached_on_loopback() {
        for (door, here) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(from_here(door.parse().unwrap()), here.parse().unwrap());
        }
    }
}
