//! Hostile values in telemetry are shown as text.

use std::sync::Arc;

use anyhow::ensure;
use serde_json::json;
use throughline_context::{SpanId, TraceId};
use throughline_e2e::{Browser, ServerOptions, Site};
use throughline_otlp::{
    Encoding, Event, KeyValue, Link, LogRecord, Record, Resource, Scope, Severity, Span, SpanKind, Status, StatusCode,
    Value, encode,
};

/// HTML and script URLs that set `window.__evil` if they are interpreted.
const EVIL: &str = "</script><script>window.__evil=1</script><img src=x onerror='window.__evil=2'>\
                    <a href=\"javascript:window.__evil=3\">go</a>{{7*7}}\u{202e}";

fn evil(kind: &str) -> String {
    format!("{kind} {EVIL}")
}

fn attributes(whose: &str) -> Vec<KeyValue> {
    let nested = Value::Map(vec![KeyValue::new(evil("key"), vec![Value::from(evil("item"))])]);
    vec![
        KeyValue::new(evil(&format!("{whose} key")), evil(&format!("{whose} value"))),
        KeyValue::new("url.full", format!("javascript:window.__evil=4//{}", evil(whose))),
        KeyValue { key: "nested".to_owned(), value: nested },
    ]
}

fn source() -> (Arc<Resource>, Arc<Scope>) {
    let mut resource = Resource { attributes: attributes("resource"), ..Resource::default() };
    resource.attributes.push(KeyValue::new("service.name", evil("service")));
    (Arc::new(resource), Arc::new(Scope { name: evil("scope"), version: evil("version"), ..Scope::default() }))
}

fn span() -> anyhow::Result<Span> {
    let (trace_id, span_id) = (TraceId::from_hex(&"07".repeat(16))?, SpanId::from_hex(&"08".repeat(8))?);
    let (resource, scope) = source();
    let (trace_state, flags, dropped_attributes_count) = (evil("state"), 1, 0);
    let mut span = Span::new(trace_id, span_id, resource, scope);
    span.name = evil("span");
    span.kind = SpanKind::Client;
    (span.start_ns, span.end_ns) = (1_700_000_000_000_000_000, 1_700_000_000_100_000_000);
    span.attributes = attributes("span");
    span.attributes.push(KeyValue::new("app.user_id", evil("user")));
    span.status = Status { code: StatusCode::Error, message: evil("status") };
    span.events = vec![Event {
        time_ns: span.start_ns,
        name: evil("event"),
        attributes: attributes("event"),
        dropped_attributes_count,
    }];
    let attributes = attributes("link");
    span.links = vec![Link { trace_id, span_id, trace_state, flags, attributes, dropped_attributes_count }];
    Ok(span)
}

fn record(span: &Span) -> LogRecord {
    let mut record = LogRecord::new(Arc::clone(&span.resource), Arc::clone(&span.scope));
    (record.trace_id, record.span_id, record.time_ns) = (Some(span.trace_id), Some(span.span_id), span.start_ns);
    (record.severity, record.severity_text) = (Severity::ERROR, evil("severity"));
    (record.event_name, record.body) = (evil("log"), Value::from(evil("body")));
    record.attributes = attributes("log");
    record
}

async fn send<R: Record>(site: &Site, records: &[R]) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(format!("{}{}", site.server.otlp_base(), R::SIGNAL.path()));
    let request = request.header("content-type", Encoding::Protobuf.content_type());
    let response = request.body(encode(records, Encoding::Protobuf)).send().await?;
    ensure!(response.status() == 200, "{}", response.status());
    Ok(())
}

/// Checks that no script ran, no element or link was created, and the content security policy blocked nothing.
async fn is_harmless(browser: &Browser) -> anyhow::Result<()> {
    let script = "return {
        ran: window.__evil ?? null,
        images: document.querySelectorAll('img[src=x], img[src$=\"/x\"]').length,
        scripts: [...document.scripts].filter(script => script.textContent.includes('__evil')).length,
        links: [...document.querySelectorAll('[href], [src]')]
            .filter(element => (element.getAttribute('href') ?? element.getAttribute('src')).trim().startsWith('javascript:')).length,
    }";
    assert_eq!(browser.eval(script).await?, json!({"ran": null, "images": 0, "scripts": 0, "links": 0}));
    assert_eq!(browser.violations().await?, json!([]));
    Ok(())
}

/// Waits until the value is shown as text.
async fn shows(browser: &Browser, kind: &str) -> anyhow::Result<()> {
    browser.until(&format!("document.body.textContent.includes({})", json!(evil(kind)))).await
}

#[tokio::test]
async fn html_and_scripts_in_every_field_are_shown_as_text() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let span = span()?;
    send(&site, std::slice::from_ref(&span)).await?;
    send(&site, &[record(&span)]).await?;
    let browser = Browser::start().await?;
    let base = site.server.base();

    browser.driver.goto(format!("{base}/traces")).await?;
    for kind in ["span", "service"] {
        shows(&browser, kind).await?;
    }
    is_harmless(&browser).await?;

    browser.driver.goto(format!("{base}/traces/{}?span={}", span.trace_id, span.span_id)).await?;
    for kind in
        ["span", "service", "status", "event", "log", "span value", "resource value", "event value", "link value"]
    {
        shows(&browser, kind).await?;
    }
    is_harmless(&browser).await?;

    // The search text is in the URL and in the input field.
    let query = "text=%3Cimg%20src%3Dx%20onerror%3D%22window.__evil%3D5%22%3E";
    browser.driver.goto(format!("{base}/traces?{query}")).await?;
    browser.until("[...document.querySelectorAll('input')].some(input => input.value.includes('<img'))").await?;
    is_harmless(&browser).await?;
    browser.quit().await
}
