//! What a page has to say arrives once, whatever becomes of the page, the network and the server.

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

/// The trace of the click on Like, once its root, its request and the server's span are there.
async fn like_is_whole(site: &Site) -> anyhow::Result<Trace> {
    let is_whole = |trace: &Trace| {
        let request = trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.name == LIKE);
        trace.count("click Like") == 1 && request.is_some_and(|request| trace.server_span(request).is_some())
    };
    let trace = site.api.trace_where("a whole `click Like`", is_whole).await?;
    assert_eq!(trace.root().name, "click Like", "{}", outline(&trace));
    trace.child(trace.root(), LIKE);
    Ok(trace)
}

/// Clicks so often on Like buttons that are not pressed, and waits each time until the page knows what came of it: the
/// server's refusal, or nobody's.
async fn like_and_fail(browser: &Browser, times: usize) -> anyhow::Result<()> {
    for n in 1..=times {
        browser.click("article.crud:not(:has([role=alert])) button.like[aria-pressed=false]").await?;
        browser.until(&format!("document.querySelectorAll('article.crud [role=alert]').length == {n}")).await?;
    }
    Ok(())
}

/// So many clicks on Like, with a request each that failed, and nothing twice.
async fn failed_likes(site: &Site, times: usize) -> anyhow::Result<(Vec<Span>, Vec<Span>)> {
    let found = eventually(async || {
        let clicks = site.api.spans(|span| span.name == "click Like").await.ok()?;
        let requests = site.api.spans(|span| span.kind == SpanKind::Client && span.name == LIKE).await.ok()?;
        (clicks.len() >= times && requests.len() >= times).then_some((clicks, requests))
    });
    let Some((clicks, requests)) = found.await else {
        let all: Vec<_> = site.api.all().await?.iter().map(outline).collect();
        anyhow::bail!("not all of {times} clicks with their requests arrive:\n{}", all.join("\n"))
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
    browser.eval("return Date.now()").await?.as_f64().context("a number")
}

#[tokio::test]
async fn a_tab_that_is_closed_right_after_a_click_has_said_so() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let first = browser.driver.window().await?;
    browser.new_tab().await?;
    browser.home(&site.server.base()).await?;
    browser.click("button.like[aria-pressed=false]").await?;
    browser.driver.close_window().await?;
    browser.driver.switch_to_window(first).await?;
    like_is_whole(&site).await?;
    let is_load = |trace: &Trace| trace.count("documentLoad") == 1 && trace.count("GET /") == 1;
    let loads = eventually(async || {
        let all = site.api.all().await.ok()?;
        (all.iter().filter(|trace| is_load(trace)).count() == 2).then_some(())
    });
    assert!(loads.await.is_some(), "the page load of the tab that was closed");
    browser.quit().await
}

#[tokio::test]
async fn a_page_that_is_reloaded_right_after_a_click_has_said_so() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.click("button.like[aria-pressed=false]").await?;
    browser.driver.refresh().await?;
    like_is_whole(&site).await?;
    browser.until("document.querySelector('article.crud')").await?;
    site.drain(&browser).await?;
    let clicks = site.api.spans(|span| span.name == "click Like").await?;
    assert_eq!(clicks.len(), 1, "{clicks:#?}");
    browser.quit().await
}

/// What happens without a network is told by the next page. With `tried`, the page leaves after it has tried to tell it; else
/// at once, with nothing but the browser's word that there is no network.
async fn unsent_records_are_sent_by_the_next_page(tried: bool) -> anyhow::Result<()> {
    const TIMES: usize = 3;
    let site = Site::start(&ServerOptions::default())?;
    let relay = Relay::start(site.server.addr()).await?;
    let base = relay.base();
    let browser = Browser::start().await?;
    browser.home(&base).await?;
    site.drain(&browser).await?;
    // The emulation ends as soon as another page is asked for, before this one hears that it is left: so the way is cut as
    // well, and the browser's word is ours.
    relay.set_upstream(None);
    if !tried {
        browser.eval("Object.defineProperty(navigator, 'onLine', { get: () => !window.__offline })").await?;
    }
    let session = browser.eval("return localStorage.getItem('throughline:session').split('.')[0]").await?;
    let before_ms = now_ms(&browser).await?;
    browser.set_offline(true).await?;
    browser.eval("window.__offline = true").await?;
    browser.until("!navigator.onLine").await?;
    like_and_fail(&browser, TIMES).await?;
    browser.eval("__throw('without a network')").await?;
    let after_ms = now_ms(&browser).await?;
    if tried {
        browser.until("document.querySelector('.dock-status').innerText.includes('cannot be')").await?;
    }
    browser.driver.goto("about:blank").await?;
    browser.set_offline(false).await?;
    relay.set_upstream(Some(site.server.addr()));
    // Nobody has told it yet; and the next page will be of another session, which what was before is not of.
    browser.driver.goto(format!("{base}/livez")).await?;
    assert!(site.api.spans(|span| span.name == "click Like").await?.is_empty());
    let kept = browser.eval("return (localStorage.getItem('throughline:unsent') || '').length").await?;
    assert!(kept.as_u64().is_some_and(|length| length > 0), "nothing is kept");
    let age = "const [id, , ] = localStorage.getItem('throughline:session').split('.');
        const idle = Date.now() - 16 * 60000;
        localStorage.setItem('throughline:session', [id, idle, idle].join('.'));";
    browser.eval(age).await?;
    browser.home(&base).await?;

    let (clicks, requests) = failed_likes(&site, TIMES).await?;
    let is_error = |log: &LogRecord| log.text_matches("exception.message", |message| message.ends_with("without a network"));
    let error = site.log_record("the error", is_error).await?;
    site.drain(&browser).await?;
    let now = browser.eval("return localStorage.getItem('throughline:session').split('.')[0]").await?;
    assert_ne!(now, session);
    for span in clicks.iter().chain(&requests) {
        assert_eq!(span.text("session.id"), session.as_str().expect("a text"), "{span:#?}");
        let (start_ms, end_ms) = (span.start_ns as f64 / 1e6, (span.start_ns + span.duration_ns) as f64 / 1e6);
        // `Date.now()` counts whole milliseconds, and is not the clock that spans are measured with.
        assert!(start_ms >= before_ms - 5.0 && end_ms <= after_ms + 5.0, "{span:#?}");
    }
    let error_ms = error.time_ns as f64 / 1e6;
    assert!(error_ms >= before_ms - 5.0);
    assert!(requests.iter().all(|request| request.is("network.connection.type", "unavailable")), "{requests:#?}");

    // Taken once: a page that opens now has nothing to tell of it.
    let kept = browser.eval("return localStorage.getItem('throughline:unsent')").await?;
    assert_eq!(kept, serde_json::Value::Null);
    let errors = site.log_records().await?;
    assert_eq!(errors.iter().filter(|record| is_error(record)).count(), 1);
    assert_eq!(site.api.spans(|span| span.name == "click Like").await?.len(), TIMES);
    browser.quit().await
}

#[tokio::test]
async fn what_could_not_be_sent_is_told_by_the_next_page() -> anyhow::Result<()> {
    unsent_records_are_sent_by_the_next_page(true).await
}

#[tokio::test]
async fn what_is_not_sent_without_a_network_is_told_by_the_next_page() -> anyhow::Result<()> {
    unsent_records_are_sent_by_the_next_page(false).await
}

#[tokio::test]
async fn a_network_that_comes_back_is_used_at_once() -> anyhow::Result<()> {
    const TIMES: usize = 2;
    let (site, browser) = start().await?;
    browser.set_offline(true).await?;
    browser.until("!navigator.onLine").await?;
    like_and_fail(&browser, TIMES).await?;
    assert!(site.api.spans(|span| span.name == "click Like").await?.is_empty());
    browser.set_offline(false).await?;
    browser.until("navigator.onLine").await?;
    failed_likes(&site, TIMES).await?;
    browser.quit().await
}

#[tokio::test]
async fn a_server_that_is_down_for_a_while_costs_nothing() -> anyhow::Result<()> {
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
    like_and_fail(&browser, TIMES).await?;
    // It has been tried.
    browser.until("document.querySelector('.dock-status').innerText.includes('cannot be')").await?;
    site.restart_server(&options)?;
    relay.set_upstream(Some(site.server.addr()));

    failed_likes(&site, TIMES).await?;
    site.drain(&browser).await?;
    browser.until("document.querySelector('.dock-status').innerText.trim() == ''").await?;
    // Nothing of before is there twice, and nothing of it is gone.
    assert_eq!(site.api.spans(|span| span.name == "documentLoad").await?.len(), loads);
    failed_likes(&site, TIMES).await?;
    browser.quit().await
}

#[tokio::test]
async fn what_an_earlier_page_left_damaged_disturbs_nobody() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.driver.goto(format!("{}/livez", site.server.base())).await?;
    let damage = "localStorage.setItem('throughline:unsent', '\\u0000'.repeat(30) + 'anything \\u4711 at all')";
    browser.eval(damage).await?;
    browser.home(&site.server.base()).await?;
    browser.click("button.like[aria-pressed=false]").await?;
    like_is_whole(&site).await?;
    assert_eq!(browser.eval("return localStorage.getItem('throughline:unsent')").await?, serde_json::Value::Null);
    browser.quit().await
}
