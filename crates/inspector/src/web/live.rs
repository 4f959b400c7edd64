//! The stream of new and changed traces.

use leptos::prelude::*;
use throughline_inspector_api::TraceSummary;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Event, EventSource, MessageEvent};

use super::api;

/// The state of the live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// The browser is connecting for the first time.
    Connecting,
    /// The stream is open.
    On,
    /// The connection was lost; the browser reconnects.
    Lost,
    /// The stream is closed for good.
    Off,
}

/// An open stream, closed on drop.
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

/// Listens to the stream until the calling component is unmounted. `on_trace` is called with each new or changed trace;
/// `on_again` is called after a reconnect, because traces may have been missed.
pub(crate) fn listen(on_trace: impl Fn(TraceSummary) + 'static, on_again: impl Fn() + 'static) -> RwSignal<Live> {
    let state = RwSignal::new(Live::Connecting);
    let Some(source) = api::live() else {
        state.set(Live::Off);
        return state;
    };
    let trace = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let Some(text) = event.data().as_string() else { return };
        // A message that cannot be parsed is from a newer server; it is skipped until its page is loaded.
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
        // infallible: it throws only if the callback is not a function.
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
