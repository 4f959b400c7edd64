//! The embedded page of Cruddur.

use std::sync::LazyLock;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use rust_embed::Embed;
use throughline_bundle::{Bundle, accepts_html, looks_like_file};

use crate::error::{ApiError, wrong_method};

#[derive(Embed)]
#[folder = "../frontend/dist"]
#[allow_missing = true]
struct Dist;

static BUNDLE: LazyLock<Bundle> = LazyLock::new(Bundle::new::<Dist>);

/// Returns the routes of the page; its files are served by the fallback.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/notifications", get(page))
        .route("/search", get(page))
        .route("/crud/{uuid}", get(page))
        .method_not_allowed_fallback(wrong_method)
        .fallback(fallback)
}

/// Returns whether a path is that of an embedded file. The page itself does not count, because it has routes.
pub(crate) fn is_file(path: &str) -> bool {
    BUNDLE.has_file(path.trim_start_matches('/'))
}

async fn page(headers: HeaderMap) -> Response {
    BUNDLE.page("", &headers)
}

/// Serves every address without a route: a file, or the page if the client accepts HTML.
async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return wrong_method().await.into_response();
    }
    let path = uri.path();
    if let Some(file) = BUNDLE.file(path.trim_start_matches('/'), &headers) {
        return file;
    }
    if accepts_html(&headers) && !looks_like_file(path) {
        return BUNDLE.page("", &headers);
    }
    ApiError::new(StatusCode::NOT_FOUND, "no_such_address", "there is nothing at this address").into_response()
}
