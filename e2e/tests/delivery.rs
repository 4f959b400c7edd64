//! Records of a page arrive exactly once, even if the page is closed, the network fails or the server is down.

use std::collections::HashSet;

use anyhow::Context;
use throughline_e2e::{Browser, RecordExt, Relay, ServerOptions, Site, SpanExt, TraceExt, eventually, outline};
use throughline_inspector_api::{Span, SpanKind, StatusCode, Trace};
use throughline_otlp::LogRecord;

const LIKE: &str = "PUT /api/activities/{uuid}/like";

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    site.drain(&browser).await?;
    Ok((site, browser))
}

/// Waits for the trace of the click on Like with its root, its request and the server's span, and returns it.
async fn complete_like(site: &Site) -> anyhow::Result<Trace> {
    let is_whole = |trace: &Trace| {
        let request = trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.name == LIKE);
        trace.count("click Like") == 1 && request.is_some_and(|request| trace.server_span(request).is_some())
    };
    let trace = site.api.trace_where("a complete `click Like`", is_whole).await?;
    assert_eq!(trace.root().name, "click Like", "{}", outline(&trace));
    trace.child(trace.root(), LIKE);
    Ok(trace)
}

/// Clicks this number of Like buttons that are not pressed, and waits each time until the page shows the error.
async fn click_likes_that_fail(browser: &Browser, times: usize) -> anyhow::Result<()> {
    for n in 1..=times {
        browser.click("article.crud:not(:has([role=alert])) button.like[aria-pressed=false]").await?;
        browser.until(&format!("document.querySelectorAll('article.crud [role=alert]').length == {n}")).await?;
    }
    Ok(())
}

/// Waits for this number of clicks on Like, each with one failed request, and checks that there are no duplicates.
async fn failed_likes(site: &Site, times: usize) -> anyhow::Result<(Vec<Span>, Vec<Span>)> {
    let found = eventually(async || {
        let clicks = site.api.spans(|span| span.name == "click Like").await.ok()?;
        let requests = site.api.spans(|span| span.kind == SpanKind::Client && span.name == LIKE).await.ok()?;
        (clicks.len() >= times && requests.len() >= times).then_some((clicks, requests))
    });
    let Some((clicks, requests)) = found.await else {
        let all: Vec<_> = site.api.all().await?.iter().map(outline).collect();
        anyhow::bail!("not all of {times} clicks with their requests have arrived:\n{}", all.join("\n"))
    };
    assert_eq!((clicks.len(), requests.len()), (times, times));
    let ids: HashSet<_> = clicks.iter().map(|span| &span.span_id).collect();
    for request in &requests {
        assert_eq!((request.status, request.text("error.type")), (StatusCode::Error, "TypeError"));
        assert!(request.parent_span_id.as_ref().is_some_and(|parent| ids.contains(parent)), "{request:#?}");
    }
    Ok((clicks, requests))
}

async fn now_ms(browser: &Browser) -> anyhow::Result<f64> {
    browser.eval("return Date.now()").await?.as_f64().context("not a number")
}

#[tokio::test]
async fn a_click_right_before_the_tab_is_closed_is_reported() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let first = browser.driver.window().await?;
    browser.new_tab().await?;
    browser.home(&site.server.base()).await?;
    browser.click("button.like[aria-pressed=false]").await?;
    browser.driver.close_window().await?;
    browser.driver.switch_to_window(first).await?;
    complete_like(&site).await?;
    let is_load = |trace: &Trace| trace.count("documentLoad") == 1 && trace.count("GET /") == 1;
    let loads = eventually(async || {
        let all = site.api.all().await.ok()?;
        (all.iter().filter(|trace| is_load(trace)).count() == 2).then_some(())
    });
    assert!(loads.await.is_some(), "the page load of the closed tab");
    browser.quit().await
}

#[tokio::test]
async fn a_click_right_before_a_reload_is_reported() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.click("button.like[aria-pressed=false]").await?;
    browser.driver.refresh().await?;
    complete_like(&site).await?;
    browser.until("document.querySelector('article.crud')").await?;
    site.drain(&browser).await?;
    let clicks = site.api.spans(|span| span.name == "click Like").await?;
    assert_eq!(clicks.len(), 1, "{clicks:#?}");
    browser.quit().await
}

/// Checks that the next page sends the records of a page without a network. With `attempted`, the page is left after it has
/// tried to send them; otherwise at once, and only `navigator.onLine` shows that there is no network.
async fn unsent_records_are_sent_by_the_next_page(attempted: bool) -> anyhow::Result<()> {
    const TIMES: usize = 3;
    let site = Site::start(&ServerOptions::default())?;
    let relay = Relay::start(site.server.addr()).await?;
    let base = relay.base();
    let browser = Browser::start().await?;
    browser.home(&base).await?;
    site.drain(&browser).await?;
    // The emulation ends as soon as another page is requested, before this one is notified that it is left. So the relay is
    // disconnected too, and `navigator.onLine` is overridden.
    relay.set_upstream(None);
    if !attempted {
        browser.eval("Object.defineProperty(navigator, 'onLine', { get: () => !window.__offline })").await?;
    }
    let session = browser.eval("return localStorage.getItem('throughline:session').split('.')[0]").await?;
    let before_ms = now_ms(&browser).await?;
    browser.set_offline(true).await?;
    browser.eval("window.__offline = true").await?;
    browser.until("!navigator.onLine").await?;
    click_likes_that_fail(&browser, TIMES).await?;
    browser.eval("__throw('without a network')").await?;
    let after_ms = now_ms(&browser).await?;
    if attempted {
        browser.until("document.querySelector('.dock-status').innerText.includes('cannot be')").await?;
    }
    browser.driver.goto("about:blank").await?;
    browser.set_offline(false).await?;
    relay.set_upstream(Some(site.server.addr()));
    // Nothing has been sent yet. The next page will have another session; the unsent records must keep theirs.
    browser.driver.goto(format!("{base}/livez")).await?;
    assert!(site.api.spans(|span| span.name == "click Like").await?.is_empty());
    let kept = browser.eval("return (localStorage.getItem('throughline:unsent') || '').length").await?;
    assert!(kept.as_u64().is_some_and(|length| length > 0), "no unsent records are stored");
    let age = "const [id, , ] = localStorage.getItem('throughline:session').split('.');
        const idle = Date.now() - 16 * 60000;
        localStorage.setItem('throughline:session', [id, idle, idle].join('.'));";
    browser.eval(age).await?;
    browser.home(&base).await?;

    let (clicks, requests) = failed_likes(&site, TIMES).await?;
    let is_error =
        |log: &LogRecord| log.text_matches("exception.message", |message| message.ends_with("without a network"));
    let error = site.log_record("the error", is_error).await?;
    site.drain(&browser).await?;
    let now = browser.eval("return localStorage.getItem('throughline:session').split('.')[0]").await?;
    assert_ne!(now, session);
    for span in clicks.iter().chain(&requests) {
        assert_eq!(span.text("session.id"), session.as_str().expect("should be a string"), "{span:#?}");
        let (start_ms, end_ms) = (span.start_ns as f64 / 1e6, (span.start_ns + span.duration_ns) as f64 / 1e6);
        // `Date.now()` has a resolution of milliseconds, and spans use another clock.
        assert!(start_ms >= before_ms - 5.0 && end_ms <= after_ms + 5.0, "{span:#?}");
    }
    let error_ms = error.time_ns as f64 / 1e6;
    assert!(error_ms >= before_ms - 5.0);
    assert!(requests.iter().all(|request| request.is("network.connection.type", "unavailable")), "{requests:#?}");

    // Sent once: the next page finds no unsent records.
    let kept = browser.eval("return localStorage.getItem('throughline:unsent')").await?;
    assert_eq!(kept, serde_json::Value::Null);
    let errors = site.log_records().await?;
    assert_eq!(errors.iter().filter(|record| is_error(record)).count(), 1);
    assert_eq!(site.api.spans(|span| span.name == "click Like").await?.len(), TIMES);
    browser.quit().await
}

#[tokio::test]
async fn records_that_could_not_be_sent_are_sent_by_the_next_page() -> anyhow::Result<()> {
    unsent_records_are_sent_by_the_next_page(true).await
}

#[tokio::test]
async fn records_not_sent_while_offline_are_sent_by_the_next_page() -> anyhow::Result<()> {
    unsent_records_are_sent_by_the_next_page(false).await
}

#[tokio::test]
async fn records_are_sent_as_soon_as_the_network_is_back() -> anyhow::Result<()> {
    const TIMES: usize = 2;
    let (site, browser) = start().await?;
    browser.set_offline(true).await?;
    browser.until("!navigator.onLine").await?;
    click_likes_that_fail(&browser, TIMES).await?;
    assert!(site.api.spans(|span| span.name == "click Like").await?.is_empty());
    browser.set_offline(false).await?;
    browser.until("navigator.onLine").await?;
    failed_likes(&site, TIMES).await?;
    browser.quit().await
}

#[tokio::test]
async fn nothing_is_lost_while_the_server_is_down() -> anyhow::Result<()> {
    const TIMES: usize = 3;
    let options = ServerOptions::default();
    let mut site = Site::start(&options)?;
    let relay = Relay::start(site.server.addr()).await?;
    let browser = Browser::start().await?;
    browser.home(&relay.base()).await?;
    site.drain(&browser).await?;
    let loads = site.api.spans(|span| span.name == "documentLoad").await?.len();

    relay.set_upstream(None);
    site.stop_server()?;
    click_likes_that_fail(&browser, TIMES).await?;
    // The page has tried to send.
    browser.until("document.querySelector('.dock-status').innerText.includes('cannot be')").await?;
    site.restart_server(&options)?;
    relay.set_upstream(Some(site.server.addr()));

    failed_likes(&site, TIMES).await?;
    site.drain(&browser).await?;
    browser.until("document.querySelector('.dock-status').innerText.trim() == ''").await?;
    // Nothing is duplicated, and nothing is lost.
    assert_eq!(site.api.spans(|span| span.name == "documentLoad").await?.len(), loads);
    failed_likes(&site, TIMES).await?;
    browser.quit().await
}

#[tokio::test]
async fn corrupt_unsent_records_are_ignored() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.driver.goto(format!("{}/livez", site.server.base())).await?;
    let damage = "localStorage.setItem('throughline:unsent', '\\u0000'.repeat(30) + 'anything \\u4711 at all')";
    browser.eval(damage).await?;
    browser.home(&site.server.base()).await?;
    browser.click("button.like[aria-pressed=false]").await?;
    complete_like(&site).await?;
    assert_eq!(browser.eval("return localStorage.getItem('throughline:unsent')").await?, serde_json::Value::Null);
    browser.quit().await
}
