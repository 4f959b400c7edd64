//! Calculation of web vitals, as web.dev defines them.

/// Returns the rating of a value.
pub(crate) fn rating(name: &str, value: f64) -> &'static str {
    let (good, poor) = match name {
        "cls" => (0.1, 0.25),
        "inp" => (200.0, 500.0),
        "lcp" => (2_500.0, 4_000.0),
        "fcp" => (1_800.0, 3_000.0),
        _ => (800.0, 1_800.0),
    };
    if value <= good {
        "good"
    } else if value <= poor {
        "needs-improvement"
    } else {
        "poor"
    }
}

/// Shifts less than this apart belong to one window, milliseconds.
const WINDOW_GAP_MS: f64 = 1_000.0;
/// The maximum length of a window, milliseconds.
const WINDOW_MS: f64 = 5_000.0;

/// Cumulative layout shift: the largest window of shifts.
#[derive(Debug, Default)]
pub(crate) struct LayoutShift {
    pub(crate) value: f64,
    /// The value of the shift for which `shift` last returned true.
    pub(crate) largest: f64,
    window: f64,
    window_start_ms: f64,
    last_ms: f64,
    /// The largest single shift of the current window.
    largest_of_window: f64,
}

impl LayoutShift {
    /// Adds a shift that was not caused by an input. Returns whether its window is the largest so far, and it is the largest shift in
    /// that window, so that the element that shifted has to be remembered.
    pub(crate) fn shift(&mut self, value: f64, at_ms: f64) -> bool {
        let same_window =
            self.window > 0.0 && at_ms - self.last_ms < WINDOW_GAP_MS && at_ms - self.window_start_ms < WINDOW_MS;
        if same_window {
            self.window += value;
        } else {
            self.window = value;
            self.window_start_ms = at_ms;
            self.largest_of_window = 0.0;
        }
        self.last_ms = at_ms;
        let is_largest = value > self.largest_of_window;
        if is_largest {
            self.largest_of_window = value;
        }
        if self.window > self.value {
            self.value = self.window;
            if is_largest {
                self.largest = value;
            }
            return is_largest;
        }
        false
    }
}

/// The number of longest interactions that are remembered.
const LONGEST: usize = 10;
/// The number of interactions for each of which the longest remaining one is ignored.
const OUTLIER_EVERY: u32 = 50;

/// Interaction to next paint: the longest interaction, ignoring one in fifty.
#[derive(Debug)]
pub(crate) struct Interactions<T> {
    /// Id, duration, and data of an interaction; the longest first.
    longest: Vec<(u32, f64, T)>,
}

impl<T> Default for Interactions<T> {
    fn default() -> Self {
        Self { longest: Vec::new() }
    }
}

impl<T> Interactions<T> {
    /// Adds an event of an interaction, which may have several.
    pub(crate) fn event(&mut self, id: u32, duration_ms: f64, data: T) {
        if let Some(index) = self.longest.iter().position(|(known, ..)| *known == id) {
            // Of several with the same duration the last one had an effect: the click, not the press.
            if self.longest.get(index).is_some_and(|(_, known_ms, _)| *known_ms > duration_ms) {
                return;
            }
            self.longest.remove(index);
        }
        // Inserted in order, because a sort function would add to the WASM.
        let place = self.longest.iter().position(|(_, known_ms, _)| *known_ms < duration_ms);
        self.longest.insert(place.unwrap_or(self.longest.len()), (id, duration_ms, data));
        self.longest.truncate(LONGEST);
    }

    /// Returns duration and data of the interaction that is the value of INP, given the number of all interactions.
    pub(crate) fn counting(&self, count: u32) -> Option<(f64, &T)> {
        let index = (count / OUTLIER_EVERY) as usize;
        let (_, duration_ms, data) = self.longest.get(index.min(self.longest.len().checked_sub(1)?))?;
        Some((*duration_ms, data))
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ratings_are_those_of_web_dev() {
        for (name, value, expected) in [
            ("lcp", 2_500.0, "good"),
            ("lcp", 2_501.0, "needs-improvement"),
            ("lcp", 4_001.0, "poor"),
            ("inp", 200.0, "good"),
            ("inp", 501.0, "poor"),
            ("cls", 0.1, "good"),
            ("cls", 0.2, "needs-improvement"),
            ("cls", 0.3, "poor"),
            ("fcp", 1_800.0, "good"),
            ("ttfb", 801.0, "needs-improvement"),
        ] {
            assert_eq!(rating(name, value), expected, "{name} {value}");
        }
    }

    #[test]
    fn shifts_in_one_window_add_up() {
        let mut shifts = LayoutShift::default();
        assert!(shifts.shift(0.1, 0.0));
        assert!(!shifts.shift(0.05, 900.0), "smaller than the previous one");
        assert!((shifts.value - 0.15).abs() < 1e-9);
        shifts.shift(0.1, 1_950.0);
        assert!((shifts.value - 0.15).abs() < 1e-9, "a gap of more than a second begins a new window");
        shifts.shift(0.1, 2_900.0);
        assert!((shifts.value - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_smaller_window_does_not_replace_the_largest_shift() {
        let mut shifts = LayoutShift::default();
        assert!(shifts.shift(0.2, 0.0));
        assert!(!shifts.shift(0.15, 2_000.0));
        assert_eq!(shifts.largest, 0.2);
    }

    #[test]
    fn a_window_is_at_most_five_seconds() {
        let mut shifts = LayoutShift::default();
        for n in 0..12 {
            shifts.shift(0.01, f64::from(n) * 900.0);
        }
        assert!((shifts.value - 0.06).abs() < 1e-9, "{}", shifts.value);
    }

    proptest! {
        #[test]
        fn layout_shift_is_the_largest_window(steps in prop::collection::vec((0.001..0.5, 1.0..3_000.0), 1..40)) {
            let mut shifts = LayoutShift::default();
            let (mut at, mut windows, mut start, mut last) = (0.0, Vec::<f64>::new(), 0.0, f64::NEG_INFINITY);
            for (value, gap) in steps {
                at += gap;
                shifts.shift(value, at);
                if at - last < 1_000.0 && at - start < 5_000.0 {
                    *windows.last_mut().unwrap() += value;
                } else {
                    windows.push(value);
                    start = at;
                }
                last = at;
            }
            let largest = windows.into_iter().fold(0.0, f64::max);
            prop_assert!((shifts.value - largest).abs() < 1e-9);
        }

        #[test]
        fn inp_is_the_98th_percentile(durations in prop::collection::vec(1_u32..5_000, 1..300)) {
            let mut interactions = Interactions::default();
            for (id, duration) in durations.iter().enumerate() {
                interactions.event(id as u32, f64::from(*duration), ());
            }
            let mut sorted = durations.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let index = (durations.len() / 50).min(9).min(sorted.len() - 1);
            let (counting, ()) = interactions.counting(durations.len() as u32).unwrap();
            prop_assert!((counting - f64::from(sorted[index])).abs() < 1e-9);
        }
    }

    #[test]
    fn an_interaction_has_the_duration_of_its_longest_event() {
        let mut interactions = Interactions::default();
        interactions.event(1, 80.0, "down");
        interactions.event(1, 120.0, "up");
        interactions.event(1, 120.0, "click");
        interactions.event(1, 90.0, "over");
        assert_eq!(interactions.counting(1), Some((120.0, &"click")), "the last of several");
        assert_eq!(Interactions::<()>::default().counting(0), None);
    }
}
