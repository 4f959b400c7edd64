//! Keyboard focus: moving it, and deciding whether a key is meant for the page.

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

/// Moves the focus to `element`, if it is focusable.
pub(crate) fn set_focus(element: &HtmlElement) {
    // infallible: browsers do not throw here, not even for an element that is not focusable.
    let _ = element.focus();
}

/// Removes the focus from `element`, if it has it.
pub(crate) fn blur(element: &HtmlElement) {
    // infallible: browsers do not throw here.
    let _ = element.blur();
}

/// Returns whether a key is input to a field, or part of a shortcut of the browser.
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

/// Returns whether the focus is on an element that handles arrows, Enter and space itself.
pub(crate) fn is_on_control(event: &KeyboardEvent) -> bool {
    target(event).is_some_and(|element| element.closest("a, button, summary, .details").ok().flatten().is_some())
}

fn target(event: &KeyboardEvent) -> Option<Element> {
    event.target()?.dyn_into().ok()
}
