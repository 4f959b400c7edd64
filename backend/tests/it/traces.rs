//! Tests of the traces of the server's own requests.

use cruddur_shared::cruddur::{Feed, NewActivity};
use reqwest::{RequestBuilder, Response, header};
use throughline_inspector_api::{Span, SpanKind, StatusCode, Trace};

use crate::support::{
    Bench, Cruddur as _, Start as _, eventually, is_hex, metric, new_span_id, new_trace_id, read, text, traceparent,
};

/// Sends a request as part of a trace; returns the trace id, the span id of the client, and the response.
async fn send(request: RequestBuilder) -> (String, String, Response) {
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let response = request.header("traceparent", traceparent(&trace_id, &span_id)).send().await.unwrap();
    (trace_id, span_id, response)
}

fn named<'a>(trace: &'a Trace, name: &str) -> &'a Span {
    let names: Vec<&str> = trace.spans.iter().map(|span| span.name.as_str()).collect();
    trace.spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} among {names:?}"))
}

fn attribute(span: &Span, key: &str) -> String {
    text(&span.attributes, key).unwrap_or_else(|| panic!("no {key} on {}", span.name))
}

/// Returns the trace id and the span id of the context in a response.
fn context(response: &Response) -> (String, String) {
    let context = metric(response.headers(), "traceparent").unwrap();
    let parts: Vec<&str> = context.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{context}");
    assert!(is_hex(parts[1], 32) && is_hex(parts[2], 16), "{context}");
    (parts[1].to_owned(), parts[2].to_owned())
}

/// Returns a value of the `throughline` metric: `i` instance, `r` received, `s` sent, `c` the client's span.
fn server_time(response: &Response, key: &str) -> Option<String> {
    let times = metric(response.headers(), "throughline").unwrap();
    times.split(';').find_map(|pair| pair.strip_prefix(&format!("{key}=")).map(str::to_owned))
}

#[tokio::test]
async fn home_is_one_trace_from_the_request_to_the_rows() {
    let bench = Bench::start();
    let (trace_id, caller, response) = send(bench.get("/api/activities/home")).await;
    let body = response.text().await.unwrap();
    let rows = serde_json::from_str::<Feed>(&body).unwrap().activities.len().to_string();

    let trace = bench.trace(&trace_id, 3).await;
    assert_eq!(trace.spans.len(), 3, "{trace:?}");
    let server = named(&trace, "GET /api/activities/home");
    assert_eq!((server.kind, &server.parent_span_id), (SpanKind::Server, &Some(caller)));
    let handler = named(&trace, "home-activities");
    assert_eq!((handler.kind, &handler.parent_span_id), (SpanKind::Internal, &Some(server.span_id.clone())));
    let now = attribute(handler, "app.now").parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    assert!((now - i128::from(server.start_ns)).abs() < 20_000_000_000, "app.now is not the current time");
    assert_eq!(attribute(handler, "app.result_length"), rows);
    assert_eq!(attribute(handler, "app.result_length_bytes"), body.len().to_string());

    let database = trace.spans.iter().find(|span| span.kind == SpanKind::Client).expect("a database span");
    assert_eq!(database.parent_span_id.as_ref(), Some(&handler.span_id));
    assert_eq!(attribute(database, "db.system.name"), "sqlite");
    assert_eq!(attribute(database, "db.operation.name"), "SELECT");
    assert_eq!(
        (database.name.as_str(), attribute(database, "db.query.summary")),
        ("SELECT activities", "SELECT activities".into())
    );
    assert!(attribute(database, "db.query.text").starts_with("SELECT "));
    assert_eq!(attribute(database, "db.response.returned_rows"), rows);

    for span in &trace.spans {
        assert_eq!((span.trace_id.as_str(), span.status), (trace_id.as_str(), StatusCode::Unset));
        assert_eq!(span.service, "cruddur");
    }
    for (inner, outer) in [(handler, server), (database, handler)] {
        assert!(inner.start_ns >= outer.start_ns, "{} starts before {}", inner.name, outer.name);
        let (inner_end, outer_end) = (inner.start_ns + inner.duration_ns, outer.start_ns + outer.duration_ns);
        assert!(inner_end <= outer_end, "{} ends after {}", inner.name, outer.name);
    }
}

#[tokio::test]
async fn writing_a_crud_is_traced_down_to_the_insert() {
    let bench = Bench::start();
    let message = "only its writer's readers shall see this".to_owned();
    let new = NewActivity { message: message.clone(), ttl: Default::default() };
    let (trace_id, _, response) = send(bench.request("POST", "/api/activities").json(&new)).await;
    assert_eq!(response.status(), 201);
    let server = bench.server_span(&trace_id).await;
    assert_eq!(
        (server.name.as_str(), attribute(&server, "http.response.status_code").as_str()),
        ("POST /api/activities", "201")
    );

    let trace = bench.find_trace(&trace_id).await.unwrap();
    let insert = trace
        .spans
        .iter()
        .find(|span| text(&span.attributes, "db.operation.name").is_some_and(|operation| operation == "INSERT"));
    assert!(attribute(insert.expect("a span of the insert"), "db.query.text").starts_with("INSERT "));
    assert!(!format!("{trace:?}").contains(&message), "query texts must not contain values");
    for span in &trace.spans {
        let parent = span.parent_span_id.as_deref().unwrap();
        let known = trace.spans.iter().any(|other| other.span_id == parent);
        assert!(known || span.span_id == server.span_id, "{} is an orphan", span.name);
    }
}

#[tokio::test]
async fn a_server_span_has_the_attributes_of_the_conventions() {
    let bench = Bench::start();
    let cookie = bench.sign_in("yuki").await;
    let request = bench.get("/api/activities/@mirela").header(header::COOKIE, &cookie);
    let (trace_id, ..) = send(request.header(header::USER_AGENT, "tester/1.0")).await;
    let server = bench.server_span(&trace_id).await;
    // The name has the template and not the path, so that there are few names.
    assert_eq!(server.name, "GET /api/activities/@{handle}");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/activities/@{handle}"),
        ("http.response.status_code", "200"),
        ("url.path", "/api/activities/@mirela"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("server.port", &bench.server().addr().port().to_string()),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "tester/1.0"),
        ("app.user_id", "yuki"),
    ] {
        assert_eq!(attribute(&server, key), value, "{key}");
    }
    for key in ["error.type", "http.request.method_original"] {
        assert_eq!(text(&server.attributes, key), None, "{key}");
    }
    assert!(!format!("{server:?}").contains(&cookie), "the cookie was recorded");
}

#[tokio::test]
async fn a_uuid_in_the_path_is_not_in_the_span_name() {
    let bench = Bench::start();
    let crud = bench.crud("", "once").await;
    let (trace_id, ..) = send(bench.get(&format!("/api/activities/{}", crud.uuid))).await;
    assert_eq!(bench.server_span(&trace_id).await.name, "GET /api/activities/{uuid}");
    let (trace_id, ..) = send(bench.request("PUT", &format!("/api/activities/{}/like", crud.uuid))).await;
    assert_eq!(bench.server_span(&trace_id).await.name, "PUT /api/activities/{uuid}/like");
}

#[tokio::test]
async fn the_response_has_context_and_server_times() {
    let bench = Bench::start();
    let (trace_id, caller, response) = send(bench.get("/api/users")).await;
    let (in_response, span_id) = context(&response);
    assert_eq!(in_response, trace_id);
    assert_eq!(metric(response.headers(), "trace"), metric(response.headers(), "traceparent"));
    assert_eq!(server_time(&response, "c"), Some(caller));
    let at_ns = |key| server_time(&response, key).unwrap().parse::<u64>().unwrap();
    let (received_ns, sent_ns) = (at_ns("r"), at_ns("s"));
    assert!(received_ns <= sent_ns);

    let server = bench.server_span(&trace_id).await;
    assert_eq!(server.span_id, span_id);
    assert_eq!(text(&server.resource, "service.instance.id"), server_time(&response, "i"));
    // The span and the header have the same clock.
    assert!(server.start_ns.abs_diff(received_ns) < 1_000_000_000, "{} {received_ns}", server.start_ns);
}

#[tokio::test]
async fn a_request_without_context_is_a_root() {
    let bench = Bench::start();
    let response = bench.get("/api/users").send().await.unwrap();
    let (trace_id, span_id) = context(&response);
    assert_eq!(server_time(&response, "c"), None);
    let server = bench.server_span(&trace_id).await;
    assert_eq!((server.span_id, server.parent_span_id), (span_id, None));
}

#[tokio::test]
async fn a_document_is_the_child_of_a_page_load_with_a_generated_id() {
    let bench = Bench::start();
    for (name, value) in [("accept", "text/html,application/xhtml+xml"), ("sec-fetch-dest", "document")] {
        let response = bench.get("/").header(name, value).send().await.unwrap();
        let (trace_id, span_id) = context(&response);
        let page_load = server_time(&response, "c").expect("the id of the page's span");
        assert!(is_hex(&page_load, 16) && page_load != span_id, "{page_load}");
        let server = bench.server_span(&trace_id).await;
        assert_eq!((&server.span_id, &server.parent_span_id), (&span_id, &Some(page_load)), "{name}");
    }
}

#[tokio::test]
async fn a_request_without_a_route_has_none_and_is_named_by_its_method() {
    let bench = Bench::start();
    for path in ["/api/nope", "/nope.wasm"] {
        let (trace_id, _, response) = send(bench.get(path)).await;
        assert_eq!(response.status(), 404);
        let server = bench.server_span(&trace_id).await;
        assert_eq!((server.name.as_str(), server.status), ("GET", StatusCode::Unset), "{path}");
        assert_eq!(text(&server.attributes, "http.route"), None, "{path}");
        assert_eq!(attribute(&server, "url.path"), path);
        assert_eq!(attribute(&server, "http.response.status_code"), "404");
    }
}

#[tokio::test]
async fn an_unknown_method_is_recorded_as_other() {
    let bench = Bench::start();
    let (trace_id, _, response) = send(bench.request("BREW", "/api/users")).await;
    assert_eq!(response.status(), 405);
    let server = bench.server_span(&trace_id).await;
    assert_eq!(attribute(&server, "http.request.method"), "_OTHER");
    assert_eq!(attribute(&server, "http.request.method_original"), "BREW");
    assert!(server.name == "HTTP" || server.name.starts_with("HTTP "), "{}", server.name);
}

#[tokio::test]
async fn a_malformed_context_is_not_continued() {
    let bench = Bench::start();
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    for malformed in [
        String::new(),
        "nonsense".to_owned(),
        format!("00-{trace_id}-{span_id}"),
        format!("00-{trace_id}-{span_id}-01-more"),
        format!("ff-{trace_id}-{span_id}-01"),
        format!("00-{}-{span_id}-01", "0".repeat(32)),
        format!("00-{trace_id}-{}-01", "0".repeat(16)),
        format!("00-{}-{span_id}-01", trace_id.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
    ] {
        let response = bench.get("/api/users").header("traceparent", &malformed).send().await.unwrap();
        assert_eq!(response.status(), 200, "{malformed}");
        let (in_response, _) = context(&response);
        assert!(!malformed.to_lowercase().contains(&in_response), "{malformed}");
        assert_eq!(bench.server_span(&in_response).await.parent_span_id, None, "{malformed}");
    }
}

#[tokio::test]
async fn two_contexts_are_ignored() {
    let bench = Bench::start();
    let (one, other) = (new_trace_id(), new_trace_id());
    let request = bench.get("/api/users").header("traceparent", traceparent(&one, &new_span_id()));
    let response = request.header("traceparent", traceparent(&other, &new_span_id())).send().await.unwrap();
    let (in_response, _) = context(&response);
    assert!(in_response != one && in_response != other);
}

#[tokio::test]
async fn telemetry_inspector_and_health_requests_are_not_traced() {
    let bench = Bench::start();
    let (trace_id, caller) = (new_trace_id(), new_span_id());
    let parent = traceparent(&trace_id, &caller);
    let unknown = format!("/api/traces/{}", new_trace_id());
    let live = bench.get("/api/traces/live").header("traceparent", &parent).send().await.unwrap();
    assert_eq!(live.status(), 200);
    drop(live);
    for (method, path) in [
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("POST", "/v1/ingest-token"),
        ("POST", "/v1/traces"),
        ("GET", "/v1/traces"),
        ("POST", "/v1/logs"),
        ("GET", "/v1/logs"),
        ("GET", "/api/traces"),
        ("GET", "/api/traces?limit=wrong"),
        ("POST", "/api/traces"),
        ("GET", unknown.as_str()),
        ("GET", &format!("{unknown}/otlp")),
        ("GET", "/api/traces/malformed"),
    ] {
        let response = bench.request(method, path).header("traceparent", &parent).send().await.unwrap();
        assert_eq!(metric(response.headers(), "traceparent"), None, "{method} {path}");
    }
    let trusted = bench.trusted("/v1/traces").header("traceparent", &parent);
    trusted.header(header::CONTENT_TYPE, "application/json").body("{}").send().await.unwrap();

    // Spans of the earlier requests would be stored before this one.
    let canary = bench.get("/api/nope").header("traceparent", &parent).send().await.unwrap();
    assert_eq!(context(&canary).0, trace_id);
    bench.server_span(&trace_id).await;
    let trace = bench.find_trace(&trace_id).await.unwrap();
    let paths: Vec<String> = trace.spans.iter().map(|span| attribute(span, "url.path")).collect();
    assert_eq!(paths, ["/api/nope"]);
    assert_eq!(bench.list(&[]).await.traces.len(), 1, "another trace was stored");
}

#[tokio::test]
async fn the_last_spans_before_a_shutdown_are_stored() {
    let mut bench = Bench::start();
    let (trace_id, ..) = send(bench.get("/api/activities/home")).await;
    assert!(bench.restart().success(), "SIGTERM must end in success");
    let trace = bench.find_trace(&trace_id).await.expect("the trace survives");
    let mut names: Vec<&str> = trace.spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"GET /api/activities/home") && names.contains(&"home-activities"), "{names:?}");
}

#[tokio::test]
async fn each_start_has_its_own_instance_id() {
    let mut bench = Bench::start();
    let before = server_time(&bench.get("/api/users").send().await.unwrap(), "i").unwrap();
    bench.restart();
    let after = server_time(&bench.get("/api/users").send().await.unwrap(), "i").unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn concurrent_requests_have_separate_traces() {
    let bench = Bench::start();
    let handles = ["andrewbrown", "bayko", "mirela", "tomasz", "yuki"];
    let mut cookies = Vec::new();
    for handle in handles {
        cookies.push(bench.sign_in(handle).await);
    }
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..40 {
        let index = number % handles.len();
        let request = bench.get("/api/activities/home").header(header::COOKIE, &cookies[index]);
        sent.spawn(async move {
            let (trace_id, caller, response) = send(request).await;
            assert_eq!(response.status(), 200);
            (trace_id, caller, handles[index])
        });
    }
    for (trace_id, caller, handle) in sent.join_all().await {
        let trace = bench.trace(&trace_id, 3).await;
        assert_eq!(trace.spans.len(), 3, "{trace:?}");
        let server = named(&trace, "GET /api/activities/home");
        assert_eq!((attribute(server, "app.user_id").as_str(), &server.parent_span_id), (handle, &Some(caller)));
        assert_eq!(named(&trace, "home-activities").parent_span_id.as_ref(), Some(&server.span_id));
    }
}

#[tokio::test]
async fn a_rejected_request_has_the_id_of_its_trace() {
    let bench = Bench::start();
    let (trace_id, _, response) = send(bench.get("/api/activities/@nobody")).await;
    let body: throughline_inspector_api::ErrorBody = response.json().await.unwrap();
    assert_eq!(body.error.trace_id.as_ref(), Some(&trace_id));
    let summary = eventually("its summary", async || {
        let list = bench.list(&[("text", &trace_id)]).await;
        list.traces.into_iter().find(|summary| summary.root_name.starts_with("GET "))
    })
    .await;
    assert_eq!((summary.trace_id, summary.error_count, summary.has_root), (trace_id, 0, false));
    let _: throughline_inspector_api::TraceList = read(bench.get("/api/traces")).await;
}
