//! Malicious requests: their responses, and the state of the server afterwards.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{RequestBuilder, header};
use throughline_context::TraceId;
use throughline_inspector_api::AttributeValue;
use throughline_intake::{IngestToken, IngestTokenKey, SessionId};
use throughline_otlp::{Encoding, KeyValue, Span, encode_traces};

use crate::support::{
    Bench, DEADLINE, Start as _, as_json, eventually, exception, gzip, new_span_id, new_trace_id, now_ns, read, set,
    span,
};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const INGEST_TOKEN: &str = "x-throughline-ingest-token";
const MIB: usize = 1 << 20;
/// The ingest token key of the servers under test, in hex.
const KEY: &str = "2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a";
const SERVICE: &str = "throughline-web";

fn key() -> IngestTokenKey {
    IngestTokenKey::from_bytes([0x2a; 32])
}

fn with_key(args: &[&str]) -> Bench {
    Bench::start_with(args, &[("THROUGHLINE_INGEST_TOKEN_KEY", KEY)])
}

fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

/// Returns an ingest token that was issued `age_s` seconds ago and is valid for 15 minutes from then.
fn ingest_token(key: &IngestTokenKey, number: u8, age_s: u64) -> String {
    let now_s = now_ns() / 1_000_000_000;
    IngestToken::issue(key, session(number), SERVICE, now_s - age_s, Duration::from_mins(15))
}

fn public(bench: &Bench, ingest_token: &str, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = bench.request("POST", "/v1/traces").header(header::CONTENT_TYPE, content_type);
    request.header(INGEST_TOKEN, ingest_token).body(body)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Returns the peak resident memory of the server, in bytes.
fn peak_memory(bench: &Bench) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bench.server().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// Checks that the server is ready and stores spans.
async fn assert_healthy(bench: &Bench) {
    assert_eq!(status(bench.get("/readyz")).await, 200);
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "healthy")]).await;
    assert!(bench.find_trace(&trace_id).await.is_some());
}

#[tokio::test]
async fn forged_expired_and_foreign_ingest_tokens_are_rejected() {
    let bench = with_key(&[]);
    let trace_id = new_trace_id();
    let body = || as_json(&[(&trace_id, &new_span_id(), "open")]);
    let valid = ingest_token(&key(), 1, 0);
    let later = valid.replacen("v1.", "v1.9", 1);
    let other_session = valid.replacen(&session(1).to_string(), &session(2).to_string(), 1);
    assert_ne!(other_session, valid);
    let other_service =
        IngestToken::issue(&key(), session(1), "bank", now_ns() / 1_000_000_000, Duration::from_mins(15));
    let other_key = ingest_token(&IngestTokenKey::from_bytes([1; 32]), 1, 0);
    let other_server = Bench::start();
    let issued: serde_json::Value = read(other_server.request("POST", "/v1/ingest-token")).await;
    let other_server = issued["ingest_token"].as_str().unwrap();
    for wrong in [&later, &other_session, &other_service, &other_key, other_server, &ingest_token(&key(), 1, 901)] {
        assert_eq!(status(public(&bench, wrong, JSON, body())).await, 401, "{wrong}");
    }
    assert!(bench.find_trace(&trace_id).await.is_none());
    assert_eq!(status(public(&bench, &valid, JSON, body())).await, 200, "the valid token is accepted");
}

#[tokio::test]
async fn an_ingest_token_of_another_session_is_rejected() {
    let bench = with_key(&[]);
    let mut own = span(&new_trace_id(), "own");
    set(&mut own, "session.id", &session(1).to_string());
    let mut other = span(&new_trace_id(), "other");
    set(&mut other, "session.id", &session(2).to_string());
    let body = encode_traces(&[own.clone(), other.clone()], Encoding::Protobuf);
    let response = public(&bench, &ingest_token(&key(), 1, 0), PROTOBUF, body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(String::from_utf8_lossy(&response.bytes().await.unwrap()).contains("session.id differs from"));
    assert!(bench.find_trace(&own.trace_id.to_string()).await.is_some());
    assert!(bench.find_trace(&other.trace_id.to_string()).await.is_none());
}

#[tokio::test]
async fn a_rotated_key_is_loaded_and_old_ingest_tokens_stay_valid() {
    let bench = Bench::start();
    let ingest_token = async || -> String {
        let issued: serde_json::Value = read(bench.request("POST", "/v1/ingest-token")).await;
        issued["ingest_token"].as_str().unwrap().to_owned()
    };
    let key_file = bench.data_dir().join("ingest-token.key");
    let (old, old_key) = (ingest_token().await, std::fs::read(&key_file).unwrap());
    let rotated = Command::new(crate::support::binary())
        .args(["rotate-ingest-token-key", "--data-dir"])
        .arg(bench.data_dir())
        .env_clear()
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let new_key: [u8; 32] = std::fs::read(&key_file).unwrap().try_into().unwrap();
    assert_ne!(old_key, new_key);
    // New tokens are signed with the new key once the server has loaded it.
    let new_key = IngestTokenKey::from_bytes(new_key);
    let is_new =
        |ingest_token: &str| IngestToken::verify(&new_key, SERVICE, ingest_token, now_ns() / 1_000_000_000).is_ok();
    eventually("the new key", async || is_new(&ingest_token().await).then_some(())).await;
    assert!(!is_new(&old));
    assert_eq!(status(public(&bench, &old, JSON, "{}")).await, 200);
    assert_eq!(status(public(&bench, &ingest_token().await, JSON, "{}")).await, 200);
}

#[tokio::test]
async fn decompression_bombs_are_rejected() {
    let bench = with_key(&[]);
    let (before, zeros) = (peak_memory(&bench), vec![0; 256 * MIB]);
    let bombs = [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 3).unwrap())];
    drop(zeros);
    for (name, bomb) in &bombs {
        assert!(bomb.len() < 2 * MIB);
        let packed = public(&bench, &ingest_token(&key(), 1, 0), PROTOBUF, bomb.clone());
        assert_eq!(status(packed.header(header::CONTENT_ENCODING, *name)).await, 413, "{name}");
        let packed = bench.trusted("/v1/traces").header(header::CONTENT_TYPE, PROTOBUF);
        assert_eq!(status(packed.header(header::CONTENT_ENCODING, *name).body(bomb.clone())).await, 413, "{name}");
    }
    let grown = peak_memory(&bench) - before;
    assert!(grown < 150 * MIB, "memory grew by {} MiB", grown / MIB);
    assert_healthy(&bench).await;
}

#[tokio::test]
async fn attributes_and_values_are_truncated() {
    let bench = with_key(&[]);
    let mut many = span(&new_trace_id(), "many");
    many.attributes = (0..10_000).map(|number| KeyValue::new(format!("k{number}"), number)).collect();
    let mut large = span(&new_trace_id(), "large");
    large.attributes = vec![KeyValue::new("large", "x".repeat(MIB - 1_000))];
    for (number, sent) in [&many, &large].into_iter().enumerate() {
        let body = encode_traces(std::slice::from_ref(sent), Encoding::Protobuf);
        let ingest_token = ingest_token(&key(), number as u8, 0);
        assert_eq!(status(public(&bench, &ingest_token, PROTOBUF, body)).await, 200);
    }
    let stored = bench.find_trace(&many.trace_id.to_string()).await.unwrap().spans.remove(0);
    let own = stored.attributes.iter().filter(|attribute| attribute.key.starts_with('k')).count();
    assert_eq!(own, 128);
    let stored = bench.find_trace(&large.trace_id.to_string()).await.unwrap().spans.remove(0);
    let AttributeValue::String(text) = &stored.attributes[0].value else { panic!("{stored:?}") };
    assert_eq!(text.len(), 4_096);
    // The body is larger than a page may send.
    large.attributes = vec![KeyValue::new("large", "x".repeat(MIB + 1))];
    let body = encode_traces(&[large], Encoding::Protobuf);
    assert_eq!(status(public(&bench, &ingest_token(&key(), 3, 0), PROTOBUF, body)).await, 413);
}

fn connect(base: &str) -> TcpStream {
    let stream = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads until the server closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // The connection may be reset instead of closed.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Many clients write the whole request before they read the response.
#[tokio::test]
async fn a_client_that_writes_too_much_receives_the_response() {
    let bench = with_key(&[]);
    let head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let trusted = (bench.server().otlp_base(), 20 * MIB, "413");
    let no_ingest_token = (bench.server().base(), 8 * MIB, "401");
    for (base, length, status) in [trusted, no_ingest_token] {
        let mut stream = connect(&base);
        stream.write_all(head("/v1/traces", length).as_bytes()).unwrap();
        let piece = vec![b' '; 64 * 1024];
        for _ in 0..length / piece.len() {
            stream.write_all(&piece).unwrap();
        }
        let response = rest(&mut stream);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[tokio::test]
async fn slow_senders_are_disconnected() {
    let bench = with_key(&["--read-timeout", "0.3"]);
    let addresses = [bench.server().base(), bench.server().otlp_base(), bench.server().grpc_base().unwrap()];
    let beginnings = ["", "P", "POST /v1/traces HTTP/1.1\r\nhost: a\r\nx-slow: ", "PRI * HTTP/2.0\r\n"];
    let mut streams: Vec<_> = addresses
        .iter()
        .flat_map(|base| beginnings.map(|beginning| (base, beginning)))
        .map(|(base, beginning)| {
            let mut stream = connect(base);
            stream.write_all(beginning.as_bytes()).unwrap();
            stream
        })
        .collect();
    let started = Instant::now();
    for stream in &mut streams {
        rest(stream);
    }
    assert!(started.elapsed() < DEADLINE, "the server waited for a slow sender");

    let mut stream = connect(&bench.server().otlp_base());
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: 100\r\n\r\n{{\"re");
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    assert_healthy(&bench).await;
}

#[tokio::test]
async fn a_thousand_connections_do_not_exhaust_the_server() {
    let bench = with_key(&["--read-timeout", "1", "--max-connections", "100"]);
    let before = peak_memory(&bench);
    let base = bench.server().base();
    // The first hundred are accepted; the others wait in the backlog, and some of them time out.
    let mut streams = Vec::new();
    for number in 0..1_000 {
        let address = base.trim_start_matches("http://").parse().unwrap();
        match TcpStream::connect_timeout(&address, Duration::from_millis(if number < 100 { 5_000 } else { 20 })) {
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
                streams.push(stream);
            }
            Err(error) => assert!(number >= 100, "{error}"),
        }
    }
    assert!(streams.len() >= 100);
    // The other listeners accept connections.
    bench.store(&[span(&new_trace_id(), "meanwhile")]).await;
    drop(streams);
    assert_healthy(&bench).await;
    let grown = peak_memory(&bench) - before;
    assert!(grown < 50 * MIB, "memory grew by {} MiB", grown / MIB);
}

#[tokio::test]
async fn a_flood_of_new_trace_ids_is_rate_limited() {
    let bench = with_key(&[]);
    let before = peak_memory(&bench);
    let batch = |first: u64| -> Vec<Span> {
        let like = span(&new_trace_id(), "flood");
        let id = |number: u64| TraceId::from_bytes((u128::from(number) + 1).to_be_bytes()).unwrap();
        (first..first + 512).map(|number| Span { trace_id: id(number), ..like.clone() }).collect()
    };
    let ingest_token = ingest_token(&key(), 1, 0);
    let mut accepted = 0;
    let rejection = loop {
        let body = encode_traces(&batch(accepted), Encoding::Protobuf);
        let response = public(&bench, &ingest_token, PROTOBUF, body).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        accepted += 512;
        assert!(accepted < 20_000, "the rate is not limited");
    };
    assert_eq!(rejection.status(), 429);
    assert!(rejection.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(bench.list(&[("limit", "500")]).await.traces.len(), 500);
    let grown = peak_memory(&bench) - before;
    assert!(grown < 100 * MIB, "memory grew by {} MiB", grown / MIB);
    assert_healthy(&bench).await;
}

/// Markup in records is returned unchanged as JSON, in responses that a browser does not render as a page.
#[tokio::test]
async fn html_and_scripts_in_every_field_are_returned_as_data() {
    const EVIL: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u{2028}\"'`${x}";
    let bench = with_key(&[]);
    let mut sent = span(&new_trace_id(), EVIL);
    sent.status.message = EVIL.to_owned();
    sent.attributes = vec![KeyValue::new(EVIL, EVIL)];
    sent.events = vec![throughline_otlp::Event { name: EVIL.to_owned(), ..Default::default() }];
    sent.resource = std::sync::Arc::new(throughline_otlp::Resource {
        attributes: vec![KeyValue::new("service.name", EVIL), KeyValue::new(EVIL, EVIL)],
        ..Default::default()
    });
    let mut record = exception(&sent, EVIL);
    (record.event_name, record.severity_text) = (EVIL.to_owned(), EVIL.to_owned());
    bench.store(&[sent.clone()]).await;
    bench.store(&[record]).await;
    let trace_id = sent.trace_id.to_string();
    for path in ["/api/traces".to_owned(), format!("/api/traces/{trace_id}"), format!("/api/traces/{trace_id}/otlp")] {
        let response = bench.get(&path).header(header::ACCEPT, "text/html").send().await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], JSON, "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    }
    let trace = bench.find_trace(&trace_id).await.unwrap();
    let shown = &trace.spans[0];
    assert_eq!((shown.name.as_str(), shown.service.as_str(), shown.status_message.as_str()), (EVIL, EVIL, EVIL));
    assert_eq!((shown.attributes[0].key.as_str(), shown.events[0].name.as_str()), (EVIL, EVIL));
    assert_eq!(trace.logs[0].event_name, EVIL);
}
