//! Prints the spans of SQLite statements: `cargo run -p throughline-rusqlite --example traced_statements`.

use std::error::Error;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use rusqlite::{Connection, params};
use throughline_rusqlite::{Statement, TracedConnection};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

const INSERT: Statement = Statement::new("INSERT", "users", "INSERT INTO users VALUES (?1, ?2)");
const NAMES: Statement = Statement::new("SELECT", "users", "SELECT name FROM users WHERE age > ?1");

fn main() -> Result<(), Box<dyn Error>> {
    // An application has a batch exporter here.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("example"));
    tracing_subscriber::registry().with(spans).try_init()?;

    let connection = Connection::open_in_memory()?;
    connection.execute_batch("CREATE TABLE users (name TEXT UNIQUE, age INTEGER)")?;
    let traced = TracedConnection::new(&connection, "main");
    traced.execute(INSERT, params!["Zoë", 31])?;
    let names: Vec<String> = traced.query(NAMES, params![17], |row| row.get(0))?;
    println!("names: {}", names.join(", "));
    // A statement that fails is recorded with its error.
    if let Err(error) = traced.execute(INSERT, params!["Zoë", 32]) {
        println!("error: {error}");
    }

    // The spans have the text of the statements, without the values of their parameters.
    for span in exporter.get_finished_spans()? {
        println!("span: {} ({:?}), {:?}", span.name, span.span_kind, span.status);
        for attribute in &span.attributes {
            println!("  {}: {}", attribute.key, attribute.value);
        }
    }
    provider.shutdown()?;
    Ok(())
}
