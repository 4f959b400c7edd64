//! The search field.

use leptos::{ev, html::Input, prelude::*, task::spawn_local};
use leptos_router::hooks::{use_location, use_navigate};

use crate::{page, session::Session, text::encode};

/// The selector of search fields, for the key that focuses one.
pub(crate) const FIELDS: &str = "input.search-field";

#[component]
pub(crate) fn SearchForm(
    /// Whether this is the field of the search page, not the one in the header.
    #[prop(optional)]
    main: bool,
) -> impl IntoView {
    let location = use_location();
    let navigate = use_navigate();
    let session = Session::current();
    let term = Memo::new(move |_| {
        let here = location.pathname.with(|path| path == "/search");
        if here { location.query.with(|query| query.get("term")).unwrap_or_default() } else { String::new() }
    });
    let field = NodeRef::<Input>::new();
    let on_submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let Some(wanted) = field.get_untracked().map(|field| field.value().trim().to_owned()) else { return };
        if wanted.is_empty() {
            return;
        }
        let again = term.get_untracked() == wanted;
        let navigate = navigate.clone();
        spawn_local(throughline_browser::action("submit", "Search", async move {
            if again {
                session.reload().await;
            } else {
                let opened = page::hand_over();
                navigate(&format!("/search?term={}", encode(&wanted)), Default::default());
                opened.await;
            }
        }));
    };
    let blur = move |event: ev::KeyboardEvent| {
        if event.key() == "Escape"
            && let Some(field) = field.get_untracked()
        {
            // Fails only for an element that is not focusable.
            let _ = field.blur();
        }
    };
    view! {
        <form class=if main { "search search-main" } else { "search search-head" } role="search" on:submit=on_submit>
            <input
                type="search"
                class="search-field"
                node_ref=field
                name="term"
                aria-label="Search cruds"
                placeholder="Search cruds"
                autocomplete="off"
                prop:value=move || term.get()
                on:keydown=blur
            />
            {main.then(|| view! { <button type="submit" class="button">"Search"</button> })}
            {(!main).then(|| view! { <kbd aria-hidden="true">"/"</kbd> })}
        </form>
    }
}
