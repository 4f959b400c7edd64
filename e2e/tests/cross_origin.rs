//! A page whose backend has another origin: its requests and the backend's spans are in one trace, with timing.

#![allow(clippy::unwrap_used, reason = "test code")]

use axum::{
    Router,
    extract::State,
    http::{Uri, header},
    response::{Html, IntoResponse, Response},
};
use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, outline};
use throughline_inspector_api::SpanKind;
use tokio::net::TcpListener;

/// Serves the backend's page as `trunk serve` would, with the address of the backend in a meta element.
async fn page(State(backend): State<String>, uri: Uri) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(format!("{backend}{uri}")).header(header::ACCEPT, "text/html").send().await.unwrap();
    let kind = response.headers()[header::CONTENT_TYPE].clone();
    if kind.to_str().unwrap().starts_with("text/html") {
        let html = response.text().await.unwrap();
        let meta = format!("<head><meta name=\"api-base\" content=\"{backend}\">");
        return Html(html.replacen("<head>", &meta, 1)).into_response();
    }
    ([(header::CONTENT_TYPE, kind)], response.bytes().await.unwrap()).into_response()
}

#[tokio::test]
async fn a_page_on_another_origin_shares_traces_with_the_backend() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let env = vec![("FRONTEND_URL".to_owned(), origin.clone())];
    let site = Site::start(&ServerOptions { env, ..ServerOptions::default() })?;
    let pages = Router::new().fallback(page).with_state(site.server.base());
    tokio::spawn(async move { axum::serve(listener, pages).await });

    let browser = Browser::start().await?;
    browser.driver.goto(&origin).await?;
    browser.until("document.querySelector('button.like')").await?;
    browser.driver.find(thirtyfour::By::Css("button.like")).await?.click().await?;

    let is_like = |name: &str| name == "click Like" || name == "click Unlike";
    let found = throughline_e2e::eventually(async || {
        site.api.traces().await.ok()?.into_iter().find(|trace| is_like(&trace.root_name) && trace.services.len() == 2)
    })
    .await
    .expect("the trace of the click");
    let trace = site.api.trace_when(&found.trace_id, |trace| trace.spans.len() >= 5).await?;
    let fetch = trace.spans.iter().find(|span| span.name.contains("/like") && span.kind == SpanKind::Client);
    let fetch = fetch.unwrap_or_else(|| panic!("{}", outline(&trace)));
    // Without Timing-Allow-Origin it would be `coarse`.
    assert_eq!(fetch.text("throughline.network.quality"), "fine");
    let server = trace.spans.iter().find(|span| span.parent_span_id.as_deref() == Some(&fetch.span_id));
    assert_eq!(server.map(|span| span.kind), Some(SpanKind::Server), "{}", outline(&trace));
    browser.quit().await
}
