//! Pages that are left or hidden: their records still arrive.

use throughline_e2e::{Browser, ServerOptions, Site, eventually, outline};
use throughline_inspector_api::{Trace, TraceSummary};

/// Waits for this number of page loads until every trace has a root, and returns them.
async fn page_loads(site: &Site, count: usize) -> Vec<TraceSummary> {
    let found = eventually(async || {
        let traces = site.api.traces().await.ok()?;
        let loads: Vec<_> = traces.iter().filter(|trace| trace.root_name == "documentLoad").cloned().collect();
        (loads.len() == count && traces.iter().all(|trace| trace.has_root)).then_some(loads)
    });
    match found.await {
        Some(loads) => loads,
        None => {
            let mut text = String::new();
            for summary in site.api.traces().await.expect("the list of traces") {
                let trace = site.api.trace_when(&summary.trace_id, |_| true).await.expect("a stored trace");
                text.push_str(&outline(&trace));
                text.push('\n');
            }
            panic!("expected {count} complete page loads:\n{text}")
        }
    }
}

fn roots(trace: &Trace) -> usize {
    trace.spans.iter().filter(|span| span.parent_span_id.is_none()).count()
}

#[tokio::test]
async fn pages_that_are_reloaded_at_once_lose_no_spans() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    const RELOADS: usize = 5;
    for _ in 0..RELOADS {
        // The page is left before its first flush is due.
        browser.until("document.querySelector('article.crud')").await?;
        browser.driver.refresh().await?;
    }
    browser.until("document.querySelector('article.crud')").await?;
    for summary in page_loads(&site, RELOADS + 1).await {
        let trace =
            site.api.trace_when(&summary.trace_id, |trace| trace.spans.iter().any(|s| s.name == "GET /")).await?;
        assert_eq!(roots(&trace), 1, "{}", outline(&trace));
        assert!(trace.spans.iter().all(|span| span.warnings.is_empty()), "{}", outline(&trace));
    }
    browser.quit().await
}

#[tokio::test]
async fn a_hidden_page_sends_its_spans_and_keeps_working() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('button.like')").await?;
    page_loads(&site, 1).await;
    let first = browser.driver.window().await?;
    browser.eval("document.querySelector('button.like').click()").await?;
    let second = browser.driver.new_tab().await?;
    browser.driver.switch_to_window(second).await?;
    let liked = site.api.trace_named("click Like").await;
    let unliked = if liked.is_err() { Some(site.api.trace_named("click Unlike").await?) } else { None };
    assert!(liked.is_ok() || unliked.is_some());
    // When it is visible again, it still works.
    browser.driver.switch_to_window(first).await?;
    browser.eval("document.querySelector('button.like').click()").await?;
    let more = eventually(async || {
        let traces = site.api.traces().await.ok()?;
        let clicks = traces.iter().filter(|trace| trace.has_root && trace.root_name.ends_with("ike")).count();
        (clicks == 2 && traces.iter().all(|trace| trace.has_root)).then_some(())
    });
    assert!(more.await.is_some());
    browser.quit().await
}

#[tokio::test]
async fn going_back_is_a_separate_trace() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    page_loads(&site, 1).await;
    browser.driver.goto(format!("{}/traces", site.server.base())).await?;
    browser.until("document.querySelector('a.trace-link')").await?;
    browser.driver.back().await?;
    browser.until("document.querySelector('article.crud')").await?;
    // From the cache or from the server: two loads, each in its own trace, with one root.
    let restored = browser.eval("return performance.getEntriesByType('navigation')[0].type").await?;
    if restored == "back_forward" {
        for summary in page_loads(&site, 2).await {
            let trace = site.api.trace_when(&summary.trace_id, |_| true).await?;
            assert_eq!(roots(&trace), 1, "{}", outline(&trace));
        }
    }
    browser.quit().await
}
