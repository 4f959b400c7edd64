//! The self-check at startup: one span is sent through the whole pipeline, and the result is logged in one line.

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use throughline_context::TraceId;
use throughline_forward::{SinkState, SinkStatus};
use throughline_self_check::{Finding, Outcome};
use throughline_store::{SpanStore as _, Store};
use tokio::{sync::watch, time::timeout};

/// The time after which the result of a sink that has not accepted the span is reported as unknown.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a span, and logs in one line whether it arrived at the receiver, in the store, and at each sink.
pub(crate) async fn run(provider: SdkTracerProvider, store: Store, sinks: Vec<watch::Receiver<SinkStatus>>) {
    // The exporter blocks.
    let checked =
        tokio::task::spawn_blocking(move || throughline_self_check::self_check(|| provider.force_flush())).await;
    let mut report = match checked {
        Ok(report) => report,
        Err(error) => {
            tracing::error!(%error, "the self-check failed");
            return;
        }
    };
    if report.outcome() != Outcome::Bad {
        if let Some(trace_id) = report.trace_id.as_deref().and_then(|id| id.parse::<TraceId>().ok()) {
            report.push(match store.trace(trace_id).await {
                Ok(spans) if !spans.is_empty() => Finding::good("store", "the span was stored"),
                Ok(_) => Finding::bad(
                    "store",
                    "the receiver accepted the span, but it was not stored",
                    "look for errors in the log",
                ),
                Err(error) => {
                    Finding::bad("store", format!("cannot read the store: {error}"), "check whether the disk is full")
                }
            });
        }
        for sink in sinks {
            report.push(delivered(sink).await);
        }
    }
    match report.outcome() {
        Outcome::Good => tracing::info!("{report}"),
        _ => tracing::warn!("{report}"),
    }
}

/// Checks whether a sink accepts spans.
async fn delivered(mut sink: watch::Receiver<SinkStatus>) -> Finding {
    let is_known = |status: &SinkStatus| {
        status.delivered > 0 || status.rejected > 0 || status.last_error.is_some() || status.state == SinkState::Stopped
    };
    let known = timeout(UPSTREAM_TIMEOUT, sink.wait_for(is_known)).await;
    let Ok(Ok(status)) = known else {
        return Finding::doubtful("upstream", "no response yet", "its state is shown at /traces");
    };
    let reason = status.last_error.as_deref().or(status.last_rejection.as_deref()).unwrap_or("unknown reason");
    match status.state {
        SinkState::Stopped => Finding::bad(
            "upstream",
            format!("{} rejects the key: {reason}", status.endpoint),
            "set a valid key (OTEL_EXPORTER_OTLP_HEADERS or HONEYCOMB_API_KEY) and restart; records are kept until then",
        ),
        _ if status.delivered > 0 => Finding::good("upstream", format!("{} accepts spans", status.endpoint)),
        _ => Finding::doubtful(
            "upstream",
            format!("{} does not accept spans: {reason}", status.endpoint),
            "spans are kept and sent later; run `throughline doctor` for details",
        ),
    }
}
