//! Moments as people say them, kept up to date.

use std::time::Duration;

use leptos::prelude::*;
use throughline_inspector::{clock, format};

/// The present moment, renewed twice a minute.
#[derive(Clone, Copy)]
pub(crate) struct Now(RwSignal<f64>);

impl Now {
    /// Starts the clock of the page.
    pub(crate) fn start() -> Self {
        let now = RwSignal::new(clock::now_ms());
        // Without a timer the times stand still; nothing worse.
        if let Ok(timer) = set_interval_with_handle(move || now.set(clock::now_ms()), Duration::from_secs(30)) {
            on_cleanup(move || timer.clear());
        }
        Self(now)
    }

    fn current() -> Signal<f64> {
        use_context::<Self>().map_or_else(|| Signal::stored(clock::now_ms()), |now| now.0.into())
    }
}

/// `3 min`, with the exact moment on hover.
#[component]
pub(crate) fn Ago(
    /// RFC 3339.
    at: String,
) -> impl IntoView {
    let now = Now::current();
    let ms = clock::parse_ms(&at);
    view! {
        <time datetime=at title=clock::date_time(ms)>
            {move || format::ago(now.get(), ms)}
        </time>
    }
}

/// `expires in 3 h`, with the exact moment on hover.
#[component]
pub(crate) fn Expires(
    /// RFC 3339.
    at: String,
) -> impl IntoView {
    let now = Now::current();
    let ms = clock::parse_ms(&at);
    view! {
        <time class="expires" datetime=at title=format!("Goes away at {}", clock::date_time(ms))>
            {move || match format::until(now.get(), ms).as_str() {
                "now" => "expires now".to_owned(),
                text => format!("expires {text}"),
            }}
        </time>
    }
}
