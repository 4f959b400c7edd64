//! Browsers that lack something, or in which it is broken: Cruddur works as it does without a tracer, and the tracer tells what
//! it can.

use throughline_e2e::{Browser, ServerOptions, Site, eventually, outline};
use throughline_inspector_api::SpanKind;

/// Notes what nobody caught, whoever's fault it was.
const WITNESS: &str = "
    window.__uncaught = [];
    addEventListener('error', event => { if (event.message) __uncaught.push(event.message); }, true);
    addEventListener('unhandledrejection', event => __uncaught.push('rejected: ' + String(event.reason)));
";

struct Fault {
    what: &'static str,
    script: &'static str,
    /// Whether telemetry can be had all the same.
    is_traced: bool,
}

const fn fault(what: &'static str, script: &'static str) -> Fault {
    Fault { what, script, is_traced: true }
}

const FAULTS: [Fault; 22] = [
    fault("nothing", ""),
    Fault {
        what: "no performance",
        script: "Object.defineProperty(window, 'performance', { value: undefined });",
        is_traced: false,
    },
    Fault {
        what: "performance.now throws",
        script: "performance.now = () => { throw new Error('broken on purpose'); };",
        is_traced: false,
    },
    fault(
        "the timeline throws",
        "for (const name of ['getEntriesByType', 'getEntriesByName', 'getEntries'])
             performance[name] = () => { throw new Error('broken on purpose'); };",
    ),
    fault(
        "no entries in the timeline",
        "performance.getEntriesByType = performance.getEntriesByName = performance.getEntries = () => [];",
    ),
    fault("no crypto", "Object.defineProperty(window, 'crypto', { value: undefined });"),
    fault("crypto throws", "crypto.getRandomValues = () => { throw new Error('broken on purpose'); };"),
    fault("no localStorage", "Object.defineProperty(window, 'localStorage', { value: null });"),
    fault(
        "localStorage is forbidden",
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });",
    ),
    fault(
        "localStorage is full",
        "Storage.prototype.setItem = () => { throw new DOMException('no', 'QuotaExceededError'); };",
    ),
    fault(
        "localStorage holds anything",
        "for (const name of ['throughline:session', 'throughline:unsent', 'cruddur:theme', 'cruddur:dock'])
             localStorage.setItem(name, '\\u0001\\uffff.{\"'.repeat(9));",
    ),
    fault("no PerformanceObserver", "delete window.PerformanceObserver;"),
    fault(
        "PerformanceObserver knows nothing",
        "Object.defineProperty(PerformanceObserver, 'supportedEntryTypes', { value: undefined });",
    ),
    fault(
        "PerformanceObserver throws",
        "PerformanceObserver.prototype.observe = PerformanceObserver.prototype.takeRecords =
             () => { throw new Error('broken on purpose'); };",
    ),
    fault("no sendBeacon", "Navigator.prototype.sendBeacon = undefined;"),
    fault("no keepalive", "delete Request.prototype.keepalive;"),
    fault(
        "neither sendBeacon nor keepalive",
        "delete Request.prototype.keepalive; Navigator.prototype.sendBeacon = undefined;",
    ),
    fault("no Proxy", "delete window.Proxy;"),
    fault("no Navigation API", "Object.defineProperty(window, 'navigation', { value: undefined });"),
    fault(
        "a frozen fetch",
        "Object.defineProperty(window, 'fetch', { value: window.fetch, writable: false, configurable: false });",
    ),
    fault("no user agent data", "Object.defineProperty(navigator, 'userAgentData', { value: undefined });"),
    fault("no connection", "Object.defineProperty(navigator, 'connection', { get() { throw new Error('no'); } });"),
];

/// What is wrong with Cruddur or its telemetry in such a browser.
async fn trouble(site: &Site, browser: &Browser, fault: &Fault) -> anyhow::Result<()> {
    browser.home(&site.server.base()).await?;
    // The fault is there: a script that cannot break what it is to break ends before it says so.
    anyhow::ensure!(browser.eval("return window.__is_broken").await? == true, "it is not broken");
    let text = "Written in such a browser.";
    browser.keys("#compose", text).await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until(&format!("document.querySelector('article.crud .message').innerText == '{text}'")).await?;
    browser.click("article.crud button.like").await?;
    browser.until("document.querySelector('article.crud button.like').getAttribute('aria-pressed') == 'true'").await?;
    // A script of somebody else gets what it asked for, too.
    let asked =
        browser.eval("return fetch('/api/users').then(r => r.json()).then(users => users.users.length)").await?;
    anyhow::ensure!(asked.as_u64().is_some_and(|users| users > 0), "a script gets {asked}");
    browser.click("nav a[href='/notifications']").await?;
    browser.until("document.querySelector('main h1').innerText == 'Notifications'").await?;
    let uncaught = browser.eval("return __uncaught").await?;
    anyhow::ensure!(uncaught == serde_json::json!([]), "uncaught: {uncaught}");
    // What could not be sent when the page was left, the next page sends.
    browser.driver.goto("about:blank").await?;
    browser.home(&site.server.base()).await?;

    let written = eventually(async || {
        let requests = site.api.spans(|span| span.kind == SpanKind::Client && span.name == "POST /api/activities");
        (requests.await.ok()?.len() == 1).then_some(())
    });
    if fault.is_traced && written.await.is_none() {
        let all: Vec<_> = site.api.all().await?.iter().map(outline).collect();
        anyhow::bail!("what was written is not told of:\n{}", all.join("\n"));
    }
    Ok(())
}

#[tokio::test]
async fn cruddur_works_in_browsers_that_lack_something() -> anyhow::Result<()> {
    let mut troubles = Vec::new();
    for fault in FAULTS {
        // Each has a server and a browser of its own: what one leaves is not to help or hinder the next.
        let site = Site::start(&ServerOptions::default())?;
        let browser = Browser::start().await?;
        browser.add_script(WITNESS).await?;
        browser.add_script(&format!("{} window.__is_broken = true;", fault.script)).await?;
        if let Err(error) = trouble(&site, &browser, &fault).await {
            troubles.push(format!("{}: {error:#}", fault.what));
        }
        browser.quit().await?;
    }
    assert!(troubles.is_empty(), "{} of {}:\n{}", troubles.len(), FAULTS.len(), troubles.join("\n"));
    Ok(())
}
