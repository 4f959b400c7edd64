//! Smoke test in browsers other than Chromium: submitting a crud is one trace with network measurements.

use anyhow::Context;
use throughline_e2e::{Engine, OtherBrowser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, Trace};

/// Returns the page's request that creates a crud.
fn request(trace: &Trace) -> Option<&Span> {
    trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.name == "POST /api/activities")
}

async fn smoke(engine: Engine) -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = OtherBrowser::start(engine).await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    browser.keys("#compose", "Hello from another browser.").await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until("document.querySelector('article.crud .message').innerText == 'Hello from another browser.'").await?;

    let is_joined = |trace: &Trace| {
        let has_root = trace.spans.iter().any(|span| span.parent_span_id.is_none());
        has_root && request(trace).is_some_and(|request| trace.server_span(request).is_some())
    };
    let trace = site.api.trace_where("the request with the server's span", is_joined).await?;
    let request = request(&trace).context("found above")?;
    let server_span = trace.server_span(request).context("found above")?;
    assert_eq!(trace.root().service, request.service, "{}", outline(&trace));
    assert!(!trace.children(server_span).is_empty(), "the handler is part of the trace:\n{}", outline(&trace));
    let network_ms = request.number("throughline.network.total_ms");
    let duration_ms = request.duration_ns as f64 / 1e6;
    assert!((0.0..=duration_ms).contains(&network_ms), "{network_ms} ms of {duration_ms} ms");
    let (uplink_ms, downlink_ms) =
        (request.number("throughline.network.uplink_ms"), request.number("throughline.network.downlink_ms"));
    assert!((uplink_ms + downlink_ms - network_ms).abs() < 0.01, "{uplink_ms} + {downlink_ms} is not {network_ms}");
    assert!(request.warnings.is_empty() && server_span.warnings.is_empty(), "{}", outline(&trace));
    browser.quit().await
}

#[tokio::test]
async fn a_crud_is_one_joined_trace_in_firefox() -> anyhow::Result<()> {
    smoke(Engine::Firefox).await
}

#[tokio::test]
async fn a_crud_is_one_joined_trace_in_webkitgtk() -> anyhow::Result<()> {
    smoke(Engine::WebKitGtk).await
}
