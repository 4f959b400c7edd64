//! Serves an embedded page and prints the headers of its files: `cargo run -p throughline-bundle --example serve`.

use std::{error::Error, sync::LazyLock};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Path,
    http::{HeaderMap, Request, StatusCode, header},
    response::Response,
    routing::get,
};
use rust_embed::Embed;
use throughline_bundle::Bundle;
use tower::ServiceExt as _;

/// The output of a bundler. With debug assertions, the files are read from the folder at each request.
#[derive(Embed)]
#[folder = "tests/bundle"]
struct Files;

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| Bundle::new::<Files>().with_placeholder("/__base__"));

async fn page(headers: HeaderMap) -> Response {
    BUNDLE.page("", &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, StatusCode> {
    BUNDLE.file(&name, &headers).ok_or(StatusCode::NOT_FOUND)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // A program serves this router with `axum::serve(listener, app)`.
    let app: Router = Router::new().route("/", get(page)).route("/{file}", get(file));

    for path in ["/", "/app-1a2b3c4d5e6f7a8b.js", "/icon.svg", "/absent.js"] {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty())?;
        let response = app.clone().oneshot(request).await?;
        println!("GET {path}: {}", response.status());
        for (name, value) in response.headers() {
            println!("  {name}: {}", value.to_str()?);
        }
        let body = to_bytes(response.into_body(), usize::MAX).await?;
        println!("  {} bytes", body.len());
    }
    Ok(())
}
