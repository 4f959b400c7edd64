use proptest::prelude::*;
use throughline_timing::{ClockSync, Exchange, Interval};

const MS: i64 = 1_000_000;
const HOUR: i64 = 3_600_000 * MS;

/// Sent at `at` by a client, 10 ms each way and none in a server that is `ahead`.
fn ping(at: i64, ahead: i64) -> Exchange {
    let received = at + 10 * MS + ahead;
    Exchange::new(at, received, received, at + 20 * MS, 0).expect("an exchange")
}

#[test]
fn nothing_is_known_at_first() {
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
fn age_widens_by_the_drift_rounded_up() {
    let mut sync = ClockSync::new(100);
    // 10 ms wide each way, and 2 µs for the 20 ms that the exchange took.
    let own = 10 * MS + 2_000;
    assert_eq!(sync.observe("a", &ping(0, 0)).interval, Interval::new(-own, own).unwrap());
    let later = |ns| sync.current("a", 20 * MS + ns).unwrap().interval;
    assert_eq!(later(0), Interval::new(-own, own).unwrap());
    assert_eq!(later(1_000 * MS), Interval::new(-own - 100_000, own + 100_000).unwrap());
    assert_eq!(later(1).width_ns(), 2 * own + 2);
    assert_eq!(later(-1_000 * MS), later(1_000 * MS));
}

#[test]
fn a_contradiction_starts_again() {
    let mut sync = ClockSync::new(100);
    sync.observe("a", &ping(0, 0));
    let offset = sync.observe("a", &ping(1_000 * MS, HOUR));
    assert!(offset.restarted && !offset.narrowed);
    assert!(offset.interval.contains(HOUR) && offset.interval.width_ns() < 21 * MS);
    let offset = sync.observe("a", &ping(2_000 * MS, HOUR));
    assert!(!offset.restarted && offset.interval.contains(HOUR));
}

#[test]
fn an_exchange_told_late_counts_too() {
    let mut sync = ClockSync::new(100);
    sync.observe("a", &ping(10_000 * MS, 0));
    let narrow = Exchange::new(0, MS, MS, 2 * MS, 0).unwrap();
    assert!(!sync.observe("a", &narrow).restarted);
    // 1 ms, its own 200 ns, and 1002 µs that it has aged by 10,020 ms.
    let now = sync.current("a", 10_020 * MS).unwrap();
    assert!(now.narrowed && now.interval.contains(0));
    assert_eq!(now.interval.half_width_ns(), MS + 200 + 1_001_800);
}

#[test]
fn forgets_on_demand() {
    let mut sync = ClockSync::default();
    sync.observe("a", &ping(0, 0));
    sync.reset();
    assert_eq!(sync.current("a", 0), None);
    assert!(!sync.observe("a", &ping(0, HOUR)).restarted);
}

#[test]
fn sixteen_instances_are_remembered_and_the_oldest_goes() {
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
fn an_overlong_name_is_answered_and_not_remembered() {
    let mut sync = ClockSync::new(0);
    let name = "x".repeat(65);
    assert!(sync.observe(&name, &ping(0, HOUR)).interval.contains(HOUR));
    assert_eq!(sync.current(&name, 0), None);
}

proptest! {
    #[test]
    fn anything_may_be_observed(
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
