//! Requests to other origins, and requests that are aborted or fail.

use std::{collections::HashMap, time::Duration};

use axum::http::StatusCode as HttpStatus;
use throughline_e2e::{Browser, Foreign, ServerOptions, Site, SpanExt, TraceExt, eventually, outline};
use throughline_inspector_api::{Span, SpanKind, StatusCode};
use tokio::net::TcpListener;

const CONCURRENT: u16 = 20;

/// Starts Cruddur, a browser that allows requests to other origins, and a server with another origin.
async fn start(delays: Vec<(HttpStatus, Duration)>) -> anyhow::Result<(Site, Browser, Foreign)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    // Cruddur's content security policy forbids them.
    browser.bypass_csp().await?;
    browser.home(&site.server.base()).await?;
    Ok((site, browser, Foreign::start(delays).await?))
}

/// Waits for the span of a request to this URL, and returns it.
async fn span_of(site: &Site, url: &str) -> anyhow::Result<Span> {
    let is = |span: &Span| span.kind == SpanKind::Client && span.is("url.full", url);
    let trace = site.api.trace_where(url, |trace| trace.spans.iter().any(is)).await?;
    Ok(trace.one(url, is).clone())
}

fn ms(span: &Span) -> f64 {
    span.duration_ns as f64 / 1e6
}

#[tokio::test]
async fn another_origin_gets_no_header_and_no_preflight() -> anyhow::Result<()> {
    let (site, browser, foreign) = start(Vec::new()).await?;
    let url = format!("{}/plain", foreign.base());
    let text = browser.eval(&format!("return fetch('{url}').then(r => r.text())")).await?;
    assert_eq!(text, "here");

    let span = span_of(&site, &url).await?;
    assert_eq!((span.name.as_str(), span.status), ("GET", StatusCode::Unset));
    assert_eq!(span.text("server.address"), "127.0.0.1");
    assert_eq!(span.number("server.port"), f64::from(foreign.port()));
    assert_eq!(span.number("http.response.status_code"), 200.0);
    // It sends no `Server-Timing`, so there are no network measurements.
    assert!(!span.has("throughline.network.total_ms"), "{span:#?}");

    let requests = foreign.requests();
    let received: Vec<_> = requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
    assert_eq!(received, [("GET", "/plain")]);
    for header in ["traceparent", "tracestate", "baggage"] {
        assert!(!requests[0].headers.contains_key(header), "{header} was sent to another origin: {requests:#?}");
    }
    browser.quit().await
}

#[tokio::test]
async fn a_refused_connection_is_an_error_without_a_status_code() -> anyhow::Result<()> {
    let (site, browser, _foreign) = start(Vec::new()).await?;
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let url = format!("http://{gone}/gone");
    let error = browser.eval(&format!("return fetch('{url}').then(() => '', error => error.name)")).await?;
    assert_eq!(error, "TypeError");
    let span = span_of(&site, &url).await?;
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.text("error.type"), "TypeError");
    assert!(!span.has("http.response.status_code"), "{span:#?}");
    browser.quit().await
}

#[tokio::test]
async fn an_abort_is_not_an_error_but_a_timeout_is() -> anyhow::Result<()> {
    let (site, browser, foreign) = start(Vec::new()).await?;
    let arrived = async |suffix: &str| {
        eventually(async || foreign.requests().iter().any(|request| request.path.ends_with(suffix)).then_some(())).await
    };

    // Aborted before the head of the response.
    let url = format!("{}/hang?until=aborted", foreign.base());
    let script = format!(
        "window.__abort = new AbortController();
         window.__aborted = fetch('{url}', {{ signal: __abort.signal }}).then(() => '', error => error.name);"
    );
    browser.eval(&script).await?;
    arrived("until=aborted").await.expect("the request");
    assert_eq!(browser.eval("__abort.abort(); return __aborted").await?, "AbortError");
    let span = span_of(&site, &url).await?;
    assert_eq!(span.status, StatusCode::Unset, "{span:#?}");
    assert!(!span.has("error.type") && !span.has("http.response.status_code"), "{span:#?}");

    // Aborted with a reason that is not an error.
    let url = format!("{}/hang?for=reason", foreign.base());
    let script = format!(
        "window.__abort = new AbortController();
         window.__aborted = fetch('{url}', {{ signal: __abort.signal }}).then(() => '', reason => reason);"
    );
    browser.eval(&script).await?;
    arrived("for=reason").await.expect("the request");
    assert_eq!(browser.eval("__abort.abort('enough'); return __aborted").await?, "enough");
    let span = span_of(&site, &url).await?;
    assert_eq!(span.status, StatusCode::Unset, "{span:#?}");
    assert!(!span.has("error.type"), "{span:#?}");

    // Aborted in the middle of the body.
    let url = format!("{}/parts?until=aborted", foreign.base());
    let script = format!(
        "window.__abort = new AbortController();
         return fetch('{url}', {{ signal: __abort.signal }}).then(response => {{
             window.__aborted = response.text().then(() => '', error => error.name);
             __abort.abort();
             return __aborted;
         }});"
    );
    assert_eq!(browser.eval(&script).await?, "AbortError");
    let span = span_of(&site, &url).await?;
    assert_eq!(span.status, StatusCode::Unset, "{span:#?}");
    assert!(!span.has("error.type"), "{span:#?}");

    // A timeout, which is an error.
    let url = format!("{}/hang?until=late", foreign.base());
    let script =
        format!("return fetch('{url}', {{ signal: AbortSignal.timeout(100) }}).then(() => '', error => error.name)");
    assert_eq!(browser.eval(&script).await?, "TimeoutError");
    let span = span_of(&site, &url).await?;
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.text("error.type"), "TimeoutError");
    browser.quit().await
}

#[tokio::test]
async fn a_span_lasts_until_the_last_byte() -> anyhow::Result<()> {
    let (site, browser, foreign) = start(Vec::new()).await?;
    let url = format!("{}/parts", foreign.base());
    // `__sent` is not before the span's start, and the time below is read after the head has arrived and before the rest is
    // sent: a span that ended with the head could not last that long.
    let script = format!(
        "const promise = fetch('{url}');
         window.__sent = performance.now();
         return promise.then(response => {{
             window.__text = response.text();
             return response.status;
         }});"
    );
    assert_eq!(browser.eval(&script).await?, 200);
    let least = browser.eval("return performance.now() - __sent").await?.as_f64().expect("should be a number");
    foreign.finish_responses();
    let text = browser.eval("return __text").await?;
    assert!(text.as_str().is_some_and(|text| text.ends_with("and the rest")));
    let span = span_of(&site, &url).await?;
    assert!(ms(&span) >= least, "{} ms, expected at least {least} ms", ms(&span));
    assert_eq!(span.number("http.response.status_code"), 200.0);
    browser.quit().await
}

/// Sends concurrent requests to one URL with different delays, and checks that every span is as long as its own request.
async fn spans_match_their_requests(path: &str) -> anyhow::Result<()> {
    // Every response is identified by its status, and all delays differ clearly.
    let statuses: Vec<_> = (200..).filter(|status| ![204, 205].contains(status)).take(CONCURRENT.into()).collect();
    let delays: Vec<_> = (0..CONCURRENT)
        .zip(&statuses)
        .map(|(n, status)| {
            // 7 and 20 have no common divisor: each delay occurs once, in mixed order.
            let delay = Duration::from_millis(u64::from(n * 7 % CONCURRENT) * 60);
            (HttpStatus::from_u16(*status).expect("a valid status code"), delay)
        })
        .collect();
    let (site, browser, foreign) = start(delays.clone()).await?;
    let url = format!("{}{path}", foreign.base());
    // Without `no-store`, the browser sends requests to one URL one after the other, as it may cache the response.
    let script = format!(
        "const one = async () => {{
             const called = performance.now();
             const response = await fetch('{url}', {{ cache: 'no-store' }});
             await response.text();
             return [response.status, performance.now() - called];
         }};
         return Promise.all(Array.from({{ length: {CONCURRENT} }}, one));"
    );
    let response = browser.eval(&script).await?;
    let most: HashMap<u16, f64> = serde_json::from_value::<Vec<_>>(response)?.into_iter().collect();
    assert_eq!(most.len(), usize::from(CONCURRENT), "{most:?}");

    // A request without timing is reported later than others that ended after it.
    let spans = eventually(async || {
        let spans = site.api.spans(|span| span.is("url.full", &url)).await.ok()?;
        (spans.len() >= usize::from(CONCURRENT)).then_some(spans)
    });
    let spans = spans.await.expect("a span for each request");
    assert_eq!(spans.len(), usize::from(CONCURRENT), "one span for each request");
    let mut wrong = Vec::new();
    for (status, delay) in delays {
        let is = |span: &&Span| span.number("http.response.status_code") == f64::from(status.as_u16());
        let found: Vec<_> = spans.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{status}");
        // The span lasts at least as long as the server's delay, and at most until the page has read the body. If times
        // were mixed up, at least one span would violate one of the two.
        let (least, most) = (delay.as_secs_f64() * 1e3, most[&status.as_u16()]);
        let took = ms(found[0]);
        if took < least - 1.0 || took > most + 1.0 {
            wrong.push(format!("{status}: {took:.1} ms, expected {least:.1}…{most:.1} ms"));
        }
    }
    assert!(wrong.is_empty(), "{} of {CONCURRENT} spans have a wrong duration:\n{}", wrong.len(), wrong.join("\n"));
    browser.quit().await
}

#[tokio::test]
async fn concurrent_requests_to_one_url_have_their_own_durations() -> anyhow::Result<()> {
    spans_match_their_requests("/delayed").await
}

#[tokio::test]
async fn concurrent_requests_without_resource_timing_have_their_own_durations() -> anyhow::Result<()> {
    spans_match_their_requests("/hidden/delayed").await
}

#[tokio::test]
async fn a_truncated_body_is_recorded_once() -> anyhow::Result<()> {
    let (site, browser, foreign) = start(Vec::new()).await?;
    let url = format!("{}/parts?broken", foreign.base());
    let script = format!(
        "return fetch('{url}').then(response => {{
             window.__text = response.text().then(() => '', error => error.name);
             return response.status;
         }});"
    );
    assert_eq!(browser.eval(&script).await?, 200);
    foreign.abort_responses();
    assert_eq!(browser.eval("return __text").await?, "TypeError");
    span_of(&site, &url).await?;
    site.drain(&browser).await?;
    let spans = site.api.spans(|span| span.is("url.full", &url)).await?;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    let trace = site.api.trace_where(&url, |trace| trace.spans.iter().any(|span| span.is("url.full", &url))).await?;
    assert!(trace.spans.iter().all(|span| span.warnings.is_empty()), "{}", outline(&trace));
    browser.quit().await
}

#[tokio::test]
async fn requests_of_every_kind_are_reported_once() -> anyhow::Result<()> {
    let (site, browser, foreign) = start(Vec::new()).await?;
    let (own, other) = (site.server.base(), foreign.base());
    // The URL, the options, and how the response is used.
    let kinds = [
        ("a fragment", format!("{own}/api/users?kind=fragment#part"), "", "r.text()"),
        ("HEAD", format!("{own}/livez?kind=head"), "method: 'HEAD'", "r.text()"),
        ("unread", format!("{own}/api/activities/home?kind=unread"), "", "0"),
        ("copies", format!("{own}/api/users?kind=copied"), "", "Promise.all([r.clone().text(), r.text()])"),
        ("no content", format!("{other}/nothing?kind=nothing"), "", "r.text()"),
        ("opaque", format!("{other}/plain?kind=opaque"), "mode: 'no-cors'", "r.text()"),
        ("moved", format!("{other}/moved?kind=moved"), "", "r.text()"),
        ("hidden", format!("{other}/hidden/plain?kind=hidden"), "", "r.text()"),
        ("cancelled", format!("{other}/large?kind=cancelled"), "", "r.body.cancel()"),
        ("an error", format!("{other}/moved?kind=refused"), "redirect: 'error'", "r.text()"),
    ];
    for (_, url, options, then) in &kinds {
        let script = format!("return fetch('{url}', {{ {options} }}).then(r => {then}).then(() => 'ok', e => e.name)");
        browser.eval(&script).await?;
    }
    let missing = async || {
        let spans = site.api.spans(|span| span.kind == SpanKind::Client && span.name != "resourceFetch").await.ok()?;
        let is_reported = |url: &str| {
            let end = url.split('#').next().and_then(|url| url.split('?').next_back()).unwrap_or_default();
            spans.iter().filter(|span| span.text_ends_with("url.full", end)).count() == 1
        };
        Some(kinds.iter().filter(|(_, url, ..)| !is_reported(url)).map(|(kind, ..)| *kind).collect::<Vec<_>>())
    };
    let all_reported = eventually(async || missing().await.filter(Vec::is_empty));
    assert!(all_reported.await.is_some(), "missing or reported more than once: {:?}", missing().await);
    browser.quit().await
}
