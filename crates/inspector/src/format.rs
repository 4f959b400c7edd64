//! Numbers as text: durations, ages, counts.

const SECOND_MS: f64 = 1000.0;
const MINUTE_MS: f64 = 60.0 * SECOND_MS;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const DAY_MS: f64 = 24.0 * HOUR_MS;

/// Formats a duration in nanoseconds with three significant digits and a unit: `12.3 µs`, `84 ms`, `1.23 s`, `2 min 05 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    let value = ns as f64;
    if ns < 1_000 {
        format!("{ns} ns")
    } else if value < 999_500.0 {
        format!("{} µs", significant(value / 1e3))
    } else if value < 999_500_000.0 {
        format!("{} ms", significant(value / 1e6))
    } else if value < 59_950_000_000.0 {
        format!("{} s", significant(value / 1e9))
    } else {
        let seconds = (ns / 1_000_000_000).saturating_add(u64::from(ns % 1_000_000_000 >= 500_000_000));
        if seconds < 3600 {
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        } else {
            format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
        }
    }
}

/// Formats a duration in milliseconds like [`duration`]; `?` if it is not finite.
#[must_use]
pub fn duration_ms(ms: f64) -> String {
    if !ms.is_finite() {
        return "?".to_owned();
    }
    let text = duration((ms.abs() * 1e6).round() as u64);
    if ms < 0.0 && !text.starts_with("0 ") { format!("−{text}") } else { text }
}

/// Formats how long ago `then_ms` was: `now`, `3 min`, `2 h`, `5 d`, `4 mo`, `2 y`. Both times are Unix milliseconds.
///
/// A time in the future is `now`, because clocks differ a little.
#[must_use]
pub fn ago(now_ms: f64, then_ms: f64) -> String {
    span_of_time(now_ms - then_ms).unwrap_or_else(|| "now".to_owned())
}

fn span_of_time(ms: f64) -> Option<String> {
    let (unit_ms, name) = match ms {
        ms if ms < 45.0 * SECOND_MS || ms.is_nan() => return None,
        ms if ms < 59.5 * MINUTE_MS => (MINUTE_MS, "min"),
        ms if ms < 23.5 * HOUR_MS => (HOUR_MS, "h"),
        ms if ms < 29.5 * DAY_MS => (DAY_MS, "d"),
        ms if ms < 360.0 * DAY_MS => (30.0 * DAY_MS, "mo"),
        _ => (365.0 * DAY_MS, "y"),
    };
    Some(format!("{:.0} {name}", (ms / unit_ms).round().max(1.0)))
}

/// Formats a count with its noun: `1 span`, `20,000 spans`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// Formats a number with thousands separators.
#[must_use]
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn significant(value: f64) -> String {
    if value < 9.995 {
        trim(&format!("{value:.2}"))
    } else if value < 99.95 {
        trim(&format!("{value:.1}"))
    } else {
        format!("{value:.0}")
    }
}

/// Removes trailing zeros, and the minus sign of a zero.
fn trim(text: &str) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (8_420_000, "8.42 ms"),
            (84_000_000, "84 ms"),
            (842_400_000, "842 ms"),
            (999_600_000, "1 s"),
            (1_234_000_000, "1.23 s"),
            (59_940_000_000, "59.9 s"),
            (59_990_000_000, "1 min 00 s"),
            (125_000_000_000, "2 min 05 s"),
            (3_720_000_000_000, "1 h 02 min"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(duration_ms(-0.5), "−500 µs");
        assert_eq!(duration_ms(f64::NAN), "?");
    }

    #[test]
    fn ages_are_short() {
        let minute = 60_000.0;
        assert_eq!(ago(10.0, 20.0), "now");
        assert_eq!(ago(minute, 0.0), "1 min");
        assert_eq!(ago(3.4 * minute, 0.0), "3 min");
        assert_eq!(ago(59.6 * minute, 0.0), "1 h");
        assert_eq!(ago(23.6 * 60.0 * minute, 0.0), "1 d");
        assert_eq!(ago(400.0 * 24.0 * 60.0 * minute, 0.0), "1 y");
    }

    #[test]
    fn counts_have_commas_and_plurals() {
        assert_eq!(count(1, "span"), "1 span");
        assert_eq!(count(20_000, "span"), "20,000 spans");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    proptest! {
        #[test]
        fn every_duration_is_within_half_a_percent(ns in 0_u64..59_000_000_000) {
            let text = duration(ns);
            let (number, unit) = text.split_once(' ').unwrap();
            let scale = match unit { "ns" => 1.0, "µs" => 1e3, "ms" => 1e6, _ => 1e9 };
            let shown = number.parse::<f64>().unwrap() * scale;
            prop_assert!((shown - ns as f64).abs() <= 0.0051 * ns as f64, "{text} for {ns}");
        }
    }
}
