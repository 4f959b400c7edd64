//! Reads and writes the headers of trace context and baggage: `cargo run -p throughline-context --example headers`.

use std::error::Error;

use throughline_context::{Baggage, SpanId, TraceParent, TraceState};

fn main() -> Result<(), Box<dyn Error>> {
    // The headers of a request. Each may occur several times, so all of its values are read.
    let traceparent: [&[u8]; 1] = [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"];
    let tracestate: [&[u8]; 1] = [b"congo=t61rcWkgMzE"];
    let members: [&[u8]; 2] = [b"user=Zo%C3%AB", b"plan=pro;source=login"];

    let parent = TraceParent::from_headers(traceparent).ok_or("the request has no valid traceparent")?;
    println!("received:");
    println!("  trace {}, caller {}, sampled: {}", parent.trace_id, parent.parent_id, parent.flags.is_sampled());
    let mut state = TraceState::parse_headers(tracestate)?;
    for (key, value) in state.iter() {
        println!("  tracestate {key} is {value}");
    }
    let mut baggage = Baggage::parse_headers(members);
    for entry in baggage.entries() {
        println!("  baggage {} is {}", entry.key(), entry.value());
    }

    // The span of this service is the parent of the request that it sends.
    let span_id: SpanId = "b7ad6b7169203331".parse()?;
    let own = TraceParent::new(parent.trace_id, span_id, parent.flags);
    state.insert_first("rojo", &span_id.to_string())?;
    baggage.insert("city", "Zürich")?;
    println!("sent:");
    println!("  traceparent: {own}");
    println!("  tracestate: {state}");
    println!("  baggage: {baggage}");

    // An invalid value is an error with the reason.
    if let Err(error) = TraceParent::parse(b"00-00000000000000000000000000000000-00f067aa0ba902b7-01") {
        println!("rejected: {error}");
    }
    Ok(())
}
