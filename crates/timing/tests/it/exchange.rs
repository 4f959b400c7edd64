use proptest::prelude::*;
use throughline_timing::{ClockSync, Exchange, ExchangeError as E, Interval, Method, Offset, Split};

const MS: i64 = 1_000_000;

fn exchange(t1: i64, t2: i64, t3: i64, t4: i64, quantum: i64) -> Result<Exchange, E> {
    Exchange::new(t1, t2, t3, t4, quantum)
}

fn alone(exchange: &Exchange) -> Offset {
    ClockSync::new(0).observe("a", exchange)
}

#[test]
fn each_error_is_returned() {
    assert_eq!(exchange(0, 0, 0, i64::MAX, 0), Err(E::OutOfRange));
    assert_eq!(exchange(i64::MIN, 0, 0, 0, 0), Err(E::OutOfRange));
    assert_eq!(exchange(0, 0, 0, 1, -1), Err(E::Quantum));
    assert_eq!(exchange(0, 0, 0, 1, 2_000 * MS), Err(E::Quantum));
    assert_eq!(exchange(1, 0, 0, 0, 0), Err(E::ClientOrder));
    assert_eq!(exchange(0, 1, 0, 1, 0), Err(E::ServerOrder));
    assert_eq!(exchange(0, 0, 1_204, 1_000, 100), Err(E::ServerLonger));
}

#[test]
fn a_server_may_exceed_the_client_by_two_quanta_and_drift() {
    let exchange = exchange(0, 0, 1_200, 1_000, 100).unwrap();
    assert_eq!(exchange.network_total_ns(), 0);
    // One second at 100 ppm.
    assert!(Exchange::new(0, 0, 1_000 * MS, 1_000 * MS - 100_000, 0).is_ok());
    assert_eq!(Exchange::new(0, 0, 1_000 * MS, 1_000 * MS - 100_001, 0), Err(E::ServerLonger));
}

#[test]
fn the_total_does_not_depend_on_the_clock_offset() {
    for ahead in [0, 3_000 * MS, -3_600_000 * MS] {
        let exchange = exchange(0, 20 * MS + ahead, 25 * MS + ahead, 65 * MS, 0).unwrap();
        assert_eq!(exchange.network_total_ns(), 60 * MS);
        assert_eq!(exchange.server_ns(), 5 * MS);
        assert_eq!(exchange.offset(), Interval::new(ahead - 40 * MS, ahead + 20 * MS).unwrap());
    }
}

#[test]
fn the_offset_is_extended_by_a_quantum_on_each_side() {
    let exchange = exchange(0, 20, 25, 65, 7).unwrap();
    assert_eq!(exchange.offset(), Interval::new(-47, 27).unwrap());
}

#[test]
fn the_first_exchange_is_split_in_halves() {
    let exchange = exchange(0, 100 * MS, 105 * MS, 125 * MS, 0).unwrap();
    let split = Split::of(&exchange, &alone(&exchange));
    assert_eq!((split.total_ns, split.uplink_ns, split.downlink_ns), (120 * MS, 60 * MS, 60 * MS));
    assert_eq!((split.error_ns, split.method), (60 * MS, Method::AssumedSymmetric));
    assert_eq!((split.offset_ns, split.offset_error_ns), (40 * MS, 60 * MS));
}

#[test]
fn other_exchanges_bound_the_split() {
    let mut sync = ClockSync::new(0);
    // A fast uplink, then a fast downlink: the offset is known to within 4 ms.
    sync.observe("a", &exchange(0, 2 * MS, 3 * MS, 50 * MS, 0).unwrap());
    sync.observe("a", &exchange(100 * MS, 180 * MS, 181 * MS, 183 * MS, 0).unwrap());
    let exchange = exchange(200 * MS, 300 * MS, 305 * MS, 325 * MS, 0).unwrap();
    let offset = sync.observe("a", &exchange);
    assert_eq!(offset.interval, Interval::new(-2 * MS, 2 * MS).unwrap());
    assert!(offset.narrowed);
    let split = Split::of(&exchange, &offset);
    assert_eq!((split.uplink_ns, split.downlink_ns), (100 * MS, 20 * MS));
    assert_eq!((split.error_ns, split.method), (2 * MS, Method::Bounded));
}

#[test]
fn an_error_of_at_most_a_millisecond_is_measured() {
    let fast = exchange(0, MS, MS, 2 * MS, 0).unwrap();
    assert_eq!(Split::of(&fast, &alone(&fast)).method, Method::Measured);
    let slower = exchange(0, MS, MS, 2 * MS + 2, 0).unwrap();
    assert_eq!(Split::of(&slower, &alone(&slower)).method, Method::AssumedSymmetric);
    // The timer's quantum counts twice: for t1 and for the offset.
    let coarse = exchange(0, MS, MS, 2 * MS, 1_000).unwrap();
    assert_eq!(Split::of(&coarse, &alone(&coarse)).error_ns, MS + 2_000);
}

#[test]
fn methods_have_names() {
    let names = [Method::Measured, Method::Bounded, Method::AssumedSymmetric].map(Method::as_str);
    assert_eq!(names, ["measured", "bounded", "assumed_symmetric"]);
}

proptest! {
    #[test]
    fn any_split_adds_up(
        t in any::<[i64; 4]>(), scale in 0_u32..64, quantum in -1..2_000 * MS, lo: i64, hi: i64, narrowed: bool,
    ) {
        let [t1, t2, t3, t4] = t.map(|t| t >> scale);
        if let Ok(exchange) = exchange(t1.min(t4), t2.min(t3), t3.max(t2), t4.max(t1), quantum) {
            let any = Interval::new(lo.min(hi), hi.max(lo)).unwrap();
            for interval in [any, exchange.offset()] {
                let split = Split::of(&exchange, &Offset { interval, narrowed, restarted: false });
                prop_assert!(split.total_ns >= 0);
                prop_assert_eq!(split.uplink_ns + split.downlink_ns, split.total_ns);
                prop_assert!((0..=split.total_ns).contains(&split.uplink_ns));
                prop_assert!(split.error_ns >= 0 && split.offset_error_ns >= 0);
            }
        }
    }
}
