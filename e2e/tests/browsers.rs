//! Smoke test in browsers other than Chromium: submitting a crud is one trace with network measurements.

use anyhow::Context;
use throughline_e2e::{Engine, OtherBrowser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, Trace};

/// Returns the page's request that creates a crud.
fn request(trace: &Trace) -> Option<&Span> {
    trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.name == "POST /api/activities")
}

/// The number of cruds that are written until a request has network figures.
///
/// Firefox sometimes sets `requestStart` of a request later than the server receives it, for one in seven on loopback. The server then
/// appears to have worked longer than the client waited, and no figures are reported.
const MAX_CRUDS: usize = 12;

async fn smoke(engine: Engine) -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = OtherBrowser::start(engine).await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    let mut seen: Vec<String> = Vec::new();
    for number in 1..=MAX_CRUDS {
        let message = format!("Hello from another browser, {number}.");
        browser.keys("#compose", &message).await?;
        browser.click("form.composer button[type=submit]").await?;
        browser.until(&format!("document.querySelector('article.crud .message').innerText == '{message}'")).await?;

        let is_joined = |trace: &Trace| {
            let has_root = trace.spans.iter().any(|span| span.parent_span_id.is_none());
            let is_joined = request(trace).is_some_and(|request| trace.server_span(request).is_some());
            has_root && is_joined && !seen.contains(&trace.trace_id)
        };
        let trace = site.api.trace_where("the joined request", is_joined).await?;
        let request = request(&trace).context("found above")?;
        let server_span = trace.server_span(request).context("found above")?;
        assert_eq!(trace.root().service, request.service, "{}", outline(&trace));
        assert!(!trace.children(server_span).is_empty(), "the handler is part of the trace:\n{}", outline(&trace));
        assert!(request.warnings.is_empty() && server_span.warnings.is_empty(), "{}", outline(&trace));
        if request.has("throughline.network.total_ms") {
            let network_ms = request.number("throughline.network.total_ms");
            let duration_ms = request.duration_ns as f64 / 1e6;
            assert!((0.0..=duration_ms).contains(&network_ms), "{network_ms} ms of {duration_ms} ms");
            let uplink_ms = request.number("throughline.network.uplink_ms");
            let downlink_ms = request.number("throughline.network.downlink_ms");
            assert!(
                (uplink_ms + downlink_ms - network_ms).abs() < 0.01,
                "{uplink_ms} + {downlink_ms} ms of {network_ms} ms"
            );
            return browser.quit().await;
        }
        assert!(request.is("throughline.network.quality", "unsynced"), "{request:#?}");
        seen.push(trace.trace_id.clone());
    }
    anyhow::bail!("none of {MAX_CRUDS} requests has network figures")
}

#[tokio::test]
async fn a_crud_is_one_joined_trace_in_firefox() -> anyhow::Result<()> {
    smoke(Engine::Firefox).await
}

#[tokio::test]
async fn a_crud_is_one_joined_trace_in_webkitgtk() -> anyhow::Result<()> {
    smoke(Engine::WebKitGtk).await
}
