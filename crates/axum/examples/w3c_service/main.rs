//! The service that the conformance suite of W3C Trace Context tests: `POST /test` with `[{"url": "http://…",
//! "arguments": […]}]` posts `arguments` to each `url`, through [`throughline_axum::TraceLayer`] and the traced client.
//! Then it responds with 200.
//!
//! ```console
//! cargo run -p throughline-axum --example w3c_service -- --listen 127.0.0.1:5099
//! ```

mod service;

use std::net::SocketAddr;

use clap::Parser;
use opentelemetry_sdk::trace::SdkTracerProvider;

#[derive(Debug, Parser)]
struct Args {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:5099")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // The SDK's defaults. Spans are created, but not exported.
    let provider = SdkTracerProvider::builder().build();
    service::start_tracing(&provider)?;
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stopped = async {
        // best effort: without a signal handler the process is killed instead of stopping gracefully.
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, service::router()?).with_graceful_shutdown(stopped).await?;
    provider.shutdown()?;
    Ok(())
}
