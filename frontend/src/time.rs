//! Times relative to now, updated while they are shown.

use std::time::Duration;

use js_sys::Date;
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::text;

/// The current time, updated twice a minute.
#[derive(Clone, Copy)]
pub(crate) struct Now(RwSignal<f64>);

impl Now {
    /// Starts the clock of the page.
    pub(crate) fn start() -> Self {
        let now = RwSignal::new(Date::now());
        // Without a timer, the shown times are not updated.
        if let Ok(timer) = set_interval_with_handle(move || now.set(Date::now()), Duration::from_secs(30)) {
            on_cleanup(move || timer.clear());
        }
        Self(now)
    }

    fn current() -> Signal<f64> {
        use_context::<Self>().map_or_else(|| Signal::stored(Date::now()), |now| now.0.into())
    }
}

/// The age of a time, such as `3 min`, with the exact time on hover.
#[component]
pub(crate) fn Ago(
    /// The time, RFC 3339.
    at: String,
) -> impl IntoView {
    let now = Now::current();
    let ms = Date::parse(&at);
    view! {
        <time datetime=at title=date_time(ms)>
            {move || text::ago(now.get(), ms)}
        </time>
    }
}

/// The time until an expiry, such as `expires in 3 h`, with the exact time on hover.
#[component]
pub(crate) fn Expires(
    /// The time, RFC 3339.
    at: String,
) -> impl IntoView {
    let now = Now::current();
    let ms = Date::parse(&at);
    view! {
        <time class="expires" datetime=at title=format!("Expires at {}", date_time(ms))>
            {move || match text::until(now.get(), ms).as_str() {
                "now" => "expires now".to_owned(),
                text => format!("expires {text}"),
            }}
        </time>
    }
}

/// Formats a local time: `2026-11-20 14:03:22`.
fn date_time(unix_ms: f64) -> String {
    if !unix_ms.is_finite() {
        return "unknown".to_owned();
    }
    let date = Date::new(&JsValue::from_f64(unix_ms));
    let (year, month, day) = (date.get_full_year(), date.get_month() + 1, date.get_date());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", date.get_hours(), date.get_minutes(), date.get_seconds())
}
