//! Tests of statements on a real database, with spans from the real SDK.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use rusqlite::{Connection, params};
use throughline_rusqlite::{Statement, TracedConnection};
use tracing_subscriber::{Registry, layer::SubscriberExt};

const INSERT: Statement = Statement::new("INSERT", "users", "INSERT INTO users VALUES (?1, ?2)");
const SELECT: Statement = Statement::new("SELECT", "users", "SELECT name FROM users WHERE age > ?1");

/// Runs `work` on a database with one table. Returns the ended spans.
fn spans_of(work: impl FnOnce(TracedConnection<'_>)) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber = Registry::default().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE users (name TEXT UNIQUE, age INTEGER)").unwrap();
    tracing::subscriber::with_default(subscriber, || work(TracedConnection::new(&connection, "people")));
    exporter.get_finished_spans().unwrap()
}

fn text(span: &SpanData, key: &str) -> String {
    let mut found = span.attributes.iter().filter(|attribute: &&KeyValue| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| attribute.value.to_string());
    assert!(found.next().is_none(), "duplicate {key}");
    value.unwrap_or_default()
}

#[test]
fn a_statement_has_the_attributes_of_the_conventions() {
    let spans = spans_of(|users| {
        assert_eq!(users.execute(INSERT, params!["Andrew", 31]).unwrap(), 1);
        assert_eq!(users.execute(INSERT, params!["Bayko", 27]).unwrap(), 1);
        let names: Vec<String> = users.query(SELECT, params![20], |row| row.get(0)).unwrap();
        assert_eq!(names, ["Andrew", "Bayko"]);
        assert!(users.query(SELECT, params![99], |row| row.get::<_, String>(0)).unwrap().is_empty());
    });
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["INSERT users", "INSERT users", "SELECT users", "SELECT users"]);
    let rows: Vec<_> = spans.iter().map(|span| text(span, "db.response.returned_rows")).collect();
    assert_eq!(rows, ["1", "1", "2", "0"]);
    let span = &spans[2];
    assert_eq!((&span.span_kind, &span.status), (&SpanKind::Client, &Status::Unset));
    for (key, value) in [
        ("db.system.name", "sqlite"),
        ("db.namespace", "people"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "users"),
        ("db.query.summary", "SELECT users"),
        ("db.query.text", "SELECT name FROM users WHERE age > ?1"),
        ("db.response.status_code", ""),
        ("error.type", ""),
    ] {
        assert_eq!(text(span, key), value, "{key}");
    }
}

#[test]
fn parameter_values_are_not_recorded() {
    let spans = spans_of(|users| {
        users.execute(INSERT, params!["a secret", 1]).unwrap();
        users.execute(INSERT, params!["a secret", 2]).unwrap_err();
    });
    assert_eq!(spans.len(), 2);
    assert!(!format!("{spans:?}").contains("a secret"), "{spans:?}");
}

#[test]
fn a_failure_has_a_type_a_code_and_a_description() {
    const WRONG: Statement = Statement::new("SELECT", "nowhere", "SELECT 1 FROM nowhere");
    let spans = spans_of(|users| {
        users.execute(INSERT, params!["Andrew", 31]).unwrap();
        users.execute(INSERT, params!["Andrew", 31]).unwrap_err();
        users.query(WRONG, [], |_| Ok(())).unwrap_err();
        users.query(SELECT, params![1], |row| row.get::<_, i64>(0)).unwrap_err();
    });
    let type_and_code = |span: &SpanData| (text(span, "error.type"), text(span, "db.response.status_code"));
    // SQLITE_CONSTRAINT_UNIQUE, SQLITE_ERROR, and an error of rusqlite itself.
    assert_eq!(type_and_code(&spans[1]), ("ConstraintViolation".into(), "2067".into()));
    assert_eq!(type_and_code(&spans[2]), ("Unknown".into(), "1".into()));
    assert_eq!(type_and_code(&spans[3]), ("_OTHER".into(), String::new()));
    for span in &spans[1..] {
        assert!(matches!(&span.status, Status::Error { description } if !description.is_empty()), "{span:?}");
        assert_eq!(text(span, "db.response.returned_rows"), "");
    }
}

#[test]
fn statements_are_children_of_the_current_span() {
    let spans = spans_of(|users| {
        let _outer = tracing::info_span!("outer").entered();
        users.query(SELECT, params![1], |_| Ok(())).unwrap();
        users.untraced().query_row("SELECT 1", [], |_| Ok(())).unwrap();
    });
    let [inner, outer] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(inner.parent_span_id, outer.span_context.span_id());
}
