//! Whether a key is meant for us.

use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

/// Whether a key goes into a field, or is part of a chord of the browser's own.
pub(crate) fn is_typing(event: &KeyboardEvent) -> bool {
    event.default_prevented()
        || event.ctrl_key()
        || event.meta_key()
        || event.alt_key()
        || event.is_composing()
        || target(event).is_some_and(|element| {
            element.closest("input, textarea, select, [contenteditable], dialog[open]").ok().flatten().is_some()
        })
}

/// Whether the focus is on something that has its own use for arrows, Enter and space.
pub(crate) fn is_on_control(event: &KeyboardEvent) -> bool {
    target(event).is_some_and(|element| element.closest("a, button, summary, .details").ok().flatten().is_some())
}

fn target(event: &KeyboardEvent) -> Option<Element> {
    event.target()?.dyn_into().ok()
}
