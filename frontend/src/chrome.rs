//! The header of every page.

use leptos::prelude::*;
use leptos_router::components::A;

use crate::{search_form::SearchForm, session::Session, theme::ThemeSwitch, user_menu::UserMenu};

/// The header of the page, with the navigation.
#[component]
pub(crate) fn Head(
    /// Shows the help dialog.
    help: Callback<()>,
) -> impl IntoView {
    let session = Session::current();
    view! {
        <header class="head">
            <div class="head-in">
                <A href="/" attr:class="brand" exact=true>
                    <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
                        <path d="M2 12h5l3-7 4 14 3-7h5" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linejoin="round" stroke-linecap="round"></path>
                    </svg>
                    <span>"Cruddur"</span>
                </A>
                <nav class="nav" aria-label="Pages">
                    <A href="/" exact=true>"Home"</A>
                    <A href="/notifications">
                        <span class="wide-only">"Notifications"</span>
                        <span class="narrow-only" aria-hidden="true">"Inbox"</span>
                    </A>
                    {move || {
                        session
                            .current
                            .get()
                            .map(|user| view! { <A href=format!("/@{}", user.handle)>"Profile"</A> }.into_any())
                            .unwrap_or_else(|| view! { <span class="nav-wait">"Profile"</span> }.into_any())
                    }}
                    <span class="narrow-only">
                        <A href="/search">"Search"</A>
                    </span>
                    <a href="/traces" rel="external">"Traces"</a>
                </nav>
                <div class="head-end">
                    <SearchForm/>
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
                    <UserMenu/>
                </div>
            </div>
        </header>
    }
}
