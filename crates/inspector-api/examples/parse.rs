//! Parses responses of the inspector's API: `cargo run -p throughline-inspector-api --example parse`.

use std::error::Error;

use throughline_inspector_api::{ErrorBody, TraceList};

/// The response to `GET /api/traces`. Nanoseconds are decimal strings, because 64 bits do not fit a JavaScript number.
const LIST: &str = r#"{
    "traces": [{
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "root_name": "click Save",
        "root_service": "shop-web",
        "has_root": true,
        "start_ns": "1700000000000000000",
        "duration_ns": "137000000",
        "span_count": 4,
        "error_count": 0,
        "services": ["shop-web", "shop"],
        "user": "alice",
        "bands": {"network_ms": 120.0, "uplink_ms": 71.5, "downlink_ms": 48.5, "error_ms": 9.0, "server_ms": 12.0}
    }],
    "next_before": null
}"#;

/// The response to a request for a trace that does not exist.
const ERROR: &str = r#"{"error":{"code":"unknown_trace","message":"there is no such trace"}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let list: TraceList = serde_json::from_str(LIST)?;
    for trace in &list.traces {
        println!("{}: {} of {}", trace.trace_id, trace.root_name, trace.root_service);
        println!("  {} ms, {} spans, {} errors", trace.duration_ns / 1_000_000, trace.span_count, trace.error_count);
        println!("  services: {}", trace.services.join(", "));
        if let Some(bands) = &trace.bands {
            println!("  network: {} ms, server: {} ms", bands.network_ms, bands.server_ms);
            println!("  uplink: {} ± {} ms", bands.uplink_ms, bands.error_ms);
        }
    }
    println!("the last page: {}", list.next_before.is_none());

    let body: ErrorBody = serde_json::from_str(ERROR)?;
    println!("error {}: {}", body.error.code, body.error.message);
    Ok(())
}
