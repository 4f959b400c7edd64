//! The time axis: a window on a trace, the positions of bars in it, and its ticks.
//!
//! Times are `i64` nanoseconds; positions are percentages of the window's width.

use crate::format;

/// A time range whose end is always after its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start_ns: i64,
    end_ns: i64,
}

/// The position of a bar in a window, in percent of its width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The distance from the left edge.
    pub left: f64,
    /// The width; 0 for an instant.
    pub width: f64,
}

/// A tick of the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The distance from the left edge, in percent.
    pub left: f64,
    /// The time since the start of the trace, with its unit.
    pub label: String,
}

impl Window {
    /// Creates a window from `start_ns` to `end_ns`, at least a microsecond long.
    #[must_use]
    pub fn new(start_ns: i64, end_ns: i64) -> Self {
        const SHORTEST_NS: i64 = 1_000;
        let start_ns = start_ns.min(i64::MAX - SHORTEST_NS);
        Self { start_ns, end_ns: end_ns.max(start_ns + SHORTEST_NS) }
    }

    /// Returns the window around all intervals (start, end); the first microsecond of 1970 if there are none.
    pub fn around(intervals: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let (start, end) = intervals
            .into_iter()
            .fold((i64::MAX, i64::MIN), |(start, end), (from, to)| (start.min(from), end.max(to).max(from)));
        if start > end { Self::new(0, 0) } else { Self::new(start, end) }
    }

    /// Returns the start, in nanoseconds.
    #[must_use]
    pub const fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// Returns the end, in nanoseconds.
    #[must_use]
    pub const fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Returns the length, in nanoseconds.
    #[must_use]
    pub const fn width_ns(&self) -> u64 {
        self.end_ns.abs_diff(self.start_ns)
    }

    /// Returns the part of this window between two offsets from its start, in nanoseconds and in either order.
    #[must_use]
    pub fn part(&self, from_ns: u64, to_ns: u64) -> Self {
        let at = |offset: u64| self.start_ns.saturating_add_unsigned(offset.min(self.width_ns()));
        Self::new(at(from_ns.min(to_ns)), at(from_ns.max(to_ns)))
    }

    /// Converts a fraction (0 to 1) of the width to an offset from the start, in nanoseconds.
    #[must_use]
    pub fn offset_at(&self, fraction: f64) -> u64 {
        (fraction.clamp(0.0, 1.0) * self.width_ns() as f64).round() as u64
    }

    /// Returns the position of an instant in percent; below 0 or above 100 outside the window.
    #[must_use]
    pub fn percent(&self, at_ns: i64) -> f64 {
        let offset = at_ns as f64 - self.start_ns as f64;
        // The difference of two large floats loses nanoseconds, which the integers keep.
        let exact = at_ns.checked_sub(self.start_ns).map_or(offset, |offset| offset as f64);
        100.0 * exact / self.width_ns() as f64
    }

    /// Returns the position of an interval, clipped to the window; `None` if it lies outside.
    #[must_use]
    pub fn bar(&self, start_ns: i64, end_ns: i64) -> Option<Bar> {
        let end_ns = end_ns.max(start_ns);
        if end_ns < self.start_ns || start_ns > self.end_ns {
            return None;
        }
        let left = self.percent(start_ns.max(self.start_ns));
        let right = self.percent(end_ns.min(self.end_ns));
        Some(Bar { left, width: (right - left).max(0.0) })
    }

    /// Returns about `most` ticks, at most one more, at round times since `origin_ns`, the start of the trace.
    #[must_use]
    pub fn ticks(&self, origin_ns: i64, most: usize) -> Vec<Tick> {
        let most = most.max(1) as u64;
        let step_ns = round_up_to_1_2_5(self.width_ns().div_ceil(most));
        let from = self.start_ns.max(origin_ns).abs_diff(origin_ns);
        (0..=most)
            .filter_map(|n| from.div_ceil(step_ns).checked_add(n)?.checked_mul(step_ns))
            .map_while(|offset| {
                let at = origin_ns.checked_add_unsigned(offset).filter(|at| *at <= self.end_ns)?;
                let label = if offset == 0 { "0".to_owned() } else { tick_label(offset, step_ns) };
                Some(Tick { left: self.percent(at), label })
            })
            .collect()
    }
}

/// Returns the smallest of 1, 2, 5, 10, 20, 50, … that is at least `ns`.
fn round_up_to_1_2_5(ns: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            match power.checked_mul(factor) {
                Some(step) if step >= ns => return step,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        let Some(next) = power.checked_mul(10) else { return u64::MAX };
        power = next;
    }
}

/// Formats a tick with enough digits to distinguish it from its neighbours; a duration has only three.
fn tick_label(offset_ns: u64, step_ns: u64) -> String {
    let (unit_ns, unit) = match offset_ns.max(step_ns) {
        ns if ns < 1_000 => (1, "ns"),
        ns if ns < 1_000_000 => (1_000, "µs"),
        ns if ns < 1_000_000_000 => (1_000_000, "ms"),
        ns if ns < 60_000_000_000 || step_ns < 1_000_000_000 => (1_000_000_000, "s"),
        _ => return format::duration(offset_ns),
    };
    let decimals = (0..=9).find(|n| (step_ns * 10_u64.pow(*n)).is_multiple_of(unit_ns)).unwrap_or(9) as usize;
    format!("{:.decimals$} {unit}", offset_ns as f64 / unit_ns as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn ticks_are_round_and_count_from_the_start_of_the_trace() {
        let labels =
            |window: Window, origin| window.ticks(origin, 6).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(Window::new(1000 * MS, 1084 * MS), 1000 * MS), ["0", "20 ms", "40 ms", "60 ms", "80 ms"]);
        assert_eq!(labels(Window::new(1010 * MS, 1011 * MS), 1000 * MS)[..2], ["10.0 ms", "10.2 ms"]);
        assert_eq!(labels(Window::new(0, 1_500 * MS), 0), ["0", "500 ms", "1.0 s", "1.5 s"]);
    }

    #[test]
    fn a_bar_is_clipped_to_the_window() {
        let window = Window::new(100, 1_000_100);
        assert_eq!(window.bar(500_100, 600_100), Some(Bar { left: 50.0, width: 10.0 }));
        assert_eq!(window.bar(0, 500_100), Some(Bar { left: 0.0, width: 50.0 }));
        assert_eq!(window.bar(2_000_000, 3_000_000), None);
        assert_eq!(window.bar(500_100, 0), Some(Bar { left: 50.0, width: 0.0 }));
    }

    #[test]
    fn a_window_around_nothing_is_not_empty() {
        assert!(Window::around([]).width_ns() > 0);
        assert!(Window::around([(5, 5)]).width_ns() > 0);
    }

    proptest! {
        #[test]
        fn bars_stay_inside_the_window(a in any::<i64>(), b in any::<i64>(), s in any::<i64>(), e in any::<i64>()) {
            let window = Window::new(a, b);
            if let Some(bar) = window.bar(s, e) {
                prop_assert!(bar.left >= 0.0 && bar.width >= 0.0);
                prop_assert!(bar.left + bar.width <= 100.0 + 1e-6, "{bar:?}");
            }
        }

        #[test]
        fn ticks_are_few_and_inside(a in any::<i64>(), width in any::<u32>(), scale in 1_i64..1_000_000, origin in any::<i64>()) {
            let window = Window::new(a, a.saturating_add(i64::from(width).saturating_mul(scale)));
            let ticks = window.ticks(origin, 8);
            prop_assert!(ticks.len() <= 9);
            for pair in ticks.windows(2) {
                prop_assert!(pair[0].left < pair[1].left);
            }
            for tick in &ticks {
                prop_assert!(tick.left <= 100.0 + 1e-6);
                prop_assert!(tick.left >= -1e-6 || origin > window.start_ns());
            }
        }

        #[test]
        fn a_part_lies_within_the_whole(a in any::<i64>(), b in any::<i64>(), from in any::<u64>(), to in any::<u64>()) {
            let whole = Window::new(a, b);
            let part = whole.part(from, to);
            prop_assert!(part.start_ns() >= whole.start_ns());
            prop_assert!(part.width_ns() <= whole.width_ns());
        }
    }
}
