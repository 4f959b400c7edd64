//! The stream of new and changed traces, as server-sent events.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use throughline_context::TraceId;
use throughline_store::{SpanStore, Store, Summary};
use tokio::sync::{broadcast::error::RecvError, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::convert;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The time over which changes are collected before they are sent, because a busy store commits many times per second.
const GATHER: Duration = Duration::from_millis(100);
/// The number of events buffered for a client; a slower client misses intermediate changes.
const BUFFER: usize = 64;

/// Sends an event `trace` with a `TraceSummary` whenever the store reports a changed trace, and `lagged` when the stream has
/// missed changes.
pub(crate) fn stream(
    store: &Store,
    mut stopping: watch::Receiver<bool>,
    never: Option<Arc<watch::Sender<bool>>>,
) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Event, Infallible>>(BUFFER);
    let mut changes = store.subscribe();
    tokio::spawn(async move {
        // Kept as long as the stream, which ends when the sender is dropped.
        let _never = never;
        loop {
            // The newest summary of each trace.
            let mut changed: HashMap<TraceId, Arc<Summary>> = HashMap::new();
            let mut lagged = false;
            let first = tokio::select! {
                () = sender.closed() => return,
                _ = stopping.wait_for(|stopping| *stopping) => return,
                first = changes.recv() => first,
            };
            match first {
                Ok(summary) => drop(changed.insert(summary.trace_id, summary)),
                Err(RecvError::Lagged(_)) => lagged = true,
                Err(RecvError::Closed) => return,
            }
            let gathered = tokio::time::sleep(GATHER);
            tokio::pin!(gathered);
            loop {
                tokio::select! {
                    () = &mut gathered => break,
                    next = changes.recv() => match next {
                        Ok(summary) => drop(changed.insert(summary.trace_id, summary)),
                        Err(RecvError::Lagged(_)) => lagged = true,
                        Err(RecvError::Closed) => break,
                    },
                }
            }
            if lagged && sender.send(Ok(Event::default().event("lagged").data(""))).await.is_err() {
                return;
            }
            for summary in changed.into_values() {
                let summary = convert::summary(Arc::unwrap_or_clone(summary));
                let event = Event::default().event("trace").json_data(summary);
                let event = event.expect("a summary has no map with keys other than strings");
                if sender.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        }
    });
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
