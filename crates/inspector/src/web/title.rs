//! The title and the focus when a page opens.

use std::cell::Cell;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::focus::set_focus;

thread_local! {
    /// Whether a page has been opened. The browser sets the focus of the first one.
    static OPENED: Cell<bool> = const { Cell::new(false) };
}

/// Sets the title of the document, and moves the focus to the heading unless this is the first page.
pub(crate) fn open_page(title: &str) {
    document().set_title(&format!("{title} · Throughline"));
    if OPENED.replace(true) {
        // By then, the new page is in the document.
        request_animation_frame(focus_heading);
    }
}

fn focus_heading() {
    let find = |selector| document().query_selector(selector).ok().flatten();
    // A page that is loading has no heading yet.
    let target = find("main h1").or_else(|| find("main"));
    if let Some(element) = target.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        set_focus(&element);
    }
}
