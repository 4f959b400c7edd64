//! Route changes within the page.

use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, Trace};

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    // From now on no request belongs to the page load.
    site.drain(&browser).await?;
    Ok((site, browser))
}

async fn route_changes(site: &Site) -> anyhow::Result<Vec<String>> {
    let mut spans = site.api.spans(|span| span.name.starts_with("navigate")).await?;
    spans.sort_by_key(|span| span.start_ns);
    Ok(spans.into_iter().map(|span| span.name).collect())
}

/// Waits for the trace with this route change and a request with the server's span, and returns it.
async fn change_with_request(site: &Site, name: &str, request: &str) -> anyhow::Result<Trace> {
    let is_whole = |trace: &Trace| {
        trace.count(name) == 1
            && trace
                .spans
                .iter()
                .any(|span| span.kind == SpanKind::Client && span.name == request && trace.server_span(span).is_some())
    };
    site.api.trace_where(&format!("`{name}` and `{request}`"), is_whole).await
}

/// Checks that a route change is a root or the child of a click.
fn is_root_or_child_of_a_click(trace: &Trace, change: &Span) {
    let Some(parent) = change.parent_span_id.as_deref() else { return };
    let parent = trace.one("the parent of a route change", |span| span.span_id == parent);
    assert_eq!(parent.text("throughline.action.kind"), "click", "{}", outline(trace));
    assert!(parent.parent_span_id.is_none(), "{}", outline(trace));
}

#[tokio::test]
async fn following_a_link_and_going_back_are_spans_named_by_route() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("window.__same = true").await?;
    browser.click("a.crud-name[href='/@mirela']").await?;
    browser.until("document.querySelector('main h1').innerText == 'Mirela Ionescu'").await?;

    let (name, request) = ("navigate /@{handle}", "GET /api/activities/@{handle}");
    let trace = change_with_request(&site, name, request).await?;
    let change = trace.one(name, |span| span.name == name);
    assert_eq!((change.kind, change.service.as_str()), (SpanKind::Internal, "cruddur-web"));
    assert_eq!((change.text("url.template"), change.text("url.path")), ("/@{handle}", "/@mirela"));
    is_root_or_child_of_a_click(&trace, change);
    let child = trace.child(change, request);
    assert_eq!(child.text("url.template"), "/api/activities/@{handle}");
    let end_ns = |span: &Span| span.start_ns + span.duration_ns;
    assert!(change.start_ns <= child.start_ns && end_ns(child) <= end_ns(change), "{}", outline(&trace));
    assert_eq!(trace.spans.iter().filter(|span| span.parent_span_id.is_none()).count(), 1, "{}", outline(&trace));

    browser.driver.back().await?;
    browser.until("document.querySelector('main h1').innerText == 'Home'").await?;
    browser.until("document.querySelector('article.crud')").await?;
    let back = change_with_request(&site, "navigate /", "GET /api/activities/home").await?;
    let change = back.one("navigate /", |span| span.name == "navigate /");
    assert!(change.parent_span_id.is_none(), "{}", outline(&back));
    assert_eq!((change.text("url.template"), change.text("url.path")), ("/", "/"));
    back.child(change, "GET /api/activities/home");
    assert_ne!(back.trace_id, trace.trace_id);

    // The document was not reloaded, and each change is reported once, although both the application and the tracer
    // detect it.
    assert_eq!(browser.eval("return window.__same").await?, true);
    site.drain(&browser).await?;
    assert_eq!(route_changes(&site).await?, ["navigate /@{handle}", "navigate /"]);
    let loads = site.api.spans(|span| span.name == "documentLoad").await?;
    assert_eq!(loads.len(), 1, "{loads:#?}");
    browser.quit().await
}

#[tokio::test]
async fn a_change_of_the_query_is_not_a_route_change() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser
        .eval("history.pushState({}, '', '?a=1'); history.replaceState({}, '', '?a=2'); location.hash = 'b'")
        .await?;
    site.drain(&browser).await?;
    assert_eq!(route_changes(&site).await?, [""; 0]);

    // With the search field: the first search opens the search page, the second one stays there.
    browser.keys(".head input[type=search]", "WAL\n").await?;
    browser.until("document.querySelector('article.crud .message').innerText.includes('WAL')").await?;
    site.drain(&browser).await?;
    let first = route_changes(&site).await?;
    assert!(first.len() <= 1, "{first:?}");
    browser
        .eval("const field = document.querySelector('.head input[type=search]'); field.focus(); field.select()")
        .await?;
    browser.keys(".head input[type=search]", "napkin\n").await?;
    browser.until("location.search.includes('napkin')").await?;
    browser.until("document.querySelector('article.crud .message').innerText.includes('napkin')").await?;
    site.drain(&browser).await?;
    assert_eq!(route_changes(&site).await?, first);
    let searches =
        site.api.spans(|span| span.kind == SpanKind::Client && span.is("url.template", "/api/activities/search"));
    assert_eq!(searches.await?.len(), 2);
    browser.quit().await
}

#[tokio::test]
async fn a_change_of_the_path_without_a_router_is_reported() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // It has no template, and the path is not used as a name.
    browser.eval("history.pushState({}, '', '/nobody/knows')").await?;
    let trace = site.api.trace_where("a route change", |trace| trace.count("navigate") == 1).await?;
    let change = trace.one("navigate", |span| span.name == "navigate");
    assert_eq!(change.text("url.path"), "/nobody/knows");
    assert!(!change.has("url.template"));
    site.drain(&browser).await?;
    assert_eq!(route_changes(&site).await?, ["navigate"]);
    browser.quit().await
}

#[tokio::test]
async fn opening_the_inspector_is_not_a_route_change() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let base = site.server.base();
    browser.eval("window.__same = true").await?;
    browser.click("nav a[href='/traces']").await?;
    browser.until("document.querySelector('a.trace-link')").await?;
    assert_eq!(browser.eval("return window.__same ?? false").await?, false);
    // Within the inspector, links do not load another document.
    browser.eval("window.__same = true").await?;
    browser.click("a.trace-link").await?;
    browser.until("location.pathname.startsWith('/traces/') && document.querySelector('[role=row]')").await?;
    browser.click(".head a.brand").await?;
    browser.until("location.pathname == '/traces' && document.querySelector('a.trace-link')").await?;
    assert_eq!(browser.eval("return window.__same").await?, true);

    // The spans of another page arrive after those that the inspector could have sent.
    browser.home(&base).await?;
    site.drain(&browser).await?;
    assert_eq!(route_changes(&site).await?, [""; 0]);
    let loads = site.api.spans(|span| span.name == "documentLoad").await?;
    assert_eq!(loads.len(), 2, "{loads:#?}");
    assert!(loads.iter().all(|load| load.text("url.path") == "/"), "{loads:#?}");
    browser.quit().await
}
