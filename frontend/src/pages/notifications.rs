//! `/notifications`: likes of your cruds and replies to them.

use cruddur_shared::cruddur::{Notification, NotificationKind};
use leptos::prelude::*;

use crate::{avatar::Avatar, load::use_load, page::use_page, session::Session, time::Ago};

#[component]
pub(crate) fn NotificationsPage() -> impl IntoView {
    let opened = use_page("/notifications", "Notifications");
    let session = Session::current();
    let load = use_load(opened, move || {
        let api = session.api();
        async move { api.notifications().await }
    });
    let notifications =
        move || load.data.with(|data| data.as_ref().map(|data| data.notifications.clone()).unwrap_or_default());
    let is_empty =
        Memo::new(move |_| load.data.with(|data| data.as_ref().is_none_or(|data| data.notifications.is_empty())));
    let empty = || {
        view! {
            <div class="empty">
                <h2>"Nothing yet"</h2>
                <p>"Likes of your cruds and replies to them appear here."</p>
                <p>
                    <a class="button button-accent" href="/">"Write something"</a>
                </p>
            </div>
        }
    };
    view! {
        <h1 tabindex="-1">"Notifications"</h1>
        {load
            .show(move || {
                view! {
                    <Show when=move || !is_empty.get() fallback=empty>
                        <ul class="feed notifications">
                            <For
                                each=notifications
                                key=|one| (one.handle.clone(), one.created_at.clone(), one.activity.uuid.clone())
                                let:one
                            >
                                <li>
                                    <One one/>
                                </li>
                            </For>
                        </ul>
                    </Show>
                }
            })}
    }
}

#[component]
fn One(one: Notification) -> impl IntoView {
    let Notification { kind, handle, display_name, created_at, activity } = one;
    let what = match kind {
        NotificationKind::Like => " liked your crud",
        NotificationKind::Reply => " replied to you",
    };
    view! {
        <article class="crud notification">
            <a class="crud-face" href=format!("/@{handle}") tabindex="-1" aria-hidden="true">
                <Avatar handle=handle.clone() display_name=display_name.clone()/>
            </a>
            <div class="crud-body">
                <p class="crud-head">
                    <span>
                        <a class="crud-name" href=format!("/@{handle}")>{display_name}</a>
                        {what}
                    </span>
                    <Ago at=created_at/>
                </p>
                <p class="message">
                    <a class="plain" href=format!("/crud/{}", activity.uuid)>{activity.message}</a>
                </p>
            </div>
        </article>
    }
}
