//! What each page does when it opens: title, focus, and the span that its requests belong to.

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
    /// Whether a page has been opened yet. The first belongs to the load of the document, not to a change of route.
    static OPENED: Cell<bool> = const { Cell::new(false) };
    /// An action that leads to another page, waiting for that page to open.
    static HANDED_OVER: RefCell<Option<HandOver>> = const { RefCell::new(None) };
}

/// An action that lasts until the page it led to has its data.
pub(crate) struct HandOver {
    context: Context,
    finish: Function,
}

impl Drop for HandOver {
    fn drop(&mut self) {
        // `resolve` of a promise does not fail.
        let _ = self.finish.call0(&JsValue::UNDEFINED);
    }
}

/// What a page knows of how it came to be.
pub(crate) struct Opened {
    /// The parent of the page's requests.
    pub(crate) context: Context,
    /// Dropped when the first data is there.
    pub(crate) hand_over: Option<HandOver>,
}

/// Opens a page of Cruddur. Has to come before the page's first request.
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

/// The template of a page's path, as [`use_page`] has it.
pub(crate) fn template_of(path: &str) -> Option<String> {
    let template = match path {
        "/" | "/notifications" | "/search" => path,
        _ if path.starts_with("/crud/") => "/crud/{uuid}",
        _ if path.starts_with("/@") => "/@{handle}",
        _ => return None,
    };
    Some(template.to_owned())
}

/// Whether this is the first page.
fn settle(title: &str) -> bool {
    document().set_title(&format!("{title} · Cruddur"));
    let first = !OPENED.replace(true);
    if !first {
        // Once the new page is in the document.
        request_animation_frame(focus_heading);
    }
    first
}

fn focus_heading() {
    let find = |selector| document().query_selector(selector).ok().flatten();
    // A page without a heading yet: the place where it will be.
    if let Some(heading) =
        find("main h1").or_else(|| find("main")).and_then(|element| element.dyn_into::<HtmlElement>().ok())
    {
        // Fails only for an element that cannot have the focus.
        let _ = heading.focus();
    }
}

/// Hands the running action over to the page that opens next. The future ends when that page has its data, or if
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
