//! Page loads: navigation, reload, back/forward cache and prerendering.

use std::time::Duration;

use throughline_e2e::{Browser, DelayProxy, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, Trace};

const NAVIGATION_TYPE: &str = "browser.navigation.type";
/// The maximum number of resources of one page that become spans.
const MAX_RESOURCES: usize = 32;
const IMAGES: usize = 40;
/// A delay in each direction that makes every resource slow enough to be reported.
const DELAY: Duration = Duration::from_millis(15);

async fn start() -> anyhow::Result<(Site, Browser)> {
    Ok((Site::start(&ServerOptions::default())?, Browser::start().await?))
}

fn loads(trace: &Trace) -> impl Iterator<Item = &Span> {
    trace.spans.iter().filter(|span| span.name == "documentLoad")
}

/// Waits for the trace of a page load of this type, and returns it.
async fn load_of_kind(site: &Site, kind: &str) -> anyhow::Result<Trace> {
    let is = |trace: &Trace| loads(trace).any(|span| span.is(NAVIGATION_TYPE, kind));
    site.api.trace_where(&format!("a documentLoad of type {kind}"), is).await
}

fn milestones(load: &Span) -> Vec<(&str, u64)> {
    load.events.iter().map(|event| (event.name.as_str(), event.time_ns)).collect()
}

#[tokio::test]
async fn a_page_load_has_milestones_and_spans_for_the_document_and_its_resources() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let proxy = DelayProxy::start(site.server.addr(), DELAY, DELAY)?;
    // More images than are reported, all of them before the load event.
    let images = format!(
        "document.addEventListener('DOMContentLoaded', () => {{
             const icon = document.querySelector('link[rel=icon]').href;
             for (let n = 0; n < {IMAGES}; n++) {{
                 const image = new Image();
                 image.src = icon + '?n=' + n;
                 document.body.append(image);
             }}
         }});"
    );
    browser.add_script(&images).await?;
    browser.home(&format!("http://{}/", proxy.addr())).await?;

    let is_whole = |trace: &Trace| {
        loads(trace).next().is_some() && trace.count("GET /") == 1 && trace.count("resourceFetch") >= MAX_RESOURCES
    };
    let trace = site.api.trace_where("a complete page load", is_whole).await?;
    let load = trace.root();
    assert_eq!((load.name.as_str(), load.kind), ("documentLoad", SpanKind::Internal));
    assert_eq!(load.text(NAVIGATION_TYPE), "navigate");
    assert_eq!(load.text("url.path"), "/");
    let end_ns = load.start_ns + load.duration_ns;

    let reported = milestones(load);
    let names: Vec<_> = reported.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["domInteractive", "domContentLoadedEventEnd", "domComplete", "loadEventEnd"]);
    assert!(reported.is_sorted_by_key(|(_, time_ns)| *time_ns), "{reported:?}");
    assert!(reported.iter().all(|(_, time_ns)| (load.start_ns..=end_ns).contains(time_ns)), "{reported:?}");

    let document = trace.child(load, "documentFetch");
    assert_eq!((document.kind, document.text("http.request.method")), (SpanKind::Client, "GET"));
    assert_eq!(document.text("url.full"), format!("http://{}/", proxy.addr()));
    assert_eq!(document.number("http.response.status_code"), 200.0);
    // It starts with the page load, and lasts at least one round trip.
    assert_eq!(document.start_ns, load.start_ns);
    assert!(Duration::from_nanos(document.duration_ns) >= 2 * DELAY);
    let server = trace.server_span(document).expect("the server's span of the document");
    assert_eq!((server.name.as_str(), server.service.as_str()), ("GET /", "cruddur"));

    let resources: Vec<_> = trace.children(load).into_iter().filter(|span| span.name == "resourceFetch").collect();
    assert_eq!(resources.len(), MAX_RESOURCES, "{}", outline(&trace));
    let kind_of = |end: &str| {
        let found: Vec<_> = resources.iter().filter(|span| span.text_ends_with("url.full", end)).collect();
        assert_eq!(found.len(), 1, "{end} in\n{}", outline(&trace));
        found[0].text("browser.resource.initiator_type")
    };
    let styles: Vec<_> = resources.iter().filter(|span| span.text_ends_with("url.full", ".css")).collect();
    assert_eq!(styles.len(), 2, "the tokens and the page's own style sheet in\n{}", outline(&trace));
    assert!(styles.iter().all(|span| span.text("browser.resource.initiator_type") == "link"), "{}", outline(&trace));
    // The browser fetches both before the page's first script runs.
    assert!(["link", "script", "other"].contains(&kind_of(".js")));
    assert!(["link", "fetch", "other"].contains(&kind_of(".wasm")));
    assert_eq!(kind_of(".svg?n=0"), "img");
    for span in resources {
        assert_eq!((span.kind, span.text("http.request.method")), (SpanKind::Client, "GET"));
        assert_eq!(span.number("http.response.status_code"), 200.0);
        assert!(span.start_ns >= load.start_ns && span.start_ns <= end_ns, "{}", outline(&trace));
        assert!(!span.name.contains('/') && span.warnings.is_empty(), "{}", outline(&trace));
    }
    browser.quit().await
}

#[tokio::test]
async fn a_reload_is_a_separate_trace_of_type_reload() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.home(&site.server.base()).await?;
    let first = load_of_kind(&site, "navigate").await?;
    browser.driver.refresh().await?;
    browser.until("document.querySelector('article.crud')").await?;
    let second = load_of_kind(&site, "reload").await?;
    assert_ne!(first.trace_id, second.trace_id);
    let whole = site.api.trace_when(&second.trace_id, |trace| trace.count("GET /") == 1).await?;
    let document = whole.child(whole.root(), "documentFetch");
    assert!(whole.server_span(document).is_some(), "{}", outline(&whole));
    browser.quit().await
}

#[tokio::test]
async fn a_page_restored_from_the_back_forward_cache_is_a_new_load() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.add_script("addEventListener('pageshow', event => { window.__persisted = event.persisted; })").await?;
    browser.home(&site.server.base()).await?;
    site.drain(&browser).await?;
    let first = load_of_kind(&site, "navigate").await?;
    browser.driver.goto(format!("{}/notifications", site.server.base())).await?;
    browser.until("document.querySelector('main h1').innerText == 'Notifications'").await?;
    let left_ms = browser.eval("return Date.now()").await?.as_f64().expect("should be a number");
    browser.driver.back().await?;
    browser.until("document.querySelector('article.crud')").await?;
    let why =
        browser.eval("return [__persisted, performance.getEntriesByType('navigation')[0].notRestoredReasons]").await?;
    assert_eq!(why[0], true, "the page was not restored from the cache: {why}");

    let back = load_of_kind(&site, "back_forward_cache").await?;
    assert_ne!(back.trace_id, first.trace_id);
    let load = back.root();
    assert_eq!((load.name.as_str(), load.text("url.path")), ("documentLoad", "/"));
    // Nothing was fetched, and the spans of the first load are not reported again.
    assert_eq!((back.count("documentFetch"), back.count("resourceFetch")), (0, 0), "{}", outline(&back));
    assert_eq!(milestones(load), []);
    assert!(load.start_ns as f64 / 1e6 >= left_ms - 2.0, "it starts when the page is shown again");

    // Requests are still traced.
    browser.eval("return fetch('/api/users?after=cache').then(r => r.text())").await?;
    let is_joined = |trace: &Trace| {
        let request = trace.spans.iter().find(|span| span.text_ends_with("url.full", "after=cache"));
        request.is_some_and(|span| trace.server_span(span).is_some())
    };
    site.api.trace_where("a request of the restored page", is_joined).await?;
    site.drain(&browser).await?;
    let all = site.api.spans(|span| span.name == "documentLoad" && span.is("url.path", "/")).await?;
    assert_eq!(all.len(), 2, "{all:#?}");
    browser.quit().await
}

#[tokio::test]
async fn a_prerendered_page_load_starts_at_activation() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // Cruddur's own policy forbids inline rules.
    browser.bypass_csp().await?;
    browser.home(&site.server.base()).await?;
    let rules = "const rules = document.createElement('script');
        rules.type = 'speculationrules';
        const list = { source: 'list', urls: ['/notifications'], eagerness: 'immediate' };
        rules.textContent = JSON.stringify({ prerender: [list] });
        document.head.append(rules);";
    browser.eval(rules).await?;
    // The page is prerendered once it has requested its data.
    let is_data_request =
        |span: &Span| span.kind == SpanKind::Server && span.name == "GET /api/activities/notifications";
    let requested = async || site.api.spans(is_data_request).await.ok().filter(|spans| !spans.is_empty());
    assert!(throughline_e2e::eventually(requested).await.is_some(), "nothing was prerendered");
    site.drain(&browser).await?;
    let before = site.api.spans(|span| span.name == "documentLoad").await?;
    assert_eq!(before.len(), 1, "a page that was never shown is reported: {before:#?}");

    let link = "const link = document.createElement('a');
        Object.assign(link, { href: '/notifications', rel: 'external', id: 'there', textContent: 'there' });
        document.querySelector('main').prepend(link);
        return Date.now();";
    let clicked_ms = browser.eval(link).await?.as_f64().expect("should be a number");
    browser.click("#there").await?;
    browser.until("location.pathname == '/notifications' && document.querySelector('main h1')").await?;
    let activated = browser.eval("return performance.getEntriesByType('navigation')[0].activationStart").await?;
    assert!(activated.as_f64().is_some_and(|ms| ms > 0.0), "the page was not prerendered");

    let is_shown = |trace: &Trace| loads(trace).any(|span| span.is("url.path", "/notifications"));
    let trace = site.api.trace_where("the load of the activated page", is_shown).await?;
    let load = trace.one("documentLoad", |span| span.name == "documentLoad");
    assert!(load.parent_span_id.is_none());
    assert!(load.start_ns as f64 / 1e6 >= clicked_ms - 2.0, "it starts at activation, not before");
    browser.quit().await
}

#[tokio::test]
async fn the_inspector_does_not_trace_its_own_pages() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let base = site.server.base();
    browser.driver.goto(format!("{base}/traces")).await?;
    browser.until("document.querySelector('.live-on')").await?;
    let fetched = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)";
    let fetched = browser.eval(fetched).await?;
    let fetched: Vec<&str> = fetched.as_array().into_iter().flatten().filter_map(|path| path.as_str()).collect();
    assert!(fetched.contains(&"/api/traces"), "{fetched:?}");
    assert!(fetched.iter().all(|path| !path.starts_with("/v1/")), "{fetched:?}");

    // The spans of another page arrive after those that this one could have sent.
    browser.home(&base).await?;
    site.drain(&browser).await?;
    let spans = site.api.spans(|span| format!("{span:?}").contains("/traces")).await?;
    assert!(spans.is_empty(), "{spans:#?}");
    browser.quit().await
}
