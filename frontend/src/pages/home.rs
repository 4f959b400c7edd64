//! `/`: the cruds of all users.

use cruddur_shared::cruddur::Activity;
use leptos::prelude::*;

use super::feed::FeedList;
use crate::{
    app::{WantsComposer, focus_composer},
    composer::{Composer, Writing},
    load::use_load,
    page::use_page,
    session::Session,
};

#[component]
pub(crate) fn HomePage() -> impl IntoView {
    let opened = use_page("/", "Home");
    let session = Session::current();
    let load = use_load(opened, move || {
        let api = session.api();
        async move { api.home().await }
    });
    let done = Callback::new(move |activity: Activity| {
        load.data.update(|feed| {
            if let Some(feed) = feed {
                feed.activities.insert(0, activity);
            }
        });
    });
    if use_context::<WantsComposer>().is_some_and(|wanted| wanted.0.try_update_value(std::mem::take) == Some(true)) {
        // After the heading has received the focus, as on every change of page.
        request_animation_frame(|| {
            request_animation_frame(|| {
                focus_composer();
            });
        });
    }
    let activities = Signal::derive(move || {
        load.data.with(|feed| feed.as_ref().map(|feed| feed.activities.clone()).unwrap_or_default())
    });
    let empty = || {
        view! {
            <div class="empty">
                <h2>"Nothing here yet"</h2>
                <p>"Write the first crud. It appears here, and its request in the list of requests below."</p>
                <p>
                    <button type="button" class="button button-accent" on:click=|_| { focus_composer(); }>
                        "Write a crud"
                    </button>
                </p>
            </div>
        }
    };
    view! {
        <h1 tabindex="-1">"Home"</h1>
        <Composer writing=Writing::Crud done/>
        {load.show(move || view! { <FeedList activities empty/> })}
    }
}
