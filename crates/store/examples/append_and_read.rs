//! Stores two spans and reads them in several ways: `cargo run -p throughline-store --example append_and_read`.

use std::{error::Error, sync::Arc};

use throughline_context::{SpanId, TraceId};
use throughline_otlp::{KeyValue, Resource, Scope, Signal, Span};
use throughline_store::{ListFilter, SinkName, SpanStore as _, Store};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;

    let trace_id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let root = span(trace_id, "00f067aa0ba902b7".parse()?, "GET /orders/{id}");
    let mut child = span(trace_id, "b7ad6b7169203331".parse()?, "SELECT orders");
    child.parent_span_id = Some(root.span_id);

    // It resolves when the spans are on disk. A span that is sent again is stored once.
    for spans in [vec![root.clone(), child], vec![root]] {
        let appended = store.append(spans).await?;
        println!("appended: {} new, {} duplicates", appended.stored, appended.duplicates);
    }

    // The list of traces, with a filter.
    for trace in store.list(ListFilter::default().with_text("orders".to_owned())).await? {
        println!("listed: {} {} with {} spans", trace.trace_id, trace.root_name, trace.span_count);
    }

    // One trace.
    for span in store.trace(trace_id).await? {
        println!("in the trace: {} of {}, {} ms", span.name, span.service_name(), span.duration_ns() / 1_000_000);
    }

    // All spans in the order of commits, from a position that is stored too.
    let cursor = SinkName::new("example")?.cursor(Signal::Traces);
    for (place, span) in store.after(store.cursor(&cursor).await?, 100).await? {
        println!("at position {place}: {}", span.name);
        store.set_cursor(&cursor, place).await?;
    }
    println!("the cursor is now at {}", store.cursor(&cursor).await?);

    store.close().await;
    Ok(())
}

fn span(trace_id: TraceId, span_id: SpanId, name: &str) -> Span {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "shop")], ..Resource::default() };
    let mut span = Span::new(trace_id, span_id, Arc::new(resource), Arc::new(Scope::default()));
    span.name = name.to_owned();
    span.start_ns = 1_700_000_000_000_000_000;
    span.end_ns = span.start_ns + 12_000_000;
    span
}
