#![doc = include_str!("../README.md")]

mod diagnose;
mod lock_file;
mod report;

use std::fmt::Display;

use opentelemetry::{Context, global, trace::TraceContextExt as _};
use tracing::{Level, dispatcher, level_filters::STATIC_MAX_LEVEL, subscriber::NoSubscriber};
use tracing_opentelemetry::{OpenTelemetrySpanExt as _, SetParentError};

pub use report::{Finding, Outcome, Report};

/// The target of the span: that of the spans of `throughline-axum` and `throughline-reqwest`, so that a filter that hides those hides
/// this one too.
const TARGET: &str = "throughline::http";

/// The name of the span.
pub const SELF_CHECK_SPAN: &str = "self-check";

/// Makes a span `self-check` as the layer makes its own, sends it, and says what became of it.
///
/// `flush` exports what has ended, blocks until that is done, and says what went wrong: the `force_flush` of the tracer provider.
/// The exporter's own timeout bounds it. Call it once the subscriber, the provider and the propagator are set, outside of
/// asynchronous code (`spawn_blocking`).
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
        report.doubt("sampler", "it drops the span, and no other check can follow", help);
        return report;
    }
    report.good("sampler", "it records the span");
    match flush() {
        Ok(()) => report.good("exporter", "the endpoint took the span"),
        Err(error) => report.push(diagnose::export("exporter", &error.to_string())),
    }
    report
}

/// Makes the span and ends it; its context, if it was one that is exported.
fn make_span(report: &mut Report) -> Option<Context> {
    if dispatcher::get_default(tracing::Dispatch::is::<NoSubscriber>) {
        report.bad(
            "subscriber",
            "no `tracing` subscriber is set: nothing is recorded",
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
        // A filter of its own and a tracer that does nothing look the same from here.
        report.bad(
            "OpenTelemetry layer",
            format!("its own filter hides spans of `{TARGET}` at {}, or its tracer does nothing", Level::INFO),
            format!(
                "let the layer's filter pass `{TARGET}=info` (a filter for the log belongs on the log's layer), and give it a \
                 tracer of an `SdkTracerProvider`"
            ),
        );
        return None;
    }
    report.good("OpenTelemetry layer", "it makes spans");
    Some(context)
}

/// What requests that go out from here would carry.
fn check_propagator(report: &mut Report, context: &Context) {
    let mut headers = std::collections::HashMap::<String, String>::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut headers));
    if headers.is_empty() {
        report.doubt(
            "propagator",
            "none is set: what this program calls does not join its traces",
            "call `opentelemetry::global::set_text_map_propagator` at the start, and look at OTEL_PROPAGATORS",
        );
        return;
    }
    let mut names: Vec<_> = headers.keys().map(|name| format!("`{name}`")).collect();
    names.sort_unstable();
    report.good("propagator", format!("outgoing requests carry {}", names.join(" and ")));
}
