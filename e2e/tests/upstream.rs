//! With an API key, spans of the browser and the server arrive upstream as one trace, and the key is exposed nowhere.

use std::{collections::HashSet, time::Duration};

use throughline_e2e::{Browser, FakeHoneycomb, ServerOptions, Site, eventually};
use throughline_otlp::{Span, SpanKind, Value};

const KEY: &str = "hcaik_0123456789abcdefghijklmnopqrstuv";

fn has(span: &Span, key: &str) -> bool {
    span.attribute(key).is_some()
}

#[tokio::test]
async fn one_trace_arrives_upstream_and_the_key_is_not_exposed() -> anyhow::Result<()> {
    let upstream = FakeHoneycomb::start(KEY).await?;
    let env = [
        ("HONEYCOMB_API_KEY", KEY),
        ("HONEYCOMB_API_ENDPOINT", &upstream.endpoint()),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=e2e"),
        ("THROUGHLINE_LOG", "debug"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let site = Site::start(&ServerOptions { env: env.into(), ..ServerOptions::default() })?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('button.like')").await?;
    browser.driver.find(thirtyfour::By::Css("button.like")).await?.click().await?;

    let is_complete = |spans: &[Span]| {
        let fetch = spans.iter().find(|span| span.name.ends_with("/like") && span.kind == SpanKind::Client)?;
        let trace: Vec<_> = spans.iter().filter(|span| span.trace_id == fetch.trace_id).cloned().collect();
        let services: HashSet<_> = trace.iter().map(|span| span.resource.service_name().to_owned()).collect();
        let has_row = trace.iter().any(|span| has(span, "db.query.text"));
        (services.len() == 2 && has_row && trace.iter().any(|span| span.parent_span_id.is_none())).then_some(trace)
    };
    let trace = eventually(async || is_complete(&upstream.spans())).await.expect("the complete trace of the click");

    for span in &trace {
        let browser = span.attribute("throughline.client_reported") == Some(&Value::Bool(true));
        assert_eq!(span.resource.service_name(), if browser { "shop-web" } else { "shop" }, "{}", span.name);
        let environment = span.resource.attribute("deployment.environment.name");
        assert_eq!(environment, Some(&Value::String("e2e".to_owned())), "{}", span.name);
        let parent = span.parent_span_id;
        assert!(parent.is_none_or(|parent| trace.iter().any(|span| span.span_id == parent)), "orphan {}", span.name);
    }
    let fetch = trace.iter().find(|span| has(span, "throughline.network.total_ms")).expect("network measurements");
    for key in ["uplink_ms", "downlink_ms", "error_ms", "method", "quality"] {
        assert!(has(fetch, &format!("throughline.network.{key}")));
    }
    upstream.wait_for(trace.len(), Duration::from_secs(20)).await?;

    // Everything that could contain the key: pages, files, API, log.
    let files = browser.eval("return performance.getEntriesByType('resource').map(e => e.name).join('\\n')").await?;
    let base = site.server.base();
    let mut paths: Vec<String> = files
        .as_str()
        .unwrap_or_default()
        .lines()
        .filter_map(|url| url.strip_prefix(&base).map(str::to_owned))
        .collect();
    paths.retain(|path| !path.starts_with("/v1/") && !path.ends_with("/live") && !path.ends_with("/like"));
    paths.extend(["/", "/traces", "/livez", "/readyz", "/api/traces"].map(str::to_owned));
    paths.push(format!("/api/traces/{}", fetch.trace_id));
    paths.push(format!("/api/traces/{}/otlp", fetch.trace_id));
    let client = reqwest::Client::builder().no_proxy().build()?;
    // The inspector is a separate page with its own files.
    let inspector = client.get(format!("{base}/traces")).header("accept", "text/html").send().await?.text().await?;
    paths.extend(inspector.split(['"', '\'']).filter(|text| text.starts_with("/traces/assets/")).map(str::to_owned));
    assert!(paths.iter().any(|path| path.ends_with(".wasm") && !path.starts_with("/traces/")), "{paths:?}");
    assert!(paths.iter().any(|path| path.ends_with(".wasm") && path.starts_with("/traces/")), "{paths:?}");
    for path in paths {
        let response = client.get(format!("{base}{path}")).header("accept", "text/html").send().await?;
        let headers = format!("{:?}", response.headers());
        let body = response.bytes().await?;
        assert!(!headers.contains(KEY) && !String::from_utf8_lossy(&body).contains(KEY), "the key is in {path}");
    }
    assert!(!site.server.output().contains(KEY), "the key is in the log");
    browser.quit().await
}
