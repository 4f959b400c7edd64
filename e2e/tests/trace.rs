//! One trace from the click to the database row.

use std::collections::HashSet;

use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, outline};
use throughline_inspector_api::{Span, SpanKind, StatusCode, Trace};

fn one<'t>(trace: &'t Trace, what: &str, is: impl Fn(&Span) -> bool) -> &'t Span {
    let found: Vec<_> = trace.spans.iter().filter(|span| is(span)).collect();
    assert_eq!(found.len(), 1, "{what} in\n{}", outline(trace));
    found[0]
}

fn child<'t>(trace: &'t Trace, parent: &Span, name: &str) -> &'t Span {
    one(trace, &format!("`{name}` below `{}`", parent.name), |span| {
        span.parent_span_id.as_deref() == Some(&parent.span_id) && span.name == name
    })
}

/// Checks that there is one root, that every parent exists, and that there are no warnings.
fn is_joined(trace: &Trace) {
    let ids: HashSet<_> = trace.spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), trace.spans.len());
    let roots = trace.spans.iter().filter(|span| span.parent_span_id.is_none()).count();
    assert_eq!(roots, 1, "roots in\n{}", outline(trace));
    for span in &trace.spans {
        let parent = span.parent_span_id.as_deref();
        assert!(parent.is_none_or(|parent| ids.contains(parent)), "orphan {} in\n{}", span.name, outline(trace));
        assert!(span.warnings.is_empty(), "{} in\n{}", span.name, outline(trace));
    }
}

fn is_fetch(span: &Span, method: &str, status: f64) {
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(span.service, "cruddur-web");
    assert_eq!(span.text("http.request.method"), method);
    assert!(span.text("url.full").starts_with("http://127.0.0.1:"));
    assert_eq!(span.text("server.address"), "127.0.0.1");
    assert!(span.number("server.port") > 0.0);
    assert_eq!(span.number("http.response.status_code"), status);
    assert_eq!(span.text("network.protocol.version"), "1.1");
    assert_eq!(span.text("throughline.network.quality"), "fine");
    for key in ["total_ms", "uplink_ms", "downlink_ms", "error_ms"] {
        assert!(span.number(&format!("throughline.network.{key}")) >= 0.0);
    }
    let halves = span.number("throughline.network.uplink_ms") + span.number("throughline.network.downlink_ms");
    assert!((halves - span.number("throughline.network.total_ms")).abs() < 1e-6);
    assert!(span.number("throughline.server.duration_ms") > 0.0);
    assert!(["measured", "bounded", "assumed_symmetric"].contains(&span.text("throughline.network.method")));
    let phases: f64 = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key.starts_with("throughline.phase."))
        .map(|attribute| span.number(&attribute.key))
        .sum();
    assert!((phases - span.duration_ns as f64 / 1e6).abs() < 1e-3, "phases sum to {phases}");
    assert!(span.has("session.id") && span.has("client.address"));
    assert_eq!(span.text("app.user_id"), "andrewbrown");
}

fn is_server(span: &Span, method: &str, route: &str, status: f64) {
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(span.service, "cruddur");
    assert_eq!(span.name, format!("{method} {route}"));
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.text("http.request.method"), method);
    assert_eq!(span.text("http.route"), route);
    assert_eq!(span.text("url.scheme"), "http");
    assert_eq!(span.text("client.address"), "127.0.0.1");
    assert_eq!(span.number("http.response.status_code"), status);
    assert_eq!(span.text("app.user_id"), "andrewbrown");
    assert!(!span.has("error.type"));
}

fn is_statement(span: &Span, operation: &str) {
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(span.text("db.system.name"), "sqlite");
    assert_eq!(span.text("db.operation.name"), operation);
    assert!(span.text("db.query.text").starts_with(operation));
    assert!(span.number("db.response.returned_rows") >= 1.0);
}

#[tokio::test]
async fn opening_home_is_one_trace_with_the_page_load_as_its_root() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;

    let found = site.api.trace_named("documentLoad").await?;
    let trace = site
        .api
        .trace_when(&found.trace_id, |trace| {
            trace.spans.iter().any(|span| span.name == "home-activities")
                && trace.spans.iter().any(|span| span.name == "GET /api/users" && span.service == "cruddur-web")
                && trace
                    .spans
                    .iter()
                    .any(|span| span.name == "GET /api/activities/home" && span.service == "cruddur-web")
                && trace.spans.iter().any(|span| span.name == "GET /")
        })
        .await?;
    println!("open home:\n{}", outline(&trace));
    is_joined(&trace);

    let root = one(&trace, "root", |span| span.parent_span_id.is_none());
    assert_eq!((root.name.as_str(), root.service.as_str()), ("documentLoad", "cruddur-web"));
    assert_eq!(root.text("app.user_id"), "andrewbrown");
    assert!(root.events.iter().any(|event| event.name == "loadEventEnd"));
    let document = child(&trace, root, "documentFetch");
    is_fetch(document, "GET", 200.0);
    is_server(child(&trace, document, "GET /"), "GET", "/", 200.0);

    let fetch = child(&trace, root, "GET /api/activities/home");
    is_fetch(fetch, "GET", 200.0);
    assert_eq!(fetch.text("url.template"), "/api/activities/home");
    let server = child(&trace, fetch, "GET /api/activities/home");
    is_server(server, "GET", "/api/activities/home", 200.0);
    let handler = child(&trace, server, "home-activities");
    assert!(handler.text("app.now").ends_with('Z'));
    let length = handler.number("app.result_length");
    assert!(length >= 5.0);
    assert!(handler.number("app.result_length_bytes") > length * 100.0);
    let statement = child(&trace, handler, "SELECT activities");
    is_statement(statement, "SELECT");
    assert_eq!(statement.number("db.response.returned_rows"), length);

    assert_eq!(browser.violations().await?, serde_json::json!([]));
    browser.quit().await
}

#[tokio::test]
async fn writing_a_crud_is_one_trace_from_the_click_to_the_row() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;

    let text = "Written by a machine, read by people.";
    browser.driver.find(thirtyfour::By::Id("compose")).await?.send_keys(text).await?;
    browser.driver.find(thirtyfour::By::Css("form.composer button[type=submit]")).await?.click().await?;
    browser.until(&format!("document.querySelector('article.crud .message').innerText == '{text}'")).await?;

    // The dock links to the trace.
    let dock_line = "[...document.querySelectorAll('.dock-line')].find(l => l.innerText.includes('POST'))";
    browser.until(dock_line).await?;
    let link = browser.eval(&format!("return {dock_line}.querySelector('a').getAttribute('href')")).await?;
    let trace_id = link.as_str().and_then(|link| link.strip_prefix("/traces/")).expect("a link to a trace").to_owned();

    let trace = site
        .api
        .trace_when(&trace_id, |trace| {
            let names: Vec<_> = trace.spans.iter().map(|span| span.name.as_str()).collect();
            names.contains(&"submit Crud")
                && names.contains(&"create-activity")
                && names.iter().filter(|name| **name == "POST /api/activities").count() == 2
        })
        .await?;
    println!("write a crud:\n{}", outline(&trace));
    is_joined(&trace);
    let root = one(&trace, "root", |span| span.parent_span_id.is_none());
    assert_eq!((root.name.as_str(), root.service.as_str()), ("submit Crud", "cruddur-web"));
    assert_eq!(root.text("app.user_id"), "andrewbrown");
    let fetch = child(&trace, root, "POST /api/activities");
    is_fetch(fetch, "POST", 201.0);
    assert_eq!(fetch.text("app.user_id"), "andrewbrown");
    let server = child(&trace, fetch, "POST /api/activities");
    is_server(server, "POST", "/api/activities", 201.0);
    let handler = child(&trace, server, "create-activity");
    is_statement(child(&trace, handler, "INSERT activities"), "INSERT");

    // The waterfall shows it.
    browser.driver.find(thirtyfour::By::Css(".dock-line a")).await?.click().await?;
    browser.until("location.pathname.startsWith('/traces/')").await?;
    browser.driver.goto(format!("{}/traces/{trace_id}", site.server.base())).await?;
    browser
        .until("[...document.querySelectorAll('[role=row]')].some(r => r.innerText.includes('INSERT activities'))")
        .await?;
    assert_eq!(browser.violations().await?, serde_json::json!([]));

    // Requests to the receiver and to the inspector are not traced.
    for summary in site.api.traces().await? {
        let trace = site.api.trace_when(&summary.trace_id, |_| true).await?;
        for span in &trace.spans {
            for hidden in ["/v1/", "/api/traces", "/traces"] {
                assert!(!span.name.contains(hidden), "{}", outline(&trace));
            }
        }
    }
    browser.quit().await
}
