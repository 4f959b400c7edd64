//! Measurements and their targets, as a Markdown table.

use std::time::Duration;

/// The measurements of one section.
#[derive(Default)]
pub(crate) struct Figures {
    rows: String,
    pub(crate) missed: bool,
}

impl Figures {
    /// Adds a measurement that should be at most its target.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, target: f64, unit: &str) {
        self.row(what, figure, Some((figure <= target, format!("≤ {}", number(target)))), unit);
    }

    /// Adds a measurement that should be at least its target.
    pub(crate) fn at_least(&mut self, what: &str, figure: f64, target: f64, unit: &str) {
        self.row(what, figure, Some((figure >= target, format!("≥ {}", number(target)))), unit);
    }

    /// Adds a measurement without a target.
    pub(crate) fn note(&mut self, what: &str, figure: f64, unit: &str) {
        self.row(what, figure, None, unit);
    }

    fn row(&mut self, what: &str, figure: f64, target: Option<(bool, String)>, unit: &str) {
        let (met, target) = match target {
            Some((met, target)) => {
                self.missed |= !met;
                (if met { "yes" } else { "**no**" }, target)
            }
            None => ("", String::new()),
        };
        self.rows.push_str(&format!("| {what} | {} | {unit} | {target} | {met} |\n", number(figure)));
    }

    pub(crate) fn markdown(&self, title: &str) -> String {
        format!(
            "## {title}\n\n| what | figure | unit | target | met |\n| --- | ---: | --- | --- | --- |\n{}",
            self.rows
        )
    }
}

/// Formats a number with three significant digits, or all digits before the point, with thousands separators.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.*}", if value.abs() < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the time that this share of `times` does not exceed, in milliseconds.
pub(crate) fn quantile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = (share * times.len() as f64).ceil() as usize;
    times.get(place.clamp(1, times.len().max(1)) - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_recorded() {
        let mut figures = Figures::default();
        figures.at_most("a", 1.0, 1.0, "ms");
        figures.at_least("b", 100_000.0, 100_000.0, "spans/s");
        figures.note("c", 5.0, "s");
        assert!(!figures.missed);
        figures.at_most("d", 1_234_567.0, 2.0, "ms");
        assert!(figures.missed);
        assert!(
            figures.markdown("t").contains("| d | 1,234,567 | ms | ≤ 2.00 | **no** |"),
            "{}",
            figures.markdown("t")
        );
    }

    #[test]
    fn quantiles_are_measured_times() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile_ms(&mut times, 0.5), 50.0);
        assert_eq!(quantile_ms(&mut times, 0.99), 99.0);
        assert_eq!(quantile_ms(&mut times, 1.0), 100.0);
        assert_eq!(quantile_ms(&mut [], 0.5), 0.0);
    }
}
