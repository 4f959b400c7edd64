//! Sends the same requests through every layer and compares the telemetry. Ours must be correct in every row; the
//! results of the others are printed: `cargo test -p throughline-bench-server --test correctness -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "test code")]

mod probe;
mod requests;

use opentelemetry::trace::Status;
use throughline_bench_server::subject::Subject;

use crate::{
    probe::{Probe, has, is_described, text},
    requests::{PARENT, Seen},
};

/// One property and its correct value.
struct Row {
    property: &'static str,
    correct: &'static str,
    actual: fn(&Seen) -> String,
}

fn yes(condition: bool) -> String {
    if condition { "yes" } else { "–" }.to_owned()
}

const ROWS: [Row; 23] = [
    Row { property: "route of a match", correct: "template", actual: |seen| route(&seen.ok, "template") },
    Row { property: "`http.route` on 404", correct: "omitted", actual: |seen| route(&seen.not_found, "set") },
    Row { property: "status on 400", correct: "Unset", actual: |seen| status(&seen.bad_request) },
    Row { property: "status on 500", correct: "Error", actual: |seen| status(&seen.broken) },
    Row { property: "`error.type` on 5xx", correct: "yes", actual: |seen| yes(has(&seen.broken, "error.type")) },
    Row { property: "unknown method", correct: "`_OTHER` + original", actual: unknown_method },
    Row {
        property: "method as a metric label",
        correct: "bounded",
        actual: |seen| {
            let raw = seen.labels.iter().any(|label| label.contains("BREW"));
            if seen.labels.is_empty() {
                "no metric"
            } else if raw {
                "raw"
            } else {
                "bounded"
            }
            .to_owned()
        },
    },
    Row { property: "`client.address` behind a proxy", correct: "client", actual: |seen| client(&seen.forwarded) },
    Row {
        property: "scheme behind a proxy",
        correct: "https",
        actual: |seen| text(&seen.forwarded, "url.scheme").unwrap_or_else(|| "–".to_owned()),
    },
    Row {
        property: "`network.peer.address` behind a proxy",
        correct: "yes",
        actual: |seen| yes(has(&seen.forwarded, "network.peer.address")),
    },
    Row { property: "`server.address`", correct: "yes", actual: |seen| yes(has(&seen.ok, "server.address")) },
    Row { property: "recorded headers", correct: "none", actual: headers },
    Row {
        property: "query redaction",
        correct: "yes",
        actual: |seen| yes(has(&seen.secrets, "url.query") && !format!("{:?}", seen.secrets).contains("query-secret")),
    },
    Row {
        property: "cancelled request",
        correct: "Error + type",
        actual: |seen| {
            let kind = if has(&seen.cancelled, "error.type") { " + type" } else { "" };
            status(&seen.cancelled) + kind
        },
    },
    Row {
        property: "active requests after cancellation",
        correct: "0",
        actual: |seen| seen.active.map_or_else(|| "no metric".to_owned(), |active| active.to_string()),
    },
    Row { property: "duration histogram", correct: "yes", actual: |seen| yes(!seen.labels.is_empty()) },
    Row { property: "body sizes as metrics", correct: "yes", actual: |seen| yes(seen.has_body_sizes) },
    Row { property: "span ends with the body", correct: "yes", actual: |seen| yes(seen.streamed_to_the_end) },
    Row { property: "server-sent events", correct: "yes", actual: |seen| yes(seen.events_to_the_end) },
    Row { property: "upgrade", correct: "yes", actual: |seen| yes(seen.upgraded_to_the_end) },
    Row {
        property: "panic",
        correct: "500, exception",
        actual: |seen| {
            let exception =
                seen.panic.as_ref().is_some_and(|span| span.events.iter().any(|event| event.name == "exception"));
            format!("{}{}", seen.panic_response, if exception { ", exception" } else { "" })
        },
    },
    Row { property: "Server-Timing", correct: "yes", actual: |seen| yes(seen.has_server_timing) },
    Row {
        property: "public-endpoint policy",
        correct: "link",
        actual: |seen| {
            let Some(span) = &seen.public else { return "–".to_owned() };
            let links = span.links.iter().any(|link| link.span_context.span_id().to_string() == PARENT[36..52]);
            let is_root = span.parent_span_id == opentelemetry::SpanId::INVALID;
            if links && is_root { "link" } else { "–" }.to_owned()
        },
    },
];

type Span = opentelemetry_sdk::trace::SpanData;

fn route(span: &Span, set: &str) -> String {
    match text(span, "http.route").as_deref() {
        None => "omitted".to_owned(),
        Some("") => "`\"\"`".to_owned(),
        Some(_) => set.to_owned(),
    }
}

fn status(span: &Span) -> String {
    match &span.status {
        Status::Unset => "Unset".to_owned(),
        Status::Ok => "Ok".to_owned(),
        // A cancellation has no status code, so a description is correct with `error.type`.
        Status::Error { .. } if !is_described(span) || has(span, "error.type") => "Error".to_owned(),
        Status::Error { .. } => "Error, described".to_owned(),
    }
}

fn unknown_method(seen: &Seen) -> String {
    let original = if has(&seen.unknown_method, "http.request.method_original") { " + original" } else { "" };
    match text(&seen.unknown_method, "http.request.method").as_deref() {
        Some("_OTHER") => format!("`_OTHER`{original}"),
        Some("BREW") => "raw".to_owned(),
        other => format!("{other:?}"),
    }
}

fn client(span: &Span) -> String {
    match text(span, "client.address").as_deref() {
        None => "–".to_owned(),
        Some("192.0.2.7") => "client".to_owned(),
        Some(address) if address.starts_with("127.0.0.1") => "peer".to_owned(),
        Some(other) => other.to_owned(),
    }
}

fn headers(seen: &Seen) -> String {
    let recorded = format!("{:?}", seen.secrets);
    let credentials = recorded.contains("cookie-secret") || recorded.contains("authorization-secret");
    let any = seen.secrets.attributes.iter().any(|attribute| attribute.key.as_str().contains(".header."));
    match (any, credentials) {
        (_, true) => "all, including cookie and authorization",
        (true, false) => "some",
        (false, false) => "none",
    }
    .to_owned()
}

#[tokio::test]
async fn throughlines_layer_is_correct_in_every_row() {
    let mut probe = Probe::new();
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(|subject| *subject != Subject::Bare).collect();
    let mut columns = Vec::new();
    for subject in &subjects {
        columns.push(requests::drive(&mut probe, *subject).await);
    }
    print!("| |");
    subjects.iter().for_each(|subject| print!(" {} |", subject.name()));
    println!("\n| --- |{}", " --- |".repeat(subjects.len()));
    let mut wrong = Vec::new();
    for Row { property, correct, actual } in &ROWS {
        print!("| {property} |");
        for (subject, seen) in subjects.iter().zip(&columns) {
            let value = actual(seen);
            print!(" {value} |");
            if subject.is_ours() && value != *correct {
                wrong.push(format!("{}: {property}: {value}, expected {correct}", subject.name()));
            }
        }
        println!();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
