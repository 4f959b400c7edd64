//! Sessions: shared by reloads and tabs, until they have been idle or have lasted for too long.

use std::collections::HashSet;

use anyhow::Context;
use throughline_e2e::{Browser, RecordExt, ServerOptions, Site, SpanExt, TraceExt};
use throughline_inspector_api::{Span, Trace};

const KEY: &str = "throughline:session";
const MINUTE_MS: u64 = 60_000;

/// The session that tabs share in `localStorage`: `id.started.active`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shared {
    id: String,
    started_ms: u64,
    active_ms: u64,
}

impl Shared {
    async fn of(browser: &Browser) -> anyhow::Result<Self> {
        let text = browser.eval(&format!("return localStorage.getItem('{KEY}')")).await?;
        let parts: Vec<_> = text.as_str().context("no session is stored")?.split('.').collect();
        let [id, started, active] = parts[..] else { anyhow::bail!("{text} is not a session") };
        Ok(Self { id: id.to_owned(), started_ms: started.parse()?, active_ms: active.parse()? })
    }

    async fn store(&self, browser: &Browser) -> anyhow::Result<()> {
        let text = format!("{}.{}.{}", self.id, self.started_ms, self.active_ms);
        browser.eval_with(&format!("localStorage.setItem('{KEY}', arguments[0])"), vec![text.into()]).await?;
        Ok(())
    }
}

/// Waits for this number of page loads, and returns them in order.
async fn loads(site: &Site, count: usize) -> anyhow::Result<Vec<Span>> {
    let is_load = |span: &Span| span.name == "documentLoad";
    let found = throughline_e2e::eventually(async || {
        let mut spans = site.api.spans(is_load).await.ok()?;
        spans.sort_by_key(|span| span.start_ns);
        (spans.len() == count).then_some(spans)
    });
    found.await.with_context(|| format!("expected {count} page loads"))
}

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    Ok((site, browser))
}

/// Leaves Cruddur for a page of the same origin without a tracer, so that only the test writes the shared session.
async fn leave_application(site: &Site, browser: &Browser) -> anyhow::Result<()> {
    browser.driver.goto(format!("{}/livez", site.server.base())).await?;
    browser.until("document.body.innerText.includes('ok')").await
}

#[tokio::test]
async fn reloads_and_tabs_share_one_session() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let shared = Shared::of(&browser).await?;
    browser.driver.refresh().await?;
    browser.until("document.querySelector('article.crud')").await?;
    browser.new_tab().await?;
    browser.home(&site.server.base()).await?;
    browser.click("button.like[aria-pressed=false]").await?;
    site.drain(&browser).await?;
    loads(&site, 3).await?;
    assert_eq!(Shared::of(&browser).await?.id, shared.id);

    let spans = site.api.spans(|span| span.service == "cruddur-web").await?;
    let sessions: HashSet<_> = spans.iter().map(|span| span.text("session.id")).collect();
    assert_eq!(sessions, HashSet::from([shared.id.as_str()]));
    let records = site.log_records().await?;
    assert!(records.iter().all(|record| record.text_value("session.id") == Some(&shared.id)), "{records:#?}");
    // It started once, without a previous session.
    let started: Vec<_> = records.iter().filter(|record| record.event_name == "session.start").collect();
    assert_eq!(started.len(), 1, "{started:#?}");
    assert_eq!(started[0].text_value("session.previous_id"), None);
    assert!(!records.iter().any(|record| record.event_name == "session.end"));
    browser.quit().await
}

/// Changes the shared session with `age`, opens a page, and checks that it has a new session.
async fn session_ends(age: impl Fn(&mut Shared, u64), reason: &str) -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    site.drain(&browser).await?;
    leave_application(&site, &browser).await?;
    let mut before = Shared::of(&browser).await?;
    let now_ms = browser.eval("return Date.now()").await?.as_u64().context("not a number")?;
    age(&mut before, now_ms);
    before.store(&browser).await?;
    browser.home(&site.server.base()).await?;

    let found = loads(&site, 2).await?;
    let after = Shared::of(&browser).await?;
    assert_ne!(after.id, before.id);
    assert!(after.started_ms >= now_ms);
    assert_eq!((found[0].text("session.id"), found[1].text("session.id")), (&*before.id, &*after.id));

    // The new session starts with the page and refers to the previous one.
    let is_start = |trace: &Trace| trace.trace_id == found[1].trace_id && !trace.events("session.start").is_empty();
    let trace = site.api.trace_where("session.start in the page's trace", is_start).await?;
    let [started] = trace.events("session.start")[..] else { panic!("{:#?}", trace.logs) };
    assert_eq!(started.text("session.id"), after.id);
    assert_eq!(started.text("session.previous_id"), before.id);

    // The old session ended at its last activity, although no page was open to report it.
    let ended = site.log_record("session.end", |record| record.event_name == "session.end").await?;
    assert_eq!(ended.text_value("session.id"), Some(&*before.id));
    assert_eq!(ended.text_value("throughline.session.end_reason"), Some(reason));
    assert_eq!(ended.time_ns / 1_000_000, before.active_ms);
    // Each event is reported once, also when another page opens.
    browser.driver.refresh().await?;
    browser.until("document.querySelector('article.crud')").await?;
    site.drain(&browser).await?;
    assert_eq!(loads(&site, 3).await?[2].text("session.id"), after.id);
    let records = site.log_records().await?;
    let count = |name: &str| records.iter().filter(|record| record.event_name == name).count();
    assert_eq!((count("session.start"), count("session.end")), (2, 1));
    browser.quit().await
}

#[tokio::test]
async fn a_session_ends_after_15_idle_minutes() -> anyhow::Result<()> {
    session_ends(
        |shared, now_ms| {
            shared.started_ms = now_ms - 40 * MINUTE_MS;
            shared.active_ms = now_ms - 15 * MINUTE_MS - 1_000;
        },
        "idle",
    )
    .await
}

#[tokio::test]
async fn a_session_ends_after_4_hours_even_if_active() -> anyhow::Result<()> {
    session_ends(
        |shared, now_ms| {
            shared.started_ms = now_ms - 241 * MINUTE_MS;
            shared.active_ms = now_ms - 1_000;
        },
        "age",
    )
    .await
}

#[tokio::test]
async fn an_active_session_continues() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    site.drain(&browser).await?;
    leave_application(&site, &browser).await?;
    let mut shared = Shared::of(&browser).await?;
    let now_ms = browser.eval("return Date.now()").await?.as_u64().context("not a number")?;
    shared.started_ms = now_ms - 230 * MINUTE_MS;
    shared.active_ms = now_ms - 13 * MINUTE_MS;
    shared.store(&browser).await?;
    browser.home(&site.server.base()).await?;
    let found = loads(&site, 2).await?;
    assert_eq!(found[1].text("session.id"), shared.id);
    let after = Shared::of(&browser).await?;
    assert_eq!((&after.id, after.started_ms), (&shared.id, shared.started_ms));
    assert!(after.active_ms >= now_ms);
    browser.quit().await
}

#[tokio::test]
async fn a_corrupt_stored_session_is_ignored() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    site.drain(&browser).await?;
    leave_application(&site, &browser).await?;
    let before = browser.eval(&format!("return localStorage.getItem('{KEY}').split('.')[0]")).await?;
    browser.eval(&format!("localStorage.setItem('{KEY}', 'anything.at.all')")).await?;
    browser.home(&site.server.base()).await?;
    let found = loads(&site, 2).await?;
    let after = Shared::of(&browser).await?;
    assert_eq!(found[1].text("session.id"), after.id);
    // The server has the session in its cookie: a page without a stored session continues that one.
    assert_eq!(serde_json::Value::from(after.id), before);
    browser.quit().await
}
