//! Every `fetch` of the page is exactly one span, regardless of the caller.

use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{Span, SpanKind, StatusCode, Trace};

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.home(&site.server.base()).await?;
    Ok((site, browser))
}

/// Waits for the trace of a request whose URL ends with `end` and of the server's span, and returns it.
async fn joined(site: &Site, end: &str) -> anyhow::Result<Trace> {
    let is_joined =
        |trace: &Trace| request_span(trace, end).is_some_and(|request| trace.server_span(request).is_some());
    site.api.trace_where(&format!("a request to …{end} with the server's span"), is_joined).await
}

fn request_span<'t>(trace: &'t Trace, end: &str) -> Option<&'t Span> {
    trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.text_ends_with("url.full", end))
}

#[tokio::test]
async fn a_fetch_by_a_script_is_the_parent_of_the_server_span() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let response = browser.eval("return fetch('/api/activities/home?by=script').then(r => r.json())").await?;
    assert!(response["activities"].as_array().is_some_and(|activities| !activities.is_empty()), "{response}");

    let trace = joined(&site, "/api/activities/home?by=script").await?;
    let span = request_span(&trace, "by=script").expect("found above");
    // Cruddur has no templates for requests of other scripts, and a span name never contains a path.
    assert_eq!(span.name, "GET");
    assert!(!span.has("url.template"));
    assert_eq!((span.service.as_str(), span.status), ("cruddur-web", StatusCode::Unset));
    assert_eq!(span.text("http.request.method"), "GET");
    assert_eq!(span.text("url.full"), format!("{}/api/activities/home?by=script", site.server.base()));
    assert_eq!(span.text("server.address"), "127.0.0.1");
    assert_eq!(span.number("server.port"), f64::from(site.server.addr().port()));
    assert_eq!(span.number("http.response.status_code"), 200.0);
    assert!(span.number("http.response.body.size") > 0.0);
    assert_eq!(span.text("network.protocol.version"), "1.1");
    assert!(!span.has("error.type"));
    assert_eq!(span.text("session.id").len(), 32);

    assert_eq!(span.text("throughline.network.quality"), "fine");
    assert!(["measured", "bounded", "assumed_symmetric"].contains(&span.text("throughline.network.method")));
    let figure = |name: &str| span.number(&format!("throughline.network.{name}_ms"));
    assert!(figure("error") >= 0.0);
    assert!((figure("uplink") + figure("downlink") - figure("total")).abs() < 1e-6);
    assert!(span.number("throughline.server.duration_ms") > 0.0);

    let server = trace.server_span(span).expect("found above");
    assert_eq!((server.name.as_str(), server.service.as_str()), ("GET /api/activities/home", "cruddur"));
    assert!(span.warnings.is_empty() && server.warnings.is_empty(), "{}", outline(&trace));

    // It is reported once.
    site.drain(&browser).await?;
    let spans = site.api.spans(|span| span.text_ends_with("url.full", "by=script")).await?;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    browser.quit().await
}

#[tokio::test]
async fn a_request_object_keeps_its_method_headers_and_body() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // As a `Request`, as two arguments, and as a `URL`: all three carry the context and arrive unchanged.
    let script = "const body = JSON.stringify({ message: 'Written by a script.', ttl: '7-days' });
        const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
        const answers = [
            await fetch(new Request('/api/activities?as=object', options)),
            await fetch('/api/activities?as=text', options),
            await fetch(new URL('/api/activities?as=url', location.href), options),
        ];
        return [...answers.map(a => a.status), Object.keys(options).join()];";
    let script = format!("return (async () => {{ {script} }})()");
    assert_eq!(browser.eval(&script).await?, serde_json::json!([201, 201, 201, "method,headers,body"]));
    for kind in ["as=object", "as=text", "as=url"] {
        let trace = joined(&site, kind).await?;
        let span = request_span(&trace, kind).expect("found above");
        assert_eq!(span.name, "POST");
        assert_eq!(span.number("http.response.status_code"), 201.0);
        assert_eq!(trace.server_span(span).map(|server| server.name.as_str()), Some("POST /api/activities"));
    }
    browser.quit().await
}

#[tokio::test]
async fn submitting_a_crud_is_one_request() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.keys("#compose", "Once, and not twice.").await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until("document.querySelector('article.crud .message').innerText == 'Once, and not twice.'").await?;
    // The wrapper and the patched `fetch` see the same request.
    site.drain(&browser).await?;
    let posts = site.api.spans(|span| span.kind == SpanKind::Client && span.is("http.request.method", "POST")).await?;
    assert_eq!(posts.len(), 1, "{posts:#?}");
    assert_eq!(posts[0].name, "POST /api/activities");
    assert_eq!(posts[0].text("url.template"), "/api/activities");
    // The server's span is exported separately.
    joined(&site, "/api/activities").await?;
    let served = site.api.spans(|span| span.kind == SpanKind::Server && span.name == "POST /api/activities").await?;
    assert_eq!(served.len(), 1, "{served:#?}");
    browser.quit().await
}

#[tokio::test]
async fn a_404_is_an_error_for_the_client_only() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let path = "/api/activities/00000000-0000-4000-8000-000000000000";
    let status = browser.eval(&format!("return fetch('{path}').then(r => r.status)")).await?;
    assert_eq!(status, 404);
    let trace = joined(&site, path).await?;
    let span = request_span(&trace, path).expect("found above");
    assert_eq!((span.name.as_str(), span.status), ("GET", StatusCode::Error));
    assert_eq!(span.text("error.type"), "404");
    assert_eq!(span.number("http.response.status_code"), 404.0);
    // For the server span it is not an error.
    let server = trace.server_span(span).expect("found above");
    assert_eq!(server.status, StatusCode::Unset);
    browser.quit().await
}

#[tokio::test]
async fn span_names_never_contain_paths() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    for path in ["/api/users", "/api/nothing-here", "/@mirela", "/livez?x=1"] {
        browser.eval(&format!("return fetch('{path}').then(r => r.text())")).await?;
    }
    site.drain(&browser).await?;
    let requests = site.api.spans(|span| span.kind == SpanKind::Client && span.service == "cruddur-web").await?;
    assert!(requests.len() >= 6, "{requests:#?}");
    for span in requests {
        let expected = match span.value("url.template") {
            Some(_) => format!("{} {}", span.text("http.request.method"), span.text("url.template")),
            None if ["documentFetch", "resourceFetch"].contains(&span.name.as_str()) => span.name.clone(),
            None => span.text("http.request.method").to_owned(),
        };
        assert_eq!(span.name, expected);
    }
    browser.quit().await
}

#[tokio::test]
async fn secrets_in_a_url_are_redacted() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // Passed as arguments, so that no stack trace contains them.
    let (signature, user, password) = ("sEcReTsIgNaTuRe", "sEcReTuSeR", "sEcReTpAsSwOrD");
    browser
        .eval_with(
            "return fetch('/api/activities/home?sig=' + arguments[0] + '&x=1').then(r => r.text())",
            vec![signature.into()],
        )
        .await?;
    // `fetch` rejects a URL with a password, with an error that contains the URL: that must not be recorded either.
    let rejected = browser
        .eval_with(
            "return fetch('http://' + arguments[0] + ':' + arguments[1] + '@' + location.host + '/api/users?with=user')
                .then(() => '', error => error.name)",
            vec![user.into(), password.into()],
        )
        .await?;
    assert_eq!(rejected, "TypeError");
    site.drain(&browser).await?;

    let trace = joined(&site, "/api/activities/home?sig=REDACTED&x=1").await?;
    assert_eq!(trace.count("GET /api/activities/home"), 1, "{}", outline(&trace));
    for span in site.api.spans(|span| span.text_ends_with("url.full", "with=user")).await? {
        assert!(span.text("url.full").starts_with("http://REDACTED:REDACTED@127.0.0.1:"), "{span:#?}");
    }
    let everything = site.all_records().await?;
    for secret in [signature, user, password] {
        assert!(!everything.contains(secret), "{secret} was recorded");
    }
    browser.quit().await
}
