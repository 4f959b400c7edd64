//! Browsers with missing or broken APIs: Cruddur works as without a tracer, and the tracer reports what it can.

use throughline_e2e::{Browser, ServerOptions, Site, eventually, outline};
use throughline_inspector_api::SpanKind;

/// A script that records all uncaught errors and unhandled rejections.
const RECORD_UNCAUGHT: &str = "
    window.__uncaught = [];
    addEventListener('error', event => { if (event.message) __uncaught.push(event.message); }, true);
    addEventListener('unhandledrejection', event => __uncaught.push('rejected: ' + String(event.reason)));
";

struct Fault {
    name: &'static str,
    script: &'static str,
    /// Whether spans are still expected.
    is_traced: bool,
}

const fn fault(name: &'static str, script: &'static str) -> Fault {
    Fault { name, script, is_traced: true }
}

const FAULTS: [Fault; 22] = [
    fault("nothing", ""),
    Fault {
        name: "no performance",
        script: "Object.defineProperty(window, 'performance', { value: undefined });",
        is_traced: false,
    },
    Fault {
        name: "performance.now throws",
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
        "localStorage with corrupt values",
        "for (const name of ['throughline:session', 'throughline:unsent', 'cruddur:theme', 'cruddur:dock'])
             localStorage.setItem(name, '\\u0001\\uffff.{\"'.repeat(9));",
    ),
    fault("no PerformanceObserver", "delete window.PerformanceObserver;"),
    fault(
        "PerformanceObserver without entry types",
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

/// Uses Cruddur in a browser with this fault; returns an error if the application or its telemetry does not work.
async fn check_fault(site: &Site, browser: &Browser, fault: &Fault) -> anyhow::Result<()> {
    browser.home(&site.server.base()).await?;
    // The fault is in place: a script that fails ends before it sets this.
    anyhow::ensure!(browser.eval("return window.__is_broken").await? == true, "the script of the fault failed");
    let text = "Written in such a browser.";
    browser.keys("#compose", text).await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until(&format!("document.querySelector('article.crud .message').innerText == '{text}'")).await?;
    browser.click("article.crud button.like").await?;
    browser.until("document.querySelector('article.crud button.like').getAttribute('aria-pressed') == 'true'").await?;
    // Requests of other scripts work, too.
    let response =
        browser.eval("return fetch('/api/users').then(r => r.json()).then(users => users.users.length)").await?;
    anyhow::ensure!(response.as_u64().is_some_and(|users| users > 0), "a script received {response}");
    browser.click("nav a[href='/notifications']").await?;
    browser.until("document.querySelector('main h1').innerText == 'Notifications'").await?;
    let uncaught = browser.eval("return __uncaught").await?;
    anyhow::ensure!(uncaught == serde_json::json!([]), "uncaught: {uncaught}");
    // Records that could not be sent when the page was left are sent by the next page.
    browser.driver.goto("about:blank").await?;
    browser.home(&site.server.base()).await?;

    let written = eventually(async || {
        let requests = site.api.spans(|span| span.kind == SpanKind::Client && span.name == "POST /api/activities");
        (requests.await.ok()?.len() == 1).then_some(())
    });
    if fault.is_traced && written.await.is_none() {
        let all: Vec<_> = site.api.all().await?.iter().map(outline).collect();
        anyhow::bail!("the request of the new message is not reported:\n{}", all.join("\n"));
    }
    Ok(())
}

#[tokio::test]
async fn cruddur_works_in_browsers_with_missing_or_broken_apis() -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for fault in FAULTS {
        // Each fault has its own server and browser, so that they do not influence each other.
        let site = Site::start(&ServerOptions::default())?;
        let browser = Browser::start().await?;
        browser.add_script(RECORD_UNCAUGHT).await?;
        browser.add_script(&format!("{} window.__is_broken = true;", fault.script)).await?;
        if let Err(error) = check_fault(&site, &browser, &fault).await {
            failures.push(format!("{}: {error:#}", fault.name));
        }
        browser.quit().await?;
    }
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), FAULTS.len(), failures.join("\n"));
    Ok(())
}
