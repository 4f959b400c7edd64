//! The page for an unknown address.

use leptos::prelude::*;

use crate::page::use_page;

#[component]
pub(crate) fn MissingPage() -> impl IntoView {
    drop(use_page("/{unknown}", "Page not found"));
    view! {
        <h1 tabindex="-1">"Page not found"</h1>
        <p>"There is no page at this address. Profiles are at " <code>"/@handle"</code> ", traces at " <a href="/traces" rel="external">"/traces"</a> "."</p>
        <p>
            <a class="button button-accent" href="/">"Go home"</a>
        </p>
    }
}
