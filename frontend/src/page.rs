//! Opening a page: its title, focus, and the span that its requests belong to.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use js_sys::{Function, Promise};
use leptos::prelude::*;
use throughline_browser::Context;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::HtmlElement;

use crate::session::Session;

thread_local! {
    /// Whether a page has been opened. The first one belongs to the page load, not to a navigation.
    static OPENED: Cell<bool> = const { Cell::new(false) };
    /// An action that navigates to another page, until that page opens.
    static HANDED_OVER: RefCell<Option<HandOver>> = const { RefCell::new(None) };
}

/// An action that lasts until the page that it opened has its data.
pub(crate) struct HandOver {
    context: Context,
    finish: Function,
}

impl Drop for HandOver {
    fn drop(&mut self) {
        // The `resolve` function of a promise does not throw.
        let _ = self.finish.call0(&JsValue::UNDEFINED);
    }
}

/// The trace context of a page that was opened.
pub(crate) struct Opened {
    /// The parent of the page's requests.
    pub(crate) context: Context,
    /// The action that opened the page; dropped when the first data is loaded.
    pub(crate) hand_over: Option<HandOver>,
}

/// Opens a page of Cruddur. Must be called before the page's first request.
///
/// `route` is a template, such as `/@{handle}`.
pub(crate) fn use_page(route: &str, title: &str) -> Opened {
    let hand_over = HANDED_OVER.take();
    let first = settle(title);
    let opened = match hand_over {
        Some(hand_over) => Opened { context: hand_over.context, hand_over: Some(hand_over) },
        None => {
            if !first {
                throughline_browser::navigation(route);
            }
            Opened { context: throughline_browser::current(), hand_over: None }
        }
    };
    opened.context.run(|| Session::current().begin());
    opened
}

/// Returns the template of a page's path, as passed to [`use_page`].
pub(crate) fn template_of(path: &str) -> Option<String> {
    let template = match path {
        "/" | "/notifications" | "/search" => path,
        _ if path.starts_with("/crud/") => "/crud/{uuid}",
        _ if path.starts_with("/@") => "/@{handle}",
        _ => return None,
    };
    Some(template.to_owned())
}

/// Sets the title and the focus; returns whether this is the first page.
fn settle(title: &str) -> bool {
    document().set_title(&format!("{title} · Cruddur"));
    let first = !OPENED.replace(true);
    if !first {
        // By then, the new page is in the document.
        request_animation_frame(focus_heading);
    }
    first
}

fn focus_heading() {
    let find = |selector| document().query_selector(selector).ok().flatten();
    // A page that is loading has no heading yet.
    if let Some(heading) =
        find("main h1").or_else(|| find("main")).and_then(|element| element.dyn_into::<HtmlElement>().ok())
    {
        // Fails only for an element that is not focusable.
        let _ = heading.focus();
    }
}

/// Hands the current action over to the page that opens next. The future completes when that page has its data, or after 2 s if
/// no page opens.
pub(crate) fn hand_over() -> impl Future<Output = ()> {
    let context = throughline_browser::current();
    let promise = Promise::new(&mut |resolve, _reject| {
        HANDED_OVER.set(Some(HandOver { context, finish: resolve }));
    });
    set_timeout(|| drop(HANDED_OVER.take()), Duration::from_secs(2));
    async move {
        // This promise is never rejected.
        let _ = JsFuture::from(promise).await;
    }
}
