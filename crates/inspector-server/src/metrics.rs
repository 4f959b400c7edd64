//! The routes of `/api/metrics…`.

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use serde::Deserialize;
use throughline_inspector_api::MetricsStatus;
use throughline_otlp::{Encoding, encode};
use throughline_store::Metrics;

use crate::access::{Gate, guard};
use crate::error::{ApiError, wrong_method};

/// The maximum number of series in one response.
const MAX_SERIES: usize = 1_000;

/// Returns the routes for the counts of data points and for the last point of each series as OTLP/JSON, behind the gate.
pub(crate) fn metrics_router(metrics: Metrics, gate: Gate) -> Router {
    Router::new()
        .route("/api/metrics", get(status))
        .route("/api/metrics/otlp", get(last_values))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate, guard))
        .with_state(metrics)
}

async fn status(State(metrics): State<Metrics>) -> Result<Json<MetricsStatus>, ApiError> {
    let counts = metrics.counts().await?;
    let (received, series, queued, lost) = (counts.received, counts.series, counts.queued, counts.lost);
    Ok(Json(MetricsStatus { received, series, queued, lost }))
}

#[derive(Debug, Deserialize)]
struct Which {
    name: Option<String>,
}

async fn last_values(
    State(metrics): State<Metrics>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, ApiError> {
    let name = query?.0.name.filter(|name| !name.is_empty());
    let points = metrics.last_values(name, MAX_SERIES).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], encode(&points, Encoding::Json)).into_response())
}
