//! The routes, the header of every page, and the keys that work on every page.

use leptos::{ev, html::Dialog, prelude::*};
use leptos_router::{
    components::{FlatRoutes, Route, Router},
    hooks::use_params_map,
    path,
};

use super::{api, focus::is_typing, head::Head, help::Help, list::TraceListPage, title::open_page, trace::TracePage};

#[component]
pub(crate) fn App() -> impl IntoView {
    let base = api::base().as_str().to_owned();
    let help = NodeRef::<Dialog>::new();
    let show_help = Callback::new(move |()| {
        if let Some(dialog) = help.get_untracked()
            && !dialog.open()
        {
            // infallible: it throws only if the dialog is open or outside the document; this one is neither.
            let _ = dialog.show_modal();
        }
    });
    let keys = window_event_listener(ev::keydown, move |event| {
        if event.key() == "?" && !is_typing(&event) {
            show_help.run(());
            event.prevent_default();
        }
    });
    on_cleanup(move || keys.remove());
    view! {
        <Router base>
            <a class="skip" href="#main" rel="external">"Skip to content"</a>
            <Head help=show_help/>
            <main id="main" tabindex="-1">
                <FlatRoutes fallback=|| view! { <MissingPage/> }>
                    <Route path=path!("/traces") view=Traces/>
                    <Route path=path!("/traces/:id") view=OneTrace/>
                </FlatRoutes>
            </main>
            <Help dialog=help/>
        </Router>
    }
}

#[component]
fn Traces() -> impl IntoView {
    open_page("Traces");
    view! { <TraceListPage/> }
}

#[component]
fn OneTrace() -> impl IntoView {
    let params = use_params_map();
    // A link to another trace changes the id without leaving the route.
    Effect::new(move |_| {
        params.with(|params| {
            let id = params.get_str("id").unwrap_or("");
            open_page(&format!("Trace {}", id.get(..8).unwrap_or(id)));
        });
    });
    view! { <TracePage/> }
}

#[component]
fn MissingPage() -> impl IntoView {
    open_page("Page not found");
    view! {
        <div class="trace-none">
            <h1 tabindex="-1">"Page not found"</h1>
            <p>"The list of traces is at " <code>{api::url("/traces")}</code> "."</p>
            <p>
                <a class="button button-accent" href=api::url("/traces")>"All traces"</a>
            </p>
        </div>
    }
}
