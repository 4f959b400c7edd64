//! Prints reports before and after tracing is set up: `cargo run -p throughline-self-check --example report`.

use std::error::Error;

use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, SdkTracerProvider},
};
use throughline_self_check::{Outcome, self_check};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

fn main() -> Result<(), Box<dyn Error>> {
    // An application has an OTLP exporter here; the report then also shows why an endpoint refuses spans.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter.clone()).build();

    // Each check that fails is listed with help.
    println!("without a subscriber:\n{}", self_check(|| provider.force_flush()).table());

    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("example"));
    tracing_subscriber::registry().with(spans).try_init()?;
    println!("without a propagator:\n{}", self_check(|| provider.force_flush()).table());

    global::set_text_map_propagator(TraceContextPropagator::new());
    let report = self_check(|| provider.force_flush());
    println!("with all of them:\n{}", report.table());

    // Displayed, it is one line for the log.
    println!("{report}");
    println!("{} spans were exported", exporter.get_finished_spans()?.len());
    provider.shutdown()?;
    if report.outcome() == Outcome::Good { Ok(()) } else { Err("the last report should have no problems".into()) }
}
