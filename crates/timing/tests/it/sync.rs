use proptest::prelude::*;
use throughline_timing::{ClockSync, Exchange, Interval};

const MS: i64 = 1_000_000;
const HOUR: i64 = 3_600_000 * MS;

/// Returns an exchange sent at `at`, with 10 ms in each direction and 0 ms in a server whose clock is `ahead`.
fn ping(at: i64, ahead: i64) -> Exchange {
    let received = at + 10 * MS + ahead;
    Exchange::new(at, received, received, at + 20 * MS, 0).expect("the exchange is valid")
}

#[test]
fn an_unknown_instance_has_no_offset() {
    assert_eq!(ClockSync::default().current("a", 0), None);
}

#[test]
fn instances_have_their_own_clocks() {
    let mut sync = ClockSync::new(0);
    sync.observe("a", &ping(0, 0));
    let offset = sync.observe("b", &ping(0, HOUR));
    assert!(!offset.restarted && !offset.narrowed);
    assert!(sync.current("a", 0).unwrap().interval.contains(0));
    assert!(sync.current("b", 0).unwrap().interval.contains(HOUR));
}

#[test]
fn an_interval_widens_with_age_by_the_drift_rounded_up() {
    let mut sync = ClockSync::new(100);
    // ±10 ms, and 2 µs for the 20 ms that the exchange took.
    let own = 10 * MS + 2_000;
    assert_eq!(sync.observe("a", &ping(0, 0)).interval, Interval::new(-own, own).unwrap());
    let later = |ns| sync.current("a", 20 * MS + ns).unwrap().interval;
    assert_eq!(later(0), Interval::new(-own, own).unwrap());
    assert_eq!(later(1_000 * MS), Interval::new(-own - 100_000, own + 100_000).unwrap());
    assert_eq!(later(1).width_ns(), 2 * own + 2);
    assert_eq!(later(-1_000 * MS), later(1_000 * MS));
}

#[test]
fn a_contradicting_exchange_discards_earlier_ones() {
    let mut sync = ClockSync::new(100);
    sync.observe("a", &ping(0, 0));
    let offset = sync.observe("a", &ping(1_000 * MS, HOUR));
    assert!(offset.restarted && !offset.narrowed);
    assert!(offset.interval.contains(HOUR) && offset.interval.width_ns() < 21 * MS);
    let offset = sync.observe("a", &ping(2_000 * MS, HOUR));
    assert!(!offset.restarted && offset.interval.contains(HOUR));
}

#[test]
fn an_exchange_reported_late_counts_too() {
    let mut sync = ClockSync::new(100);
    sync.observe("a", &ping(10_000 * MS, 0));
    let narrow = Exchange::new(0, MS, MS, 2 * MS, 0).unwrap();
    assert!(!sync.observe("a", &narrow).restarted);
    // 1 ms, its own drift of 200 ns, and 1002 µs for its age of 10,020 ms.
    let now = sync.current("a", 10_020 * MS).unwrap();
    assert!(now.narrowed && now.interval.contains(0));
    assert_eq!(now.interval.half_width_ns(), MS + 200 + 1_001_800);
}

#[test]
fn reset_discards_all_offsets() {
    let mut sync = ClockSync::default();
    sync.observe("a", &ping(0, 0));
    sync.reset();
    assert_eq!(sync.current("a", 0), None);
    assert!(!sync.observe("a", &ping(0, HOUR)).restarted);
}

#[test]
fn the_least_recent_of_more_than_16_instances_is_dropped() {
    let mut sync = ClockSync::default();
    for instance in 0..16 {
        sync.observe(&instance.to_string(), &ping(0, 0));
    }
    sync.observe("0", &ping(0, 0));
    sync.observe("16", &ping(0, 0));
    assert_eq!(sync.current("1", 0), None);
    for instance in [0].into_iter().chain(2..=16) {
        assert!(sync.current(&instance.to_string(), 0).is_some(), "{instance}");
    }
}

#[test]
fn an_overlong_name_gets_an_offset_but_is_not_remembered() {
    let mut sync = ClockSync::new(0);
    let name = "x".repeat(65);
    assert!(sync.observe(&name, &ping(0, HOUR)).interval.contains(HOUR));
    assert_eq!(sync.current(&name, 0), None);
}

proptest! {
    #[test]
    fn any_exchange_can_be_observed(
        exchanges in prop::collection::vec((any::<[i64; 4]>(), 0_u32..64, 0..MS), 0..20), drift: u32, now: i64,
    ) {
        let mut sync = ClockSync::new(drift);
        for (t, scale, quantum) in exchanges {
            let [t1, t2, t3, t4] = t.map(|t| t >> scale);
            if let Ok(exchange) = Exchange::new(t1, t2, t3, t4, quantum) {
                let offset = sync.observe("a", &exchange);
                prop_assert!(offset.interval.width_ns() >= 0);
                prop_assert!(!(offset.narrowed && offset.restarted));
                prop_assert!(sync.current("a", now).is_some());
            }
        }
    }
}
