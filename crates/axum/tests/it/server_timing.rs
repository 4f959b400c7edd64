//! Tests of the `Server-Timing` header.

use axum::{Router, http::HeaderValue, response::AppendHeaders, routing::get};
use throughline_context::TraceParent;
use throughline_timing::server_timing::{METRIC, ServerTimes, parse};

use crate::harness::{Telemetry, Way, exchange, request, serve};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Returns the values of all headers with this name, in order.
fn values<'a>(response: &'a str, name: &str) -> Vec<&'a str> {
    let head = response.split("\r\n\r\n").next().unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn headers_of_the_application_are_kept() {
    for way in Way::BOTH {
        let telemetry = Telemetry::new(way);
        let own =
            || async { AppendHeaders([("server-timing", "db;dur=5"), ("timing-allow-origin", "https://own.example")]) };
        let [a, b] = ["https://a.example", "https://b.example"].map(HeaderValue::from_static);
        let layer = telemetry.layer().timing_allow_origin(a).timing_allow_origin(b);
        let address = serve(Router::new().route("/", get(own)).layer(layer)).await;
        let response = exchange(address, &request("GET", "/", "")).await;
        let timing = values(&response, "server-timing");
        assert_eq!((timing.len(), timing[0]), (2, "db;dur=5"));
        let origins = values(&response, "timing-allow-origin");
        assert_eq!(origins, ["https://own.example", "https://a.example", "https://b.example"]);
    }
}

#[tokio::test]
async fn the_header_has_span_times_and_client_span() {
    for way in Way::BOTH {
        let mut telemetry = Telemetry::new(way);
        let address = serve(Router::new().route("/", get(|| async {})).layer(telemetry.layer())).await;
        let response = exchange(address, &request("GET", "/", &format!("traceparent: {PARENT}\r\n"))).await;
        let span = telemetry.span().await;
        let header = values(&response, "server-timing");
        assert_eq!(header.len(), 1);
        let metrics = parse(header[0]);
        let find = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().desc.clone().unwrap();
        for name in ["traceparent", "trace"] {
            let context = TraceParent::parse(find(name).as_bytes()).unwrap();
            assert_eq!(context.parent_id.to_string(), span.span_context.span_id().to_string());
            assert_eq!(context.trace_id.to_string(), &PARENT[3..35]);
        }
        let times = ServerTimes::parse(&find(METRIC)).unwrap();
        assert_eq!((times.instance.as_str(), times.client_span.as_deref()), ("instance-1", Some(&PARENT[36..52])));
        assert!(times.sent_ns >= times.received_ns);
        // `throughline-timing` defines this format, so its output must be the same.
        assert!(header[0].ends_with(&times.encode()), "{} {}", header[0], times.encode());
        assert!(values(&response, "timing-allow-origin").is_empty(), "other origins are not allowed by default");
    }
}

#[tokio::test]
async fn the_random_flag_is_kept_and_set_for_new_traces() {
    for way in Way::BOTH {
        let telemetry = Telemetry::new(way);
        let address = serve(Router::new().route("/", get(|| async {})).layer(telemetry.layer())).await;
        for (headers, flags) in [(String::new(), "03"), (format!("traceparent: {PARENT}\r\n"), "01")] {
            let response = exchange(address, &request("GET", "/", &headers)).await;
            let metrics = parse(values(&response, "server-timing")[0]);
            let traceparent = metrics.iter().find(|metric| metric.name == "traceparent").unwrap().desc.clone().unwrap();
            assert!(traceparent.ends_with(&format!("-{flags}")), "{traceparent} after `{headers}`");
        }
    }
}
