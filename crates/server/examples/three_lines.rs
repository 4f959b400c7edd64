//! Traces an axum application and reads a trace from its inspector: `cargo run -p throughline --example three_lines`.
//!
//! Throughline is three lines of `application`; the rest is a client of it. If `THROUGHLINE_DATA_DIR` is set, the
//! settings are those of the environment.

use std::{env, error::Error, net::SocketAddr, process::Command, time::Duration};

use axum::{Router, routing::get};
use throughline_inspector_api::Trace;
use tokio::{net::TcpListener, sync::oneshot, time::sleep};

/// Responds with the trace id of the request.
async fn note() -> String {
    throughline_axum::current_trace_id().unwrap_or_else(|| "the request is not traced".to_owned())
}

#[tokio::main]
async fn application() -> Result<(), Box<dyn Error>> {
    let telemetry = throughline::init()?;
    let app = Router::new().route("/notes/{id}", get(note)).layer(telemetry.layer()).merge(telemetry.inspector()?);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move { drop(stopped.await) });
    let running = tokio::spawn(async move { server.await });
    visit(&base).await?;
    drop(stop);
    running.await??;
    // Sends the last spans and stops the inspector.
    drop(telemetry);
    Ok(())
}

/// Requests a note, and then its trace from the inspector's API.
async fn visit(base: &str) -> Result<(), Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let trace_id = client.get(format!("{base}/notes/7")).send().await?.error_for_status()?.text().await?;
    println!("trace {trace_id} is at {base}/traces/{trace_id}");
    // Spans are sent every half second.
    for _ in 0..100 {
        let response = client.get(format!("{base}/api/traces/{trace_id}")).send().await?;
        if response.status().is_success() {
            for span in response.json::<Trace>().await?.spans {
                println!("span: {} of {}, {} µs", span.name, span.service, span.duration_ns / 1_000);
            }
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("the trace did not arrive".into())
}

fn main() -> Result<(), Box<dyn Error>> {
    if env::var_os("THROUGHLINE_DATA_DIR").is_some() {
        return application();
    }
    // The settings are environment variables. They are set for a second process: a temporary data directory, a free port,
    // and no upstream.
    let dir = tempfile::tempdir()?;
    let mut process = Command::new(env::current_exe()?);
    process.env("THROUGHLINE_DATA_DIR", dir.path()).env("THROUGHLINE_OTLP_LISTEN", "127.0.0.1:0");
    process.env("THROUGHLINE_GRPC_LISTEN", "off").env("OTEL_SERVICE_NAME", "notes").env("RUST_LOG", "warn");
    for upstream in ["HONEYCOMB_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT", "THROUGHLINE_SINKS"] {
        process.env_remove(upstream);
    }
    let status = process.status()?;
    if status.success() { Ok(()) } else { Err(format!("the application failed: {status}").into()) }
}
