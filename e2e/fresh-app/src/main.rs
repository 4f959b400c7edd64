//! Notes: a page and the route that it requests.

use std::{env, error::Error};

use axum::{Json, Router, extract::Path, routing::get};
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = throughline::init()?;
    let app = Router::new()
        .route("/notes/{id}", get(note))
        .fallback_service(ServeDir::new("page/dist"))
        .layer(telemetry.layer())
        .merge(telemetry.inspector()?);

    let address = env::var("NOTES_LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn note(Path(id): Path<u32>) -> Json<String> {
    Json(format!("note {id}"))
}
