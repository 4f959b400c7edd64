//! Reads traces from the inspector's API: `cargo run -p throughline-inspector-server --example list_traces`.

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
};
use http::Request;
use throughline_context::{SpanId, TraceId};
use throughline_inspector_api::TraceList;
use throughline_inspector_server::Inspector;
use throughline_otlp::{KeyValue, Resource, Scope, Span, SpanKind};
use throughline_store::{SpanStore as _, Store};
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    store.append(vec![span()?]).await?;

    let app: Router = Inspector::new(store.clone()).base_path("/tools")?.router();

    // Traces are shown to clients on this machine. A server that is started with
    // `into_make_service_with_connect_info::<SocketAddr>()` adds the address of the client to each request.
    let client = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000)));
    let request = Request::get("/tools/api/traces?text=orders").extension(client).body(Body::empty())?;
    let response = app.oneshot(request).await?;
    println!("status: {}", response.status());
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    println!("body: {}", String::from_utf8_lossy(&body));

    let list: TraceList = serde_json::from_slice(&body)?;
    for trace in list.traces {
        println!("{} {} of {}, {} ns", trace.trace_id, trace.root_name, trace.root_service, trace.duration_ns);
    }
    store.close().await;
    Ok(())
}

fn span() -> Result<Span, Box<dyn Error>> {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "shop")], ..Resource::default() };
    let trace_id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let span_id: SpanId = "00f067aa0ba902b7".parse()?;
    let mut span = Span::new(trace_id, span_id, Arc::new(resource), Arc::new(Scope::default()));
    span.name = "GET /orders/{id}".to_owned();
    span.kind = SpanKind::Server;
    span.start_ns = 1_700_000_000_000_000_000;
    span.end_ns = span.start_ns + 12_000_000;
    Ok(span)
}
