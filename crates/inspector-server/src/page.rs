//! The embedded page of the inspector and its files.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::HeaderMap;
use rust_embed::Embed;
use throughline_bundle::Bundle;

use crate::{
    access::{Gate, enter},
    client::Client,
    error::{ApiError, wrong_method},
};

/// The placeholder for the base path in the built page; the public URL in `crates/inspector/Trunk.toml` begins with it.
const PLACEHOLDER: &str = "/__throughline_base__";

#[derive(Embed)]
#[folder = "ui"]
#[allow_missing = true]
struct Ui;

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| Bundle::new::<Ui>().with_placeholder(PLACEHOLDER));

#[derive(Clone, Debug)]
struct Page {
    gate: Gate,
    base_path: Arc<str>,
}

/// Returns whether the page was built before it was embedded.
pub(crate) fn is_built() -> bool {
    BUNDLE.is_built()
}

/// Returns the routes `/traces`, `/traces/{trace_id}` and `/traces/assets/{file}`. The page contains no data, so only the API
/// checks the access of the client.
pub(crate) fn router(gate: Gate, base_path: &str) -> Router {
    Router::new()
        .route("/traces", get(page))
        .route("/traces/{trace_id}", get(page))
        .route("/traces/assets/{file}", get(file))
        .method_not_allowed_fallback(wrong_method)
        .with_state(Page { gate, base_path: base_path.into() })
}

async fn page(State(state): State<Page>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let prefix = parts.extensions.get::<Client>().map_or("", |client| client.prefix.as_str());
    let base = format!("{prefix}{}", state.base_path);
    enter(&state.gate, &parts, &base).unwrap_or_else(|| BUNDLE.page(&base, &parts.headers))
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let absent = || ApiError::not_found("no_such_address", "there is no file with this name").into_response();
    BUNDLE.file(&name, &headers).unwrap_or_else(absent)
}
