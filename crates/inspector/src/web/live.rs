//! The stream of traces as they come and grow.

use leptos::prelude::*;
use throughline_inspector_api::TraceSummary;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Event, EventSource, MessageEvent};

use super::api;

/// Whether new traces come by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// Not yet.
    Connecting,
    /// Yes.
    On,
    /// Not now; the browser tries again.
    Lost,
    /// No, and nobody tries again.
    Off,
}

/// An open stream, closed when this is dropped.
struct Listener {
    source: EventSource,
    _trace: Closure<dyn FnMut(MessageEvent)>,
    _state: Closure<dyn FnMut(Event)>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.source.close();
    }
}

/// Listens until the component that calls goes. `on_trace` hears each new or changed trace; `on_again`, that the
/// stream is back after a loss, during which traces may have been missed.
pub(crate) fn listen(on_trace: impl Fn(TraceSummary) + 'static, on_again: impl Fn() + 'static) -> RwSignal<Live> {
    let state = RwSignal::new(Live::Connecting);
    let Some(source) = api::live() else {
        state.set(Live::Off);
        return state;
    };
    let trace = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let Some(text) = event.data().as_string() else { return };
        // A message that cannot be read is of a newer server, whose page can read it: it is skipped until the page is reloaded.
        if let Ok(summary) = serde_json::from_str(&text) {
            on_trace(summary);
        }
    });
    let changed = {
        let source = source.clone();
        Closure::<dyn FnMut(Event)>::new(move |_: Event| {
            let now = match source.ready_state() {
                EventSource::OPEN => Live::On,
                EventSource::CONNECTING => Live::Lost,
                _ => Live::Off,
            };
            let before = state.try_get_untracked();
            state.try_set(now);
            if now == Live::On && before == Some(Live::Lost) {
                on_again();
            }
        })
    };
    let listen = |kind, callback: &js_sys::Function| {
        // infallible: this throws only for a callback that is no function.
        let _ = source.add_event_listener_with_callback(kind, callback);
    };
    listen("trace", trace.as_ref().unchecked_ref());
    listen("open", changed.as_ref().unchecked_ref());
    listen("error", changed.as_ref().unchecked_ref());
    let listener = StoredValue::new_local(Some(Listener { source, _trace: trace, _state: changed }));
    on_cleanup(move || {
        listener.try_update_value(Option::take);
    });
    state
}
