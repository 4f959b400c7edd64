//! `/search?term=`: the cruds that contain a term.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::feed::FeedList;
use crate::{app::focus_search, load::use_load, page::use_page, search_form::SearchForm, session::Session};

#[component]
pub(crate) fn SearchPage() -> impl IntoView {
    let query = use_location().query;
    let term = Memo::new(move |_| {
        query.with(|query| query.get("term")).map(|term| term.trim().to_owned()).unwrap_or_default()
    });
    view! {
        <h1 tabindex="-1">"Search"</h1>
        <SearchForm main=true/>
        {move || {
            let term = term.get();
            if term.is_empty() {
                view! { <NoTerm/> }.into_any()
            } else {
                view! { <Results term/> }.into_any()
            }
        }}
    }
}

/// The page without a search term.
#[component]
fn NoTerm() -> impl IntoView {
    // Nothing is loaded, but the page has opened.
    drop(use_page("/search", "Search"));
    request_animation_frame(|| {
        request_animation_frame(|| {
            focus_search();
        });
    });
    view! { <p class="quiet">"Type a word and press Enter."</p> }
}

#[component]
fn Results(term: String) -> impl IntoView {
    let opened = use_page("/search", &format!("“{term}”"));
    let session = Session::current();
    let load = {
        let term = term.clone();
        use_load(opened, move || {
            let (api, term) = (session.api(), term.clone());
            async move { api.search(&term).await }
        })
    };
    let activities = Signal::derive(move || {
        load.data.with(|feed| feed.as_ref().map(|feed| feed.activities.clone()).unwrap_or_default())
    });
    let empty = move || {
        view! {
            <div class="empty">
                <h2>{format!("No cruds contain “{term}”")}</h2>
                <p>"Expired cruds are not searched."</p>
                <p>
                    <a class="button button-accent" href="/">"Write a crud"</a>
                </p>
            </div>
        }
    };
    load.show(move || {
        let empty = empty.clone();
        view! { <FeedList activities empty/> }
    })
}
