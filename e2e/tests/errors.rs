//! Errors in the page.

use throughline_e2e::{Browser, RecordExt, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{LogRecord, Trace};

const SOURCE: &str = "throughline.error.source";
const COUNT: &str = "throughline.error.count";
const ERROR: u8 = 17;

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    Ok((site, browser))
}

/// Waits for the exception from this source whose message contains `message` and for the page load, and returns the
/// trace and the record.
async fn exception(site: &Site, source: &str, message: &str) -> anyhow::Result<(Trace, LogRecord)> {
    let is = |log: &&LogRecord| {
        log.event_name == "exception" && log.is(SOURCE, source) && log.text("exception.message").contains(message)
    };
    let is_there = |trace: &Trace| trace.logs.iter().any(|log| is(&log)) && trace.count("documentLoad") == 1;
    let trace = site.api.trace_where(&format!("an exception `{message}` from {source}"), is_there).await?;
    let found: Vec<_> = trace.logs.iter().filter(is).cloned().collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    Ok((trace, found[0].clone()))
}

/// Checks that the record is an error in the span of the page load, as for errors outside of requests and actions.
fn has_page_context(trace: &Trace, log: &LogRecord, kind: &str) {
    assert_eq!((log.severity, log.service.as_str()), (ERROR, "cruddur-web"));
    assert_eq!(log.text("exception.type"), kind);
    assert_eq!(log.text("url.path"), "/");
    let load = trace.one("documentLoad", |span| span.name == "documentLoad");
    assert_eq!(log.span_id.as_ref(), Some(&load.span_id), "{}", outline(trace));
    assert_eq!(log.text("session.id"), load.text("session.id"));
    assert!(!log.has(COUNT), "it is the first with this message");
}

#[tokio::test]
async fn an_uncaught_error_is_reported_with_its_stack() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("__throw('boom of the test')").await?;
    let (trace, log) = exception(&site, "error", "boom of the test").await?;
    has_page_context(&trace, &log, "Error");
    assert!(log.text("exception.stacktrace").contains("thrower"), "{log:#?}");
    browser.quit().await
}

#[tokio::test]
async fn an_unhandled_rejection_is_reported() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("__reject('rejected by the test', 'RangeError')").await?;
    let (trace, log) = exception(&site, "unhandledrejection", "rejected by the test").await?;
    has_page_context(&trace, &log, "RangeError");
    assert!(log.text("exception.stacktrace").contains("RangeError"), "{log:#?}");
    // A rejection with a value that is not an error has no stack.
    browser.eval("__reject('only a text')").await?;
    let (trace, log) = exception(&site, "unhandledrejection", "only a text").await?;
    has_page_context(&trace, &log, "Error");
    assert!(!log.has("exception.stacktrace"));
    browser.quit().await
}

#[tokio::test]
async fn a_missing_image_is_reported_with_a_redacted_url() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("const image = new Image(); image.src = '/missing.png?sig=' + 'sEcReT' + 'pArT'; document.body.append(image)").await?;
    let (trace, log) = exception(&site, "resource", "/missing.png").await?;
    has_page_context(&trace, &log, "resource img");
    assert_eq!(log.text("exception.message"), format!("{}/missing.png?sig=REDACTED", site.server.base()));
    assert!(!log.has("exception.stacktrace"));
    assert!(!site.all_records().await?.contains("sEcReTpArT"));
    browser.quit().await
}

#[tokio::test]
async fn a_violation_of_the_content_security_policy_is_reported() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let script = "const script = document.createElement('script');
        script.textContent = 'window.__ran = true';
        document.body.append(script);";
    browser.eval(script).await?;
    let (trace, log) = exception(&site, "csp", "inline").await?;
    has_page_context(&trace, &log, "SecurityPolicyViolation");
    assert_eq!(log.text("exception.message"), "script-src-elem inline");
    assert_ne!(browser.eval("return window.__ran").await?, true);
    browser.quit().await
}

#[tokio::test]
async fn repeated_errors_are_reported_at_powers_of_two() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("__throw('again and again', 100)").await?;
    browser.eval("__throw('something else')").await?;
    exception(&site, "error", "something else").await?;
    site.drain(&browser).await?;
    let records = site.log_records().await?;
    let is_one = |message: &str| message.contains("again and again");
    let mut counts: Vec<i64> = records
        .iter()
        .filter(|record| record.text_matches("exception.message", is_one))
        .map(|record| match record.attribute(COUNT) {
            Some(throughline_otlp::Value::Int(count)) => *count,
            Some(other) => panic!("{other:?} is not a count"),
            // The first one has no count.
            None => 1,
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64]);
    browser.quit().await
}

#[tokio::test]
async fn an_error_in_an_action_is_reported_in_its_span() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    site.drain(&browser).await?;
    browser
        .add_script(
            "window.__button = () => {
                 const button = document.createElement('button');
                 button.id = 'Fails';
                 button.textContent = 'Fails';
                 button.onclick = () => { throw new Error('failed when clicked'); };
                 document.querySelector('main').prepend(button);
             };",
        )
        .await?;
    browser.home(&site.server.base()).await?;
    site.drain(&browser).await?;
    browser.eval("__button()").await?;
    browser.click("#Fails").await?;
    // An error makes the click an action.
    let is_whole = |trace: &Trace| trace.count("click Fails") == 1 && !trace.events("exception").is_empty();
    let trace = site.api.trace_where("`click Fails` and its error", is_whole).await?;
    let root = trace.root();
    assert_eq!(root.name, "click Fails");
    let [log] = trace.events("exception")[..] else { panic!("{}", outline(&trace)) };
    assert_eq!(log.span_id.as_ref(), Some(&root.span_id));
    assert!(log.text("exception.message").ends_with("failed when clicked"));
    browser.quit().await
}

#[tokio::test]
async fn console_messages_are_not_recorded() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("console.error('logged in private', new Error('logged in private too'))").await?;
    // A handled rejection is not recorded either.
    browser.eval("return Promise.reject(new Error('handled in private')).catch(() => 0)").await?;
    site.drain(&browser).await?;
    let everything = site.all_records().await?;
    assert!(!everything.contains("in private"));
    assert!(!site.log_records().await?.iter().any(|record| record.text_matches(SOURCE, |source| source == "console")));
    browser.quit().await
}

#[tokio::test]
async fn an_unhandled_fetch_failure_is_reported_as_one_rejection() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    // From a script of the page: Chromium hides rejections of WebDriver scripts from the page's handlers.
    browser.add_script("window.__ask = url => { setTimeout(() => { fetch(url); }); }").await?;
    browser.bypass_csp().await?;
    browser.home(&site.server.base()).await?;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    browser.eval(&format!("__ask('http://{gone}/gone')")).await?;
    let (trace, log) = exception(&site, "unhandledrejection", "Failed to fetch").await?;
    has_page_context(&trace, &log, "TypeError");
    // The patched `fetch` creates no second promise that rejects.
    site.drain(&browser).await?;
    let all = site.log_records().await?;
    let rejections = all.iter().filter(|record| record.text_matches(SOURCE, |source| source == "unhandledrejection"));
    assert_eq!(rejections.count(), 1);
    browser.quit().await
}
