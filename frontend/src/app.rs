//! The application: routes, keys, and the layout around the pages.

use leptos::{ev, html::Dialog, prelude::*};
use leptos_router::{
    components::{FlatRoutes, Route, Router},
    hooks::use_navigate,
    path,
};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, KeyboardEvent};

use crate::{
    api::Api,
    backend::Backend,
    chrome::Head,
    composer,
    dock::{Dock, DockState},
    help::Help,
    pages::{
        home::HomePage, missing::MissingPage, notifications::NotificationsPage, profile::ProfilePage,
        search::SearchPage, thread::ThreadPage,
    },
    search_form,
    session::Session,
    time::Now,
};

#[component]
pub(crate) fn App(backend: Backend) -> impl IntoView {
    provide_context(Now::start());
    Session::start(Api::new(backend));
    let dock = DockState::start();
    view! {
        <Router>
            <Shell dock/>
        </Router>
    }
}

/// Whether the composer should be focused once its page is mounted.
#[derive(Clone, Copy)]
pub(crate) struct WantsComposer(pub(crate) StoredValue<bool>);

#[component]
fn Shell(dock: DockState) -> impl IntoView {
    let help = NodeRef::<Dialog>::new();
    let show_help = Callback::new(move |()| {
        if let Some(dialog) = help.get_untracked()
            && !dialog.open()
        {
            // Fails only if the dialog is open or not in the document.
            let _ = dialog.show_modal();
        }
    });
    let wants_composer = WantsComposer(StoredValue::new(false));
    provide_context(wants_composer);
    let navigate = use_navigate();
    let keys = window_event_listener(ev::keydown, move |event| {
        if is_typing(&event) {
            return;
        }
        match event.key().as_str() {
            "?" => show_help.run(()),
            "t" => dock.toggle(),
            "n" => {
                if !focus_composer() {
                    wants_composer.0.set_value(true);
                    navigate("/", Default::default());
                }
            }
            "/" => {
                if !focus_search() {
                    navigate("/search", Default::default());
                }
            }
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || keys.remove());
    view! {
        <a class="skip" href="#main" rel="external">"Skip to content"</a>
        <Head help=show_help/>
        <main id="main" tabindex="-1" class="cruddur">
            <FlatRoutes fallback=|| view! { <MissingPage/> }>
                <Route path=path!("/") view=HomePage/>
                <Route path=path!("/notifications") view=NotificationsPage/>
                <Route path=path!("/search") view=SearchPage/>
                <Route path=path!("/crud/:uuid") view=ThreadPage/>
                <Route path=path!("/:handle") view=ProfilePage/>
            </FlatRoutes>
        </main>
        <Dock state=dock/>
        <Help dialog=help/>
    }
}

/// Returns whether a key is input to a field, or part of a shortcut of the browser.
fn is_typing(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    event.default_prevented()
        || event.ctrl_key()
        || event.meta_key()
        || event.alt_key()
        || event.is_composing()
        || target.is_some_and(|element| {
            element.closest("input, textarea, select, [contenteditable], dialog[open]").ok().flatten().is_some()
        })
}

/// Focuses the composer; returns false if the page has none.
pub(crate) fn focus_composer() -> bool {
    let field =
        document().get_element_by_id(composer::FIELD_ID).and_then(|element| element.dyn_into::<HtmlElement>().ok());
    field.is_some_and(|field| field.focus().is_ok())
}

/// Focuses the visible search field; returns false if there is none.
pub(crate) fn focus_search() -> bool {
    let Ok(fields) = document().query_selector_all(search_form::FIELDS) else { return false };
    let visible = (0..fields.length())
        .filter_map(|i| fields.item(i)?.dyn_into::<HtmlInputElement>().ok())
        .find(|field| field.offset_width() > 0);
    visible.is_some_and(|field| {
        field.select();
        field.focus().is_ok()
    })
}
