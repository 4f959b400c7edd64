//! Times in the time zone of the browser.

use js_sys::Date;
use wasm_bindgen::JsValue;

/// Returns the current time, in Unix milliseconds.
pub(crate) fn now_ms() -> f64 {
    Date::now()
}

/// Formats a local time: `2026-11-20 14:03:22`.
pub(crate) fn date_time(unix_ms: f64) -> String {
    if !unix_ms.is_finite() {
        return "unknown".to_owned();
    }
    let date = date(unix_ms);
    format!("{:04}-{:02}-{:02} {}", date.get_full_year(), date.get_month() + 1, date.get_date(), time_of(&date))
}

/// Formats a local time: `14:03:22` for today, `11-20 14:03` for another day.
pub(crate) fn short(unix_ms: f64) -> String {
    let (then, now) = (date(unix_ms), date(now_ms()));
    if then.to_date_string() == now.to_date_string() {
        time_of(&then)
    } else {
        format!("{:02}-{:02} {:02}:{:02}", then.get_month() + 1, then.get_date(), then.get_hours(), then.get_minutes())
    }
}

/// Formats a local time with nanoseconds: `2026-11-20 14:03:22.123456789`.
pub(crate) fn exact(unix_ns: i64) -> String {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    format!("{}.{:09}", date_time(seconds as f64 * 1000.0), unix_ns.rem_euclid(1_000_000_000))
}

fn date(unix_ms: f64) -> Date {
    Date::new(&JsValue::from_f64(unix_ms))
}

fn time_of(date: &Date) -> String {
    format!("{:02}:{:02}:{:02}", date.get_hours(), date.get_minutes(), date.get_seconds())
}
