//! The routes of `/api/traces…`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use serde::Deserialize;
use throughline_context::TraceId;
use throughline_inspector_api::{Receiver, SinkList, Trace, TraceList};
use throughline_otlp::{Encoding, encode_traces};
use throughline_store::{Before, ListFilter, SpanStore, Store};
use tokio::sync::watch;

use crate::{
    access::{Gate, guard},
    convert,
    error::{ApiError, wrong_method},
    live,
    sinks::Sinks,
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;
const MAX_TEXT_CHARS: usize = 200;

/// Returns the routes of the inspector's API, behind the gate.
///
/// Live streams end when `stopping` becomes true, because they would delay the shutdown of the server. `never` is the sender of
/// `stopping` if the application has none.
pub(crate) fn router(
    store: Store,
    sinks: Option<Sinks>,
    receiver: Receiver,
    gate: Gate,
    stopping: watch::Receiver<bool>,
    never: Option<watch::Sender<bool>>,
) -> Router {
    let never = never.map(Arc::new);
    Router::new()
        .route("/api/traces", get(list))
        .route(
            "/api/traces/live",
            get(move |State(store): State<Store>| async move { live::stream(&store, stopping.clone(), never.clone()) }),
        )
        .route(
            "/api/traces/sinks",
            get(move || async move {
                match sinks {
                    Some(sinks) => sinks.show().await.map(Json),
                    None => Ok(Json(SinkList { sinks: Vec::new() })),
                }
            }),
        )
        .route("/api/traces/receiver", get(move || async move { Json(receiver) }))
        .route("/api/traces/{trace_id}", get(show))
        .route("/api/traces/{trace_id}/otlp", get(download))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate, guard))
        .with_state(store)
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    limit: Option<String>,
    text: Option<String>,
    error: Option<String>,
    min_ms: Option<String>,
    before: Option<String>,
}

impl ListQuery {
    /// Parses the parameters. An empty one counts as absent, because forms send empty fields.
    fn filter(self) -> Result<ListFilter, ApiError> {
        let invalid = |code, message: &str| ApiError::bad_request(code, message.to_owned());
        let given = |value: Option<String>| value.filter(|value| !value.trim().is_empty());
        let limit = match given(self.limit) {
            None => DEFAULT_LIMIT,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| invalid("invalid_limit", "`limit` must be a number from 1 to 500"))?,
        };
        let text = given(self.text).map(|text| text.trim().to_owned());
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS) {
            return Err(invalid("invalid_text", "`text` must have at most 200 characters"));
        }
        let error = match given(self.error).as_deref() {
            None => None,
            Some("true" | "1") => Some(true),
            Some("false" | "0") => Some(false),
            Some(_) => return Err(invalid("invalid_error", "`error` must be true or false")),
        };
        let min_ms = match given(self.min_ms) {
            None => None,
            Some(min_ms) => Some(
                min_ms
                    .parse::<f64>()
                    .ok()
                    .filter(|min_ms| min_ms.is_finite() && *min_ms >= 0.0)
                    .ok_or_else(|| invalid("invalid_min_ms", "`min_ms` must be milliseconds, at least 0"))?,
            ),
        };
        let before = match given(self.before) {
            None => None,
            Some(before) => Some(parse_before(&before).ok_or_else(|| {
                invalid("invalid_before", "`before` must be the `next_before` of an earlier page of this list")
            })?),
        };
        let filter = ListFilter::default().with_limit(limit).with_text(text).with_error(error);
        Ok(filter.with_min_ms(min_ms).with_before(before))
    }
}

fn parse_before(text: &str) -> Option<Before> {
    let (start_ns, trace_id) = text.split_once('-')?;
    Some(Before { start_ns: start_ns.parse().ok()?, trace_id: trace_id.parse().ok()? })
}

async fn list(
    State(store): State<Store>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<TraceList>, ApiError> {
    let Query(query) = query?;
    let mut filter = query.filter()?;
    let limit = filter.limit as usize;
    // One more than requested, to know whether there is another page.
    filter.limit += 1;
    let mut found = store.list(filter).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next_before = found.last().filter(|_| !is_last).map(|last| format!("{}-{}", last.start_ns, last.trace_id));
    Ok(Json(TraceList { traces: found.into_iter().map(convert::summary).collect(), next_before }))
}

async fn load(store: &Store, trace_id: &str) -> Result<(TraceId, Vec<throughline_otlp::Span>), ApiError> {
    let trace_id = TraceId::from_hex(trace_id)
        .map_err(|_| ApiError::bad_request("invalid_trace_id", "the trace id must be 32 hex digits, not all zero"))?;
    let spans = store.trace(trace_id).await?;
    if spans.is_empty() {
        return Err(ApiError::not_found("unknown_trace", "no span of this trace has arrived"));
    }
    Ok((trace_id, spans))
}

async fn show(State(store): State<Store>, Path(trace_id): Path<String>) -> Result<Json<Trace>, ApiError> {
    let (trace_id, spans) = load(&store, &trace_id).await?;
    let records = store.trace_logs(trace_id).await?;
    Ok(Json(convert::trace(trace_id, &spans, &records)))
}

async fn download(State(store): State<Store>, Path(trace_id): Path<String>) -> Result<Response, ApiError> {
    let (trace_id, spans) = load(&store, &trace_id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"trace-{trace_id}.json\"")),
    ];
    Ok((headers, encode_traces(&spans, Encoding::Json)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_before_parameter_is_parsed() {
        let trace_id = TraceId::from_bytes([3; 16]).unwrap();
        let before = parse_before(&format!("12-{trace_id}")).unwrap();
        assert_eq!((before.start_ns, before.trace_id), (12, trace_id));
        for wrong in ["", "12", "-", "x-y", "12-00000000000000000000000000000000"] {
            assert!(parse_before(wrong).is_none(), "{wrong}");
        }
    }
}
