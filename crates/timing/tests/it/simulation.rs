//! Simulated requests with known true times: the reported intervals must contain them in every request.

use proptest::prelude::*;
use throughline_timing::{ClockSync, DEFAULT_DRIFT_PPM, Exchange, Split};

const US: i64 = 1_000;
const MS: i64 = 1_000 * US;
const S: i64 = 1_000 * MS;
const EPOCH: i64 = 1_790_000_000 * S;

/// A server's clock relative to the client's true clock.
#[derive(Clone, Copy, Debug)]
struct Server {
    ahead_ns: i64,
    drift_ppm: i64,
}

impl Server {
    fn offset_at(self, client_ns: i64) -> i64 {
        let drift = i128::from(client_ns - EPOCH) * i128::from(self.drift_ppm);
        self.ahead_ns + drift.div_euclid(1_000_000) as i64
    }

    fn reads(self, client_ns: i64) -> i64 {
        client_ns + self.offset_at(client_ns)
    }
}

/// A request: the pause before it, and the duration of each of its parts.
#[derive(Clone, Copy, Debug)]
struct Request {
    gap_ns: i64,
    uplink_ns: i64,
    server_ns: i64,
    downlink_ns: i64,
}

fn durations(max_ns: i64) -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 0..100 * US, 0..5 * MS, 0..max_ns]
}

fn requests() -> impl Strategy<Value = Request> {
    (durations(60 * S), durations(400 * MS), durations(20 * S), durations(400 * MS))
        .prop_map(|(gap_ns, uplink_ns, server_ns, downlink_ns)| Request { gap_ns, uplink_ns, server_ns, downlink_ns })
}

fn quanta() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1), Just(5 * US), Just(100 * US), Just(MS), Just(16_667 * US)]
}

/// Simulates a browser's timer: it returns the current quantum or, with jitter, the next one from a pseudo-random
/// moment in the quantum on. It never goes backwards.
fn read(ns: i64, quantum: i64, jitter: Option<u64>) -> i64 {
    let current = ns.div_euclid(quantum);
    let next = jitter.is_some_and(|seed| {
        let moment = (current as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ns.rem_euclid(quantum) as u64 > moment % quantum as u64
    });
    (current + i64::from(next)) * quantum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn intervals_always_contain_the_true_values(
        ahead_ns in prop_oneof![Just(0), Just(3 * S), Just(-3_600 * S), -S..S],
        drift_ppm in -i64::from(DEFAULT_DRIFT_PPM)..=i64::from(DEFAULT_DRIFT_PPM),
        quantum in quanta(),
        jitter in prop::option::of(any::<u64>()),
        late in any::<bool>(),
        requests in prop::collection::vec(requests(), 1..24),
    ) {
        let server = Server { ahead_ns, drift_ppm };
        let timer = |ns| read(ns, quantum, jitter);
        let mut at = EPOCH;
        let mut seen = Vec::new();
        for request in requests {
            at += request.gap_ns;
            let received = at + request.uplink_ns;
            let sent = received + request.server_ns;
            seen.push((request, at, received, sent, sent + request.downlink_ns));
        }
        if late {
            // In the order in which a page observes them: when they end, and some with a delay.
            seen.sort_by_key(|(request, .., end)| (end / S * (1 + request.gap_ns % 2), *end));
        }

        let mut sync = ClockSync::new(DEFAULT_DRIFT_PPM);
        for (request, t1, t2, t3, t4) in seen {
            let exchange =
                Exchange::new(timer(t1), server.reads(t2), server.reads(t3), timer(t4), quantum);
            prop_assert!(exchange.is_ok(), "{:?}", exchange);
            let exchange = exchange.unwrap();
            let offset = sync.observe("a", &exchange);
            prop_assert!(!offset.restarted);
            for instant in [t1, t2, t3, t4] {
                prop_assert!(offset.interval.contains(server.offset_at(instant)));
            }
            let now = sync.current("a", t4 + S).map(|offset| offset.interval);
            prop_assert!(now.is_some_and(|now| now.contains(server.offset_at(t4 + S))));

            let split = Split::of(&exchange, &offset);
            prop_assert!((split.uplink_ns - request.uplink_ns).abs() <= split.error_ns);
            prop_assert!((split.offset_ns - server.offset_at(t2)).abs() <= split.offset_error_ns);
            // The values are consistent: a request sent at t1 with this uplink is received at t2 by a clock with this
            // offset.
            prop_assert_eq!(split.offset_ns + split.uplink_ns, exchange.t2_ns() - exchange.t1_ns());
            let drift = request.server_ns / 10_000 + 1;
            let total = request.uplink_ns + request.downlink_ns;
            prop_assert!((split.total_ns - total).abs() <= 2 * quantum + drift);
        }
    }

    /// If other requests bound the offset, a slow uplink is not mistaken for a slow downlink.
    #[test]
    fn a_slow_uplink_and_a_slow_downlink_are_distinguished(
        ahead_ns in -3_600 * S..3_600 * S, slow in 50 * MS..400 * MS, up: bool,
    ) {
        let server = Server { ahead_ns, drift_ppm: 0 };
        let mut sync = ClockSync::default();
        for (index, request) in (0_i64..).zip([
            Request { gap_ns: 0, uplink_ns: MS, server_ns: MS, downlink_ns: MS },
            Request {
                gap_ns: S,
                uplink_ns: if up { slow } else { MS },
                server_ns: MS,
                downlink_ns: if up { MS } else { slow },
            },
        ]) {
            let t1 = EPOCH + index * request.gap_ns;
            let t2 = t1 + request.uplink_ns;
            let t3 = t2 + request.server_ns;
            let t4 = t3 + request.downlink_ns;
            let exchange = Exchange::new(t1, server.reads(t2), server.reads(t3), t4, 0).unwrap();
            let split = Split::of(&exchange, &sync.observe("a", &exchange));
            prop_assert!((split.uplink_ns - request.uplink_ns).abs() <= 2 * MS);
        }
    }
}
