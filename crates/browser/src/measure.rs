//! From the browser's timing of a request and the server's times to phases, figures and attributes.

use throughline_context::keys;
use throughline_timing::{
    ClockSync, Decomposition, Exchange, ResourceTiming, Segment, Split, decompose, server_timing::ServerTimes,
};

use crate::{
    span::{Attributes, Value},
    summary::Network,
};

/// Everything that is known about the time of one request.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) decomposition: Decomposition,
    pub(crate) figures: Option<(Exchange, Split)>,
}

/// Decomposes `start_ns..end_ns` (client clock) and lets `clocks` learn from the exchange.
///
/// `quantum_ns` is the resolution of the client's timer.
pub(crate) fn measure(
    start_ns: i64,
    end_ns: i64,
    timing: Option<&ResourceTiming>,
    server: Option<&ServerTimes>,
    clocks: &mut ClockSync,
    quantum_ns: i64,
) -> Measured {
    let figures = timing.zip(server).and_then(|(timing, server)| {
        if timing.request_start_ns == 0 || timing.response_start_ns == 0 {
            return None;
        }
        let exchange = Exchange::new(
            timing.request_start_ns,
            server.received_ns,
            server.sent_ns,
            timing.response_start_ns,
            quantum_ns,
        )
        .ok()?;
        let offset = clocks.observe(&server.instance, &exchange);
        let split = Split::of(&exchange, &offset);
        Some((exchange, split))
    });
    let decomposition =
        decompose(start_ns, end_ns, timing, figures.as_ref().map(|(exchange, split)| (exchange, split)));
    Measured { decomposition, figures }
}

impl Measured {
    /// The figures for a person.
    pub(crate) fn network(&self) -> Option<Network> {
        self.figures.as_ref().map(|(exchange, split)| Network {
            total_ms: ms(split.total_ns),
            uplink_ms: ms(split.uplink_ns),
            downlink_ms: ms(split.downlink_ns),
            error_ms: ms(split.error_ns),
            method: split.method.as_str(),
            server_ms: ms(exchange.server_ns()),
        })
    }

    /// The length of each phase that occurs, in milliseconds.
    pub(crate) fn segments_ms(&self) -> Vec<(throughline_timing::Phase, f64)> {
        self.decomposition.segments.iter().map(|segment| (segment.phase, length_ms(segment))).collect()
    }

    /// Puts phases and figures on the fetch span.
    pub(crate) fn describe(&self, attributes: &mut Attributes) {
        attributes.set(keys::NETWORK_QUALITY, self.decomposition.quality.as_str());
        for segment in &self.decomposition.segments {
            let key = format!("{}{}_ms", keys::PHASE_PREFIX, segment.phase.as_str());
            // Stall comes in more than one piece; its lengths add up.
            let before = match attributes.get(&key) {
                Some(Value::Double(before)) => *before,
                _ => 0.0,
            };
            attributes.set(key, before + length_ms(segment));
        }
        if let Some((exchange, split)) = &self.figures {
            attributes.set(keys::NETWORK_TOTAL_MS, ms(split.total_ns));
            attributes.set(keys::NETWORK_UPLINK_MS, ms(split.uplink_ns));
            attributes.set(keys::NETWORK_DOWNLINK_MS, ms(split.downlink_ns));
            attributes.set(keys::NETWORK_ERROR_MS, ms(split.error_ns));
            attributes.set(keys::NETWORK_METHOD, split.method.as_str());
            attributes.set(keys::SERVER_DURATION_MS, ms(exchange.server_ns()));
            attributes.set(keys::CLOCK_OFFSET_MS, ms(split.offset_ns));
            attributes.set(keys::CLOCK_ERROR_MS, ms(split.offset_error_ns));
        }
    }
}

fn length_ms(segment: &Segment) -> f64 {
    ms(segment.end_ns - segment.start_ns)
}

/// Nanoseconds as milliseconds.
pub(crate) fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const EPOCH: i64 = 1_700_000_000_000 * MS;

    fn timing(request_start: i64, response_start: i64, response_end: i64) -> ResourceTiming {
        ResourceTiming {
            start_ns: EPOCH,
            fetch_start_ns: EPOCH,
            domain_lookup_start_ns: EPOCH,
            domain_lookup_end_ns: EPOCH,
            connect_start_ns: EPOCH,
            connect_end_ns: EPOCH,
            request_start_ns: EPOCH + request_start,
            response_start_ns: EPOCH + response_start,
            response_end_ns: EPOCH + response_end,
            ..ResourceTiming::default()
        }
    }

    fn server(received: i64, sent: i64) -> ServerTimes {
        ServerTimes {
            instance: "one".to_owned(),
            received_ns: EPOCH + received,
            sent_ns: EPOCH + sent,
            client_span: None,
        }
    }

    #[test]
    fn a_request_with_server_times_has_figures_that_add_up() {
        // Up 30 ms, server 10 ms, down 10 ms; the server's clock is an hour ahead.
        let hour = 3_600_000 * MS;
        let mut clocks = ClockSync::new(100);
        let measured = measure(
            EPOCH,
            EPOCH + 60 * MS,
            Some(&timing(2 * MS, 52 * MS, 58 * MS)),
            Some(&server(hour + 32 * MS, hour + 42 * MS)),
            &mut clocks,
            100_000,
        );
        let network = measured.network().unwrap();
        assert!((network.total_ms - 40.0).abs() < 1e-9);
        assert!((network.server_ms - 10.0).abs() < 1e-9);
        assert!((network.uplink_ms + network.downlink_ms - network.total_ms).abs() < 1e-9);
        assert!((network.uplink_ms - 30.0).abs() <= network.error_ms);
        let sum: f64 = measured.segments_ms().iter().map(|(_, length)| length).sum();
        assert!((sum - 60.0).abs() < 1e-9);

        let mut attributes = Attributes::default();
        measured.describe(&mut attributes);
        assert_eq!(attributes.get(keys::NETWORK_TOTAL_MS), Some(&Value::Double(40.0)));
        assert_eq!(attributes.get(&format!("{}server_ms", keys::PHASE_PREFIX)), Some(&Value::Double(10.0)));
        assert_eq!(attributes.get(keys::NETWORK_METHOD), Some(&Value::from("assumed_symmetric")));
    }

    #[test]
    fn without_server_times_nothing_is_claimed_about_the_network() {
        let mut clocks = ClockSync::new(100);
        let measured =
            measure(EPOCH, EPOCH + 60 * MS, Some(&timing(2 * MS, 52 * MS, 58 * MS)), None, &mut clocks, 100_000);
        assert!(measured.network().is_none());
        let mut attributes = Attributes::default();
        measured.describe(&mut attributes);
        assert_eq!(attributes.get(keys::NETWORK_QUALITY), Some(&Value::from("unsynced")));
        assert_eq!(attributes.get(keys::NETWORK_TOTAL_MS), None);
    }

    #[test]
    fn opaque_timing_is_coarse_and_never_zero() {
        let mut clocks = ClockSync::new(100);
        let measured = measure(
            EPOCH,
            EPOCH + 60 * MS,
            Some(&timing(-EPOCH, -EPOCH, 58 * MS)),
            Some(&server(0, 1)),
            &mut clocks,
            100_000,
        );
        let mut attributes = Attributes::default();
        measured.describe(&mut attributes);
        assert_eq!(attributes.get(keys::NETWORK_QUALITY), Some(&Value::from("coarse")));
        assert!(measured.network().is_none());
    }
}
