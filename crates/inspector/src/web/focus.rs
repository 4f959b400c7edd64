//! The focus: whether a key is meant for the page, and moves from element to element.

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

/// Moves the focus to `element`, if it can have it.
pub(crate) fn set_focus(element: &HtmlElement) {
    // infallible: browsers throw nothing here; an element that cannot have the focus does not get it.
    let _ = element.focus();
}

/// Takes the focus from `element`, if it has it.
pub(crate) fn blur(element: &HtmlElement) {
    // infallible: browsers throw nothing here.
    let _ = element.blur();
}

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
