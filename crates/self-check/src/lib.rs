#![doc = include_str!("../README.md")]

mod diagnose;
mod lock_file;
mod report;

use std::fmt::Display;

use opentelemetry::{Context, global, trace::TraceContextExt as _};
use tracing::{Level, dispatcher, level_filters::STATIC_MAX_LEVEL, subscriber::NoSubscriber};
use tracing_opentelemetry::{OpenTelemetrySpanExt as _, SetParentError};

pub use report::{Finding, Outcome, Report};

/// The target of the span: the same as that of `throughline-axum` and `throughline-reqwest`, so that a filter that
/// hides their spans also hides this one.
const TARGET: &str = "throughline::http";

/// The name of the span.
pub const SELF_CHECK_SPAN: &str = "self-check";

/// Creates a span named `self-check` in the same way as the server layer, sends it, and reports the result.
///
/// `flush` exports all ended spans, blocks until that is done, and returns an error if it fails: usually the
/// `force_flush` of the tracer provider. The exporter's own timeout limits it. Call this function once the subscriber,
/// the provider and the propagator are set, outside of async code (`spawn_blocking`).
///
/// ```rust,no_run
/// # let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
/// let report = throughline_self_check::self_check(|| provider.force_flush());
/// eprintln!("{report}");
/// ```
pub fn self_check<E: Display>(flush: impl FnOnce() -> Result<(), E>) -> Report {
    let mut report = Report::default();
    let Some(context) = make_span(&mut report) else { return report };
    report.trace_id = Some(context.span().span_context().trace_id().to_string());
    check_propagator(&mut report, &context);
    let is_sampled = context.span().span_context().is_sampled();
    drop(context);
    if !is_sampled {
        let help = "set another sampler, or OTEL_TRACES_SAMPLER=parentbased_always_on";
        report.doubt("sampler", "it drops the span; no further check is possible", help);
        return report;
    }
    report.good("sampler", "it samples the span");
    match flush() {
        Ok(()) => report.good("exporter", "the endpoint accepted the span"),
        Err(error) => report.push(diagnose::export("exporter", &error.to_string())),
    }
    report
}

/// Creates the span and ends it. Returns its context if it would be exported.
fn make_span(report: &mut Report) -> Option<Context> {
    if dispatcher::get_default(tracing::Dispatch::is::<NoSubscriber>) {
        report.bad(
            "subscriber",
            "no `tracing` subscriber is set, so nothing is recorded",
            "call `tracing_subscriber::registry().with(…).init()` before the server starts",
        );
        return None;
    }
    report.good("subscriber", "one is set");
    let span = tracing::info_span!(target: TARGET, SELF_CHECK_SPAN);
    if span.is_disabled() {
        let (what, help) = diagnose::disabled(STATIC_MAX_LEVEL, tracing::level_filters::LevelFilter::current());
        report.bad("level filter", what, help);
        return None;
    }
    report.good("level filter", format!("spans of `{TARGET}` at {} pass", Level::INFO));
    if let Err(SetParentError::LayerNotFound) = span.set_parent(Context::new()) {
        let versions = lock_file::nearest().map(|lock| lock_file::versions(&lock, "tracing-opentelemetry"));
        let (what, help) = diagnose::no_layer(versions.as_deref());
        report.bad("OpenTelemetry layer", what, help);
        return None;
    }
    let context = span.context();
    if !context.span().span_context().is_valid() {
        // A filter on the layer and a no-op tracer cannot be distinguished from here.
        report.bad(
            "OpenTelemetry layer",
            format!("its own filter hides spans of `{TARGET}` at {}, or its tracer is a no-op", Level::INFO),
            format!(
                "allow `{TARGET}=info` in the layer's filter (a log filter belongs on the log layer), and give the layer a \
                 tracer of an `SdkTracerProvider`"
            ),
        );
        return None;
    }
    report.good("OpenTelemetry layer", "it creates spans");
    Some(context)
}

/// Checks which headers outgoing requests would carry.
fn check_propagator(report: &mut Report, context: &Context) {
    let mut headers = std::collections::HashMap::<String, String>::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut headers));
    if headers.is_empty() {
        report.doubt(
            "propagator",
            "none is set: services that this program calls do not join its traces",
            "call `opentelemetry::global::set_text_map_propagator` at the start, and check OTEL_PROPAGATORS",
        );
        return;
    }
    let mut names: Vec<_> = headers.keys().map(|name| format!("`{name}`")).collect();
    names.sort_unstable();
    report.good("propagator", format!("outgoing requests carry {}", names.join(" and ")));
}
