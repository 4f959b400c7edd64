//! Forwards stored spans to a sink that prints them: `cargo run -p throughline-forward --example own_sink`.

use std::{error::Error, future, sync::Arc};

use throughline_context::{SpanId, TraceId};
use throughline_forward::{Answer, Delivery, ForwardConfig, Records, Sink, Sources, spawn_sink};
use throughline_otlp::{KeyValue, Resource, Scope, Signal, Span};
use throughline_store::{Outbox, SpanStore as _, Store};

/// A sink that prints one line for each span.
#[derive(Debug)]
struct Printer;

impl Sink for Printer {
    type Request = Vec<String>;

    fn endpoint(&self, signal: Signal) -> Option<String> {
        (signal == Signal::Traces).then(|| "standard output".to_owned())
    }

    fn request(&self, records: Records<'_>) -> Result<Vec<String>, String> {
        let Records::Spans(spans) = records else { return Err("only spans can be printed".to_owned()) };
        Ok(spans.iter().map(|span| format!("{} {} of {}", span.trace_id, span.name, span.service_name())).collect())
    }

    fn send(&self, _: Signal, lines: &Vec<String>) -> impl Future<Output = Answer> + Send {
        for line in lines {
            println!("forwarded: {line}");
        }
        // Any other answer has the effect that its documentation describes: a retry, or quarantine.
        future::ready(Answer::Accepted)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let sources = Sources::new(store.clone(), Outbox::open(dir.path())?);
    let forwarder = spawn_sink(sources, Delivery::new("printer".parse()?), Printer, ForwardConfig::default());
    let mut status = forwarder.status(Signal::Traces).ok_or("the sink delivers no spans")?;

    store.append(vec![span()?]).await?;

    let end = status.wait_for(|status| status.delivered == 1).await?.clone();
    println!("{}: {} delivered to {}", end.cursor.as_str(), end.delivered, end.endpoint);
    forwarder.shutdown().await;
    store.close().await;
    Ok(())
}

fn span() -> Result<Span, Box<dyn Error>> {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "shop")], ..Resource::default() };
    let trace_id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let span_id: SpanId = "00f067aa0ba902b7".parse()?;
    let mut span = Span::new(trace_id, span_id, Arc::new(resource), Arc::new(Scope::default()));
    span.name = "GET /orders/{id}".to_owned();
    span.start_ns = 1_700_000_000_000_000_000;
    span.end_ns = span.start_ns + 12_000_000;
    Ok(span)
}
