//! Formatting of times and URLs.

const MINUTE_MS: f64 = 60_000.0;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const DAY_MS: f64 = 24.0 * HOUR_MS;

/// Formats how long ago `then_ms` was: `now`, `3 min`, `2 h`, `5 d`. Both are Unix milliseconds; a time in the future is `now`.
pub(crate) fn ago(now_ms: f64, then_ms: f64) -> String {
    length(now_ms - then_ms).unwrap_or_else(|| "now".to_owned())
}

/// Formats the time until `then_ms`: `in 3 h`, or `now` if it has passed. Both are Unix milliseconds.
pub(crate) fn until(now_ms: f64, then_ms: f64) -> String {
    length(then_ms - now_ms).map_or_else(|| "now".to_owned(), |text| format!("in {text}"))
}

fn length(ms: f64) -> Option<String> {
    let (unit_ms, unit) = match ms {
        ms if ms < 45_000.0 || ms.is_nan() => return None,
        ms if ms < 59.5 * MINUTE_MS => (MINUTE_MS, "min"),
        ms if ms < 23.5 * HOUR_MS => (HOUR_MS, "h"),
        ms if ms < 360.0 * DAY_MS => (DAY_MS, "d"),
        _ => (365.0 * DAY_MS, "y"),
    };
    Some(format!("{:.0} {unit}", (ms / unit_ms).round().max(1.0)))
}

/// Formats a duration with its unit: `0.4 ms`, `84 ms`, `1.23 s`; `? ms` for a value that is not finite.
pub(crate) fn duration(ms: f64) -> String {
    if ms.is_finite() && ms.abs() >= 999.5 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{} ms", throughline_timing::format_ms(ms))
    }
}

/// Percent-encodes `text` as a path segment or a query value.
pub(crate) fn encode(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!(ago(10.0, 20.0), "now");
        assert_eq!(ago(MINUTE_MS, 0.0), "1 min");
        assert_eq!(ago(59.6 * MINUTE_MS, 0.0), "1 h");
        assert_eq!(ago(23.6 * HOUR_MS, 0.0), "1 d");
        assert_eq!(ago(40.0 * DAY_MS, 0.0), "40 d");
        assert_eq!(ago(400.0 * DAY_MS, 0.0), "1 y");
        assert_eq!(until(0.0, 3.0 * HOUR_MS), "in 3 h");
        assert_eq!(until(5.0, 0.0), "now");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(duration(0.42), "0.4 ms");
        assert_eq!(duration(84.2), "84 ms");
        assert_eq!(duration(999.6), "1.00 s");
        assert_eq!(duration(f64::NAN), "? ms");
    }
}
