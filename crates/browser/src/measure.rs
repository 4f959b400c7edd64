//! Computes phases, network figures and attributes from the browser's timing of a request and the server's times.

use throughline_context::keys;
use throughline_timing::{
    ClockSync, Decomposition, Exchange, ResourceTiming, Segment, Split, decompose, server_timing::ServerTimes,
};

use crate::{attributes::Attributes, summary::Network};

/// The phases and network figures of one request.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) decomposition: Decomposition,
    pub(crate) figures: Option<(Exchange, Split)>,
}

/// Decomposes `start_ns..end_ns` (client clock) and updates `clocks` with the exchange.
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
    /// Returns the network figures in milliseconds, if the server sent its times.
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

    /// Returns the length of each segment with its phase, in milliseconds.
    pub(crate) fn segments_ms(&self) -> Vec<(throughline_timing::Phase, f64)> {
        self.decomposition.segments.iter().map(|segment| (segment.phase, length_ms(segment))).collect()
    }

    /// Sets the attributes for phases and figures.
    pub(crate) fn describe(&self, attributes: &mut Attributes) {
        attributes.text(keys::NETWORK_QUALITY, self.decomposition.quality.as_str());
        let segments = &self.decomposition.segments;
        for (index, segment) in segments.iter().enumerate() {
            // Stall may occur in several segments; their lengths are added up at the first one.
            if segments.iter().take(index).any(|before| before.phase == segment.phase) {
                continue;
            }
            let length: f64 = segments.iter().filter(|one| one.phase == segment.phase).map(length_ms).sum();
            attributes.double(keys::phase_ms(segment.phase.as_str()).as_str(), length);
        }
        if let Some((exchange, split)) = &self.figures {
            for (key, ns) in [
                (keys::NETWORK_TOTAL_MS, split.total_ns),
                (keys::NETWORK_UPLINK_MS, split.uplink_ns),
                (keys::NETWORK_DOWNLINK_MS, split.downlink_ns),
                (keys::NETWORK_ERROR_MS, split.error_ns),
                (keys::SERVER_DURATION_MS, exchange.server_ns()),
                (keys::CLOCK_OFFSET_MS, split.offset_ns),
                (keys::CLOCK_ERROR_MS, split.offset_error_ns),
            ] {
                attributes.double(key, ms(ns));
            }
            attributes.text(keys::NETWORK_METHOD, split.method.as_str());
        }
    }
}

fn length_ms(segment: &Segment) -> f64 {
    ms(segment.end_ns - segment.start_ns)
}

/// Converts nanoseconds to milliseconds.
pub(crate) fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::attributes::tests::decode;

    fn value(attributes: &Attributes, key: &str) -> Option<Value> {
        decode(attributes).into_iter().find(|known| known.key == key)?.value?.value
    }

    fn double(attributes: &Attributes, key: &str) -> Option<f64> {
        match value(attributes, key)? {
            Value::DoubleValue(number) => Some(number),
            _ => None,
        }
    }

    fn text(attributes: &Attributes, key: &str) -> Option<String> {
        match value(attributes, key)? {
            Value::StringValue(text) => Some(text),
            _ => None,
        }
    }

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
    fn network_figures_of_a_request_with_server_times_add_up() {
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
        assert_eq!(double(&attributes, keys::NETWORK_TOTAL_MS), Some(40.0));
        assert_eq!(double(&attributes, &keys::phase_ms("server")), Some(10.0));
        assert_eq!(text(&attributes, keys::NETWORK_METHOD).as_deref(), Some("assumed_symmetric"));
    }

    #[test]
    fn without_server_times_there_are_no_network_figures() {
        let mut clocks = ClockSync::new(100);
        let measured =
            measure(EPOCH, EPOCH + 60 * MS, Some(&timing(2 * MS, 52 * MS, 58 * MS)), None, &mut clocks, 100_000);
        assert!(measured.network().is_none());
        let mut attributes = Attributes::default();
        measured.describe(&mut attributes);
        assert_eq!(text(&attributes, keys::NETWORK_QUALITY).as_deref(), Some("unsynced"));
        assert_eq!(double(&attributes, keys::NETWORK_TOTAL_MS), None);
    }

    #[test]
    fn opaque_timing_is_coarse() {
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
        assert_eq!(text(&attributes, keys::NETWORK_QUALITY).as_deref(), Some("coarse"));
        assert!(measured.network().is_none());
    }
}
