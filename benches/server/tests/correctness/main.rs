//! The same requests through every layer, and what each makes of them. Ours has to be right in every row; the others' answers are
//! printed beside: `cargo test -p throughline-bench-server --test correctness -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod probe;
mod requests;

use opentelemetry::trace::Status;
use throughline_bench_server::subject::Subject;

use crate::{
    probe::{Probe, has, is_described, text},
    requests::{PARENT, Seen},
};

/// One question, and the right answer.
struct Row {
    question: &'static str,
    right: &'static str,
    answer: fn(&Seen) -> String,
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "–" }.to_owned()
}

const ROWS: [Row; 23] = [
    Row { question: "route of a match", right: "template", answer: |seen| route(&seen.ok, "template") },
    Row { question: "`http.route` on 404", right: "omitted", answer: |seen| route(&seen.not_found, "set") },
    Row { question: "status on 400", right: "Unset", answer: |seen| status(&seen.bad_request) },
    Row { question: "status on 500", right: "Error", answer: |seen| status(&seen.broken) },
    Row { question: "`error.type` on 5xx", right: "yes", answer: |seen| yes(has(&seen.broken, "error.type")) },
    Row { question: "unknown method", right: "`_OTHER` + original", answer: unknown_method },
    Row {
        question: "method as a metric label",
        right: "bounded",
        answer: |seen| {
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
    Row { question: "`client.address` behind a proxy", right: "client", answer: |seen| client(&seen.forwarded) },
    Row {
        question: "scheme behind a proxy",
        right: "https",
        answer: |seen| text(&seen.forwarded, "url.scheme").unwrap_or_else(|| "–".to_owned()),
    },
    Row {
        question: "`network.peer.address` behind a proxy",
        right: "yes",
        answer: |seen| yes(has(&seen.forwarded, "network.peer.address")),
    },
    Row { question: "`server.address`", right: "yes", answer: |seen| yes(has(&seen.ok, "server.address")) },
    Row { question: "headers recorded", right: "none", answer: headers },
    Row {
        question: "query redaction",
        right: "yes",
        answer: |seen| yes(has(&seen.secrets, "url.query") && !format!("{:?}", seen.secrets).contains("query-secret")),
    },
    Row {
        question: "cancelled request",
        right: "Error + type",
        answer: |seen| {
            let kind = if has(&seen.cancelled, "error.type") { " + type" } else { "" };
            status(&seen.cancelled) + kind
        },
    },
    Row {
        question: "active count after that",
        right: "0",
        answer: |seen| seen.active.map_or_else(|| "no metric".to_owned(), |active| active.to_string()),
    },
    Row { question: "duration histogram", right: "yes", answer: |seen| yes(!seen.labels.is_empty()) },
    Row { question: "sizes of bodies, as metrics", right: "yes", answer: |seen| yes(seen.has_body_sizes) },
    Row { question: "span ends with the body", right: "yes", answer: |seen| yes(seen.streamed_to_the_end) },
    Row { question: "server-sent events", right: "yes", answer: |seen| yes(seen.events_to_the_end) },
    Row { question: "upgrade", right: "yes", answer: |seen| yes(seen.upgraded_to_the_end) },
    Row {
        question: "panic",
        right: "500, exception",
        answer: |seen| {
            let exception =
                seen.panic.as_ref().is_some_and(|span| span.events.iter().any(|event| event.name == "exception"));
            format!("{}{}", seen.panic_answer, if exception { ", exception" } else { "" })
        },
    },
    Row { question: "Server-Timing", right: "yes", answer: |seen| yes(seen.has_server_timing) },
    Row {
        question: "public-endpoint policy",
        right: "link",
        answer: |seen| {
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
        // What a cancellation is, no status code says.
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
    let told = format!("{:?}", seen.secrets);
    let credentials = told.contains("cookie-secret") || told.contains("authorization-secret");
    let any = seen.secrets.attributes.iter().any(|attribute| attribute.key.as_str().contains(".header."));
    match (any, credentials) {
        (_, true) => "all, cookie and authorization too",
        (true, false) => "some",
        (false, false) => "none",
    }
    .to_owned()
}

#[tokio::test]
async fn our_column_is_right_in_every_row() {
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
    for Row { question, right, answer } in &ROWS {
        print!("| {question} |");
        for (subject, seen) in subjects.iter().zip(&columns) {
            let given = answer(seen);
            print!(" {given} |");
            if subject.is_ours() && given != *right {
                wrong.push(format!("{}: {question}: {given}, {right} is right", subject.name()));
            }
        }
        println!();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
