//! An address without a page.

use leptos::prelude::*;

use crate::page::use_page;

#[component]
pub(crate) fn MissingPage() -> impl IntoView {
    drop(use_page("/{unknown}", "No such page"));
    view! {
        <h1 tabindex="-1">"There is no such page"</h1>
        <p>"The address leads nowhere. People are at " <code>"/@handle"</code> ", traces at " <a href="/traces" rel="external">"/traces"</a> "."</p>
        <p>
            <a class="button button-accent" href="/">"Go home"</a>
        </p>
    }
}
