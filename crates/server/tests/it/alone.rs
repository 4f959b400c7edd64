//! The program without an application: its files, its root, and the spans of its own requests.

use std::collections::BTreeSet;

use reqwest::header;
use throughline_inspector_api::{Receiver, StatusCode};

use crate::support::{Bench, Start as _, metric, new_span_id, new_trace_id, span, text, traceparent};

#[tokio::test]
async fn the_data_directory_has_only_throughlines_files() {
    let mut bench = Bench::start();
    bench.store(&[span(&new_trace_id(), "open")]).await;
    assert!(bench.stop().success());
    let files = std::fs::read_dir(bench.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
    // SQLite may keep or remove the files of its write-ahead log.
    let files: Vec<&str> =
        files.iter().map(String::as_str).filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    assert_eq!(files, ["in-use.lock", "ingest-token.key", "metrics.db", "outbox.db", "traces.db"]);
}

#[tokio::test]
async fn the_root_redirects_to_the_inspector() {
    let bench = Bench::start();
    let response = bench.get("/").header(header::ACCEPT, "text/html").send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()[header::LOCATION]), (307, &"/traces".parse().unwrap()));
    // Neither the redirect nor an unknown path becomes a span.
    assert!(metric(response.headers(), "traceparent").is_none());
    let absent = bench.get("/no/such/page").header(header::ACCEPT, "text/html").send().await.unwrap();
    assert!(metric(absent.headers(), "traceparent").is_none());
}

#[tokio::test]
async fn the_api_returns_the_address_of_the_receiver() {
    let bench = Bench::start();
    let receiver: Receiver = bench.read("/api/traces/receiver").await;
    assert_eq!(receiver.otlp_http, Some(bench.server().otlp_base()));
}

#[tokio::test]
async fn a_traced_request_for_an_unknown_path_becomes_a_span() {
    let mut bench = Bench::start();
    let (trace_id, span_id) = (new_trace_id(), new_span_id());
    let request = bench.get("/no/such/page").header("traceparent", traceparent(&trace_id, &span_id));
    let response = request.send().await.unwrap();
    assert!(metric(response.headers(), "traceparent").unwrap().contains(&trace_id));
    let server = bench.server_span(&trace_id).await;
    assert_eq!((server.name.as_str(), server.service.as_str()), ("GET", "throughline"));
    assert_eq!((server.parent_span_id.as_ref(), server.status), (Some(&span_id), StatusCode::Unset));
    assert_eq!(text(&server.attributes, "http.response.status_code").as_deref(), Some("404"));
    assert_eq!(text(&server.attributes, "http.route"), None);
    let instance = text(&server.resource, "service.instance.id").expect("the resource has service.instance.id");

    // The last spans are sent before the process exits, and the next process has another instance id.
    let last = new_trace_id();
    bench.get("/no/such/page").header("traceparent", traceparent(&last, &span_id)).send().await.unwrap();
    assert!(bench.restart().success());
    assert!(bench.find_trace(&last).await.is_some(), "the last span is lost");
    let next = new_trace_id();
    bench.get("/no/such/page").header("traceparent", traceparent(&next, &span_id)).send().await.unwrap();
    assert_ne!(text(&bench.server_span(&next).await.resource, "service.instance.id"), Some(instance));
}
