use proptest::prelude::*;
use throughline_timing::Interval;

fn intervals() -> impl Strategy<Value = Interval> {
    (any::<i64>(), any::<i64>()).prop_filter_map("ends in the wrong order", |(a, b)| Interval::new(a.min(b), a.max(b)))
}

#[test]
fn an_interval_with_reversed_ends_is_rejected() {
    assert_eq!(Interval::new(1, 0), None);
    assert!(Interval::new(1, 1).is_some());
}

#[test]
fn half_of_an_odd_width_is_rounded_up() {
    let interval = Interval::new(-2, 3).unwrap();
    assert_eq!(interval.width_ns(), 5);
    assert_eq!((interval.midpoint_ns(), interval.half_width_ns()), (0, 3));
}

#[test]
fn disjoint_intervals_have_no_intersection() {
    let (a, b) = (Interval::new(0, 1).unwrap(), Interval::new(2, 3).unwrap());
    assert_eq!(a.intersect(&b), None);
    assert_eq!(a.intersect(&b.widen(1)), Interval::new(1, 1));
}

#[test]
fn the_widest_interval_saturates() {
    let all = Interval::new(i64::MIN, i64::MAX).unwrap();
    assert_eq!((all.width_ns(), all.half_width_ns(), all.midpoint_ns()), (i64::MAX, i64::MAX, -1));
    assert_eq!(all.widen(i64::MAX), all);
}

proptest! {
    #[test]
    fn every_number_is_within_half_the_width_of_the_middle(interval in intervals(), x: i64) {
        let middle = interval.midpoint_ns();
        prop_assert!(interval.contains(middle));
        for x in [interval.lo_ns(), interval.hi_ns(), x] {
            if interval.contains(x) && interval.width_ns() < i64::MAX {
                prop_assert!(i128::from(x).abs_diff(i128::from(middle)) <= interval.half_width_ns() as u128);
            }
        }
    }

    #[test]
    fn an_intersection_contains_the_numbers_in_both(a in intervals(), b in intervals(), x: i64) {
        let both = a.intersect(&b).is_some_and(|both| both.contains(x));
        prop_assert_eq!(both, a.contains(x) && b.contains(x));
        prop_assert_eq!(a.intersect(&b), b.intersect(&a));
    }

    #[test]
    fn widening_never_narrows(interval in intervals(), by: i64) {
        let wide = interval.widen(by);
        prop_assert_eq!(wide.intersect(&interval), Some(interval));
    }
}
