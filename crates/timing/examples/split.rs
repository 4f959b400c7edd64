//! Splits network times into uplink and downlink: `cargo run -p throughline-timing --example split`.

use std::error::Error;

use throughline_timing::{
    ClockSync, DEFAULT_DRIFT_PPM, Exchange, Split, format_estimate, format_ms,
    server_timing::{METRIC, ServerTimes, parse},
};

const MS_NS: i64 = 1_000_000;
/// The server's clock is 3 s ahead of the client's, which neither of them knows.
const AHEAD_NS: i64 = 3_000 * MS_NS;

fn main() -> Result<(), Box<dyn Error>> {
    // When each request was sent, and its uplink, server and downlink times, in milliseconds.
    let requests_ms: [[i64; 4]; 3] = [[0, 60, 5, 20], [1_000, 12, 5, 45], [2_000, 40, 8, 10]];
    let mut clocks = ClockSync::new(DEFAULT_DRIFT_PPM);
    for [sent, uplink, server, downlink] in requests_ms {
        let request_ns = sent * MS_NS;
        let received_ns = request_ns + uplink * MS_NS + AHEAD_NS;
        let responded_ns = received_ns + server * MS_NS;
        let response_ns = responded_ns + downlink * MS_NS - AHEAD_NS;

        // The server sends its two times in a header.
        let instance = "instance-1".to_owned();
        let header = ServerTimes { instance, received_ns, sent_ns: responded_ns, client_span: None }.encode();
        println!("server-timing: {header}");

        // The client reads them, and adds its own two times.
        let metrics = parse(&header);
        let metric = metrics.iter().find(|metric| metric.name == METRIC).ok_or("the header has no times")?;
        let times = metric.desc.as_deref().and_then(ServerTimes::parse).ok_or("the times are invalid")?;
        let exchange = Exchange::new(request_ns, times.received_ns, times.sent_ns, response_ns, 0)?;

        // Every exchange narrows the clock offset, and with it the error of the next split.
        let offset = clocks.observe(&times.instance, &exchange);
        let split = Split::of(&exchange, &offset);
        let estimate = |ns| format_estimate(ms(ns), ms(split.error_ns));
        println!("  network: {} ms, measured", format_ms(ms(split.total_ns)));
        println!("  uplink: {} ms, truly {uplink} ms", estimate(split.uplink_ns));
        println!("  downlink: {} ms, truly {downlink} ms", estimate(split.downlink_ns));
        println!("  {}", split.method.description());
    }
    Ok(())
}

fn ms(ns: i64) -> f64 {
    ns as f64 / MS_NS as f64
}
