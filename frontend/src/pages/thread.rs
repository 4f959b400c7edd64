//! `/crud/{uuid}`: a crud and its replies.

use cruddur_shared::cruddur::{Activity, Thread};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::feed::FeedList;
use crate::{
    app::focus_composer,
    composer::{Composer, Writing},
    crud::Crud,
    load::use_load,
    page::use_page,
    session::Session,
};

#[component]
pub(crate) fn ThreadPage() -> impl IntoView {
    let params = use_params_map();
    let uuid = Memo::new(move |_| params.with(|params| params.get("uuid").unwrap_or_default()));
    move || view! { <OneThread uuid=uuid.get()/> }
}

#[component]
fn OneThread(uuid: String) -> impl IntoView {
    let opened = use_page("/crud/{uuid}", "Crud");
    let session = Session::current();
    let load = {
        let uuid = uuid.clone();
        use_load(opened, move || {
            let (api, uuid) = (session.api(), uuid.clone());
            async move { api.thread(&uuid).await }
        })
    };
    let done = Callback::new(move |reply: Activity| {
        load.data.update(|thread| {
            if let Some(thread) = thread {
                thread.activity.replies_count = thread.activity.replies_count.saturating_add(1);
                thread.replies.push(reply);
            }
        });
    });
    let activity = Memo::new(move |_| {
        load.data.with(|thread: &Option<Thread>| thread.as_ref().map(|thread| thread.activity.clone()))
    });
    let replies = Signal::derive(move || {
        load.data.with(|thread| thread.as_ref().map(|thread| thread.replies.clone()).unwrap_or_default())
    });
    let empty = || {
        view! {
            <div class="empty">
                <p>"No replies yet."</p>
                <p>
                    <button type="button" class="button" on:click=|_| { focus_composer(); }>"Write the first"</button>
                </p>
            </div>
        }
    };
    view! {
        <h1 tabindex="-1">"Crud"</h1>
        {load
            .show(move || {
                let writing = Writing::Reply(uuid.clone());
                view! {
                    <div class="feed">
                        {move || activity.get().map(|activity| view! { <Crud activity main=true/> })}
                    </div>
                    <Composer writing done/>
                    <h2 class="replies-title">"Replies"</h2>
                    <FeedList activities=replies empty/>
                }
            })}
    }
}
