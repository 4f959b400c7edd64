//! The OpenTelemetry SDKs of other languages, in their own processes: all fields of their spans are stored unchanged.
//!
//! `cargo xtask test --only clients` installs them and passes their location.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use throughline_context::{SpanId, TraceId};
use throughline_e2e::{ServerOptions, Site, required};
use throughline_otlp::{Event, KeyValue, Link, Span, SpanKind, StatusCode, Value};
use throughline_store::{SpanStore as _, Store};
use tokio::process::Command;

const START_NS: u64 = 1_700_000_000_000_000_001;

/// The output of a client.
#[derive(Deserialize)]
struct Sent {
    root: Ids,
    child: Ids,
}

#[derive(Deserialize)]
struct Ids {
    trace_id: String,
    span_id: String,
}

/// A program that sends spans.
#[derive(Clone, Copy, Debug)]
enum Client {
    Python,
    JavaScript,
}

impl Client {
    fn command(self) -> Result<Command> {
        let installed = required("THROUGHLINE_E2E_CLIENTS")?;
        let mut command = match self {
            Self::Python => {
                let mut command = Command::new(installed.join("python/bin/python"));
                command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/python/send.py"));
                command
            }
            Self::JavaScript => {
                let mut command = Command::new("node");
                command.arg(installed.join("js/send.mjs"));
                command
            }
        };
        // Without the test's environment, which may contain OTEL_* variables.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").kill_on_drop(true);
        Ok(command)
    }

    const fn service(self) -> &'static str {
        match self {
            Self::Python => "python-client",
            Self::JavaScript => "js-client",
        }
    }
}

/// Runs a client with a new server and compares the spans in its store with the expected ones.
async fn check_client(client: Client, protocol: &str, compression: &str) -> Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let endpoint = match protocol {
        "grpc" => site.server.grpc_base().context("the gRPC receiver is off")?,
        _ => site.server.otlp_base(),
    };
    let output = client.command()?.args([protocol, &endpoint, compression]).output().await?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{client:?} {protocol}: {stderr}");
    let sent: Sent = serde_json::from_slice(&output.stdout).with_context(|| stderr.into_owned())?;

    // The request was acknowledged, so the spans are stored.
    let store = Store::open(site.data_dir())?;
    let trace_id = TraceId::from_hex(&sent.root.trace_id)?;
    let mut spans = store.trace(trace_id).await?;
    ensure!(spans.len() == 2, "{} spans: {spans:?}", spans.len());
    let (child, root) = (spans.pop().context("expected two spans")?, spans.pop().context("expected two spans")?);

    assert_eq!(root, expected_root(&sent, &root)?);
    assert_eq!(child, expected_child(client, &sent, &child)?);
    let resource = &root.resource;
    assert_eq!(resource.service_name(), client.service());
    assert_eq!(resource.attribute("wholes"), Some(&wholes(&[7, 8])));
    assert_eq!((root.scope.name.as_str(), root.scope.version.as_str()), ("scope", "1.2.3"));
    if matches!(client, Client::Python) {
        assert_eq!(root.scope.attributes, [KeyValue::new("of", "scope")]);
    }
    assert!(Arc::ptr_eq(&root.resource, &child.resource));
    Ok(())
}

fn wholes(numbers: &[i64]) -> Value {
    Value::Array(numbers.iter().copied().map(Value::Int).collect())
}

/// Returns a span with the fields of `stored` that are not compared: resource, scope, and the flags, which differ
/// between SDKs.
fn base_span(ids: &Ids, stored: &Span) -> Result<Span> {
    let (trace_id, span_id) = (TraceId::from_hex(&ids.trace_id)?, SpanId::from_hex(&ids.span_id)?);
    let mut span = Span::new(trace_id, span_id, Arc::clone(&stored.resource), Arc::clone(&stored.scope));
    span.flags = stored.flags;
    Ok(span)
}

fn expected_root(sent: &Sent, stored: &Span) -> Result<Span> {
    let mut span = base_span(&sent.root, stored)?;
    span.name = "root".to_owned();
    span.kind = SpanKind::Server;
    (span.start_ns, span.end_ns) = (START_NS, START_NS + 3_000);
    span.status.code = StatusCode::Ok;
    Ok(span)
}

fn expected_child(client: Client, sent: &Sent, stored: &Span) -> Result<Span> {
    let mut span = base_span(&sent.child, stored)?;
    span.parent_span_id = Some(SpanId::from_hex(&sent.root.span_id)?);
    span.name = "child".to_owned();
    span.kind = SpanKind::Client;
    (span.start_ns, span.end_ns) = (START_NS + 1_000, START_NS + 2_000);
    (span.status.code, span.status.message) = (StatusCode::Error, "it broke".to_owned());
    let list = |values: &[Value]| Value::Array(values.to_vec());
    span.attributes = vec![
        KeyValue::new("text", "grüße 🦀 <b>"),
        KeyValue::new("empty", ""),
        KeyValue::new("yes", true),
        KeyValue::new("no", false),
        KeyValue::new("whole", 42),
        KeyValue::new("negative", -9_007_199_254_740_991),
        KeyValue::new("ratio", 0.5),
        KeyValue::new("texts", list(&["a".into(), "b".into()])),
        KeyValue::new("truths", list(&[true.into(), false.into()])),
        KeyValue::new("wholes", wholes(&[1, 2, 3])),
        KeyValue::new("ratios", list(&[0.5.into(), 1.5.into()])),
        KeyValue::new("nothing", list(&[])),
    ];
    // JavaScript cannot represent this number.
    span.attributes.extend(matches!(client, Client::Python).then(|| KeyValue::new("huge", i64::MAX)));
    let event = |at_ns, name: &str, attributes| Event {
        time_ns: START_NS + at_ns,
        name: name.to_owned(),
        attributes,
        dropped_attributes_count: 0,
    };
    let details =
        vec![KeyValue::new("message", "ouch"), KeyValue::new("loud", true), KeyValue::new("lines", wholes(&[1, 2]))];
    span.events = vec![event(1_500, "warning", details), event(1_600, "again", Vec::new())];
    span.links = vec![Link {
        trace_id: TraceId::from_hex("0af7651916cd43dd8448eb211c80319c")?,
        span_id: SpanId::from_hex("b7ad6b7169203331")?,
        // Python's exporter does not send the trace state.
        trace_state: if matches!(client, Client::Python) { "" } else { "a=b" }.to_owned(),
        flags: stored.links.first().map_or(0, |link| link.flags),
        attributes: vec![KeyValue::new("why", "retry"), KeyValue::new("times", 2)],
        dropped_attributes_count: 0,
    }];
    Ok(span)
}

#[tokio::test]
async fn sdk_of_python_over_http_protobuf() -> Result<()> {
    check_client(Client::Python, "http/protobuf", "none").await?;
    check_client(Client::Python, "http/protobuf", "gzip").await
}

#[tokio::test]
async fn sdk_of_python_over_grpc() -> Result<()> {
    check_client(Client::Python, "grpc", "none").await?;
    check_client(Client::Python, "grpc", "gzip").await
}

#[tokio::test]
async fn sdk_of_javascript_over_http_json() -> Result<()> {
    check_client(Client::JavaScript, "http/json", "none").await?;
    check_client(Client::JavaScript, "http/json", "gzip").await
}

#[tokio::test]
async fn sdk_of_javascript_over_http_protobuf() -> Result<()> {
    check_client(Client::JavaScript, "http/protobuf", "none").await?;
    check_client(Client::JavaScript, "http/protobuf", "gzip").await
}

#[tokio::test]
async fn sdk_of_javascript_over_grpc() -> Result<()> {
    check_client(Client::JavaScript, "grpc", "none").await?;
    check_client(Client::JavaScript, "grpc", "gzip").await
}
