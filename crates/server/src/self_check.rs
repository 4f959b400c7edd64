//! At start-up one span goes the whole way, and one line of the log says how far it came.

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline_context::TraceId;
use throughline_forward::{SinkState, SinkStatus};
use throughline_self_check::{Finding, Outcome};
use throughline_store::{SpanStore as _, Store};
use tokio::{sync::watch, time::timeout};

/// How long an upstream has until it is said that nothing was heard of it.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a span and says in one line what became of it: in the process, at the trusted door, in the store and at each upstream.
pub(crate) async fn run(provider: SdkTracerProvider, store: Store, sinks: Vec<watch::Receiver<SinkStatus>>) {
    // The exporter blocks.
    let checked =
        tokio::task::spawn_blocking(move || throughline_self_check::self_check(|| provider.force_flush())).await;
    let Ok(mut report) = checked else { return };
    if report.outcome() != Outcome::Bad {
        if let Some(trace_id) = report.trace_id.as_deref().and_then(|id| id.parse::<TraceId>().ok()) {
            report.push(match store.trace(trace_id).await {
                Ok(spans) if !spans.is_empty() => Finding::good("store", "the span is in it"),
                Ok(_) => Finding::bad("store", "the door took the span, and it is not there", "look for errors above"),
                Err(error) => {
                    Finding::bad("store", format!("it cannot be read: {error}"), "see whether the disk is full")
                }
            });
        }
        for sink in sinks {
            report.push(delivered(sink).await);
        }
    }
    match report.outcome() {
        Outcome::Good => tracing::info!("{report}"),
        Outcome::Doubtful | Outcome::Bad => tracing::warn!("{report}"),
    }
}

/// Whether an upstream takes spans.
async fn delivered(mut sink: watch::Receiver<SinkStatus>) -> Finding {
    let is_known = |status: &SinkStatus| {
        status.delivered > 0 || status.rejected > 0 || status.last_error.is_some() || status.state == SinkState::Stopped
    };
    let known = timeout(UPSTREAM_TIMEOUT, sink.wait_for(is_known)).await;
    let Ok(Ok(status)) = known else {
        return Finding::doubtful("upstream", "nothing was heard of it yet", "see its state at /traces");
    };
    let why = status.last_error.clone().or_else(|| status.last_rejection.clone()).unwrap_or_default();
    match status.state {
        SinkState::Stopped => Finding::bad(
            "upstream",
            format!("{} refuses the key: {why}", status.endpoint),
            "set the right key (OTEL_EXPORTER_OTLP_HEADERS or HONEYCOMB_API_KEY) and start again; nothing is lost meanwhile",
        ),
        _ if status.delivered > 0 => Finding::good("upstream", format!("{} takes spans", status.endpoint)),
        _ => Finding::doubtful(
            "upstream",
            format!("{} takes nothing: {why}", status.endpoint),
            "spans are kept and sent when it does; `throughline doctor` looks closer",
        ),
    }
}
