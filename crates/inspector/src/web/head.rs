//! The header of every page.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::{api, theme::ThemeSwitch};

#[component]
pub(crate) fn Head(
    /// Shows the help dialog.
    help: Callback<()>,
) -> impl IntoView {
    let list = api::url("/traces");
    let path = use_location().pathname;
    let is_list = {
        let list = list.clone();
        Memo::new(move |_| path.with(|path| path.trim_end_matches('/') == list))
    };
    view! {
        <header class="head">
            <div class="head-in">
                <a class="brand" href=list.clone()>
                    <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
                        <path d="M2 5h7v7h6v7h7" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linejoin="round" stroke-linecap="round"></path>
                    </svg>
                    <span>"Throughline"</span>
                </a>
                <nav class="nav" aria-label="Pages">
                    <a href=list aria-current=move || is_list.get().then_some("page")>"Traces"</a>
                </nav>
                <div class="head-end">
                    <button
                        type="button"
                        class="icon-button wide-only"
                        aria-label="Keyboard shortcuts"
                        title="Keyboard shortcuts (?)"
                        on:click=move |_| help.run(())
                    >
                        "?"
                    </button>
                    <ThemeSwitch/>
                </div>
            </div>
        </header>
    }
}
