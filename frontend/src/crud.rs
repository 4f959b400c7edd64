//! The view of one crud.

use cruddur_shared::cruddur::Activity;
use leptos::{prelude::*, task::spawn_local};

use crate::{
    avatar::Avatar,
    problem::{Problem, ProblemView},
    session::Session,
    time::{Ago, Expires},
};

/// Returns the list key of a crud, which changes with every visible change.
pub(crate) fn key(activity: &Activity) -> (String, u32, u32, bool) {
    (activity.uuid.clone(), activity.replies_count, activity.likes_count, activity.liked)
}

#[component]
pub(crate) fn Crud(
    activity: Activity,
    /// Whether this is the main crud of the page.
    #[prop(optional)]
    main: bool,
) -> impl IntoView {
    let Activity {
        uuid,
        handle,
        display_name,
        message,
        created_at,
        expires_at,
        reply_to_uuid,
        replies_count,
        likes_count,
        liked,
    } = activity;
    let profile = format!("/@{handle}");
    let thread = format!("/crud/{uuid}");
    let replies = match replies_count {
        1 => "1 reply".to_owned(),
        n => format!("{n} replies"),
    };
    let reply_to = reply_to_uuid.map(|uuid| {
        view! {
            <p class="crud-reply-to">
                "in reply to "
                <a href=format!("/crud/{uuid}")>"this crud"</a>
            </p>
        }
    });
    view! {
        <article class=if main { "crud crud-main" } else { "crud" }>
            <a class="crud-face" href=profile.clone() tabindex="-1" aria-hidden="true">
                <Avatar handle=handle.clone() display_name=display_name.clone()/>
            </a>
            <div class="crud-body">
                <header class="crud-head">
                    <a class="crud-name" href=profile>{display_name}</a>
                    <span class="handle">"@" {handle}</span>
                    <a class="crud-time" href=thread.clone()>
                        <Ago at=created_at/>
                    </a>
                    {expires_at.map(|at| view! { <Expires at/> })}
                </header>
                {reply_to}
                <p class="message">{message}</p>
                <footer class="crud-foot">
                    <a class="crud-action" href=thread>
                        <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
                            <path
                                d="M3 4h14v9H9l-4 4v-4H3z"
                                fill="none"
                                stroke="currentColor"
                                stroke-width="1.5"
                                stroke-linejoin="round"
                            ></path>
                        </svg>
                        {replies}
                    </a>
                    <Like uuid likes=likes_count liked/>
                </footer>
            </div>
        </article>
    }
}

/// The like button. It changes immediately, and is reverted if the request fails.
#[component]
fn Like(uuid: String, likes: u32, liked: bool) -> impl IntoView {
    let session = Session::current();
    let uuid = StoredValue::new(uuid);
    let liked = RwSignal::new(liked);
    let likes = RwSignal::new(likes);
    let busy = StoredValue::new(false);
    let problem = RwSignal::new(None::<Problem>);
    let click = move |_| {
        if busy.get_value() {
            return;
        }
        busy.set_value(true);
        problem.set(None);
        let before = (liked.get_untracked(), likes.get_untracked());
        let now = !before.0;
        liked.set(now);
        likes.set(if now { before.1.saturating_add(1) } else { before.1.saturating_sub(1) });
        let (api, uuid) = (session.api(), uuid.get_value());
        spawn_local(throughline_browser::action("click", if now { "Like" } else { "Unlike" }, async move {
            let result = api.set_like(&uuid, now).await;
            busy.try_set_value(false);
            let (is_liked, count) = match result {
                Ok(activity) => (activity.liked, activity.likes_count),
                Err(why) => {
                    problem.try_set(Some(why));
                    before
                }
            };
            liked.try_set(is_liked);
            likes.try_set(count);
        }));
    };
    let label = move || {
        let count = likes.get();
        let people = if count == 1 { "1 like".to_owned() } else { format!("{count} likes") };
        format!("Like, {people}")
    };
    view! {
        <button
            type="button"
            class="crud-action like"
            aria-pressed=move || if liked.get() { "true" } else { "false" }
            aria-label=label
            on:click=click
        >
            <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
                <path
                    d="M10 17S3 12.5 3 7.8A3.8 3.8 0 0 1 10 6a3.8 3.8 0 0 1 7 1.8C17 12.5 10 17 10 17z"
                    stroke="currentColor"
                    stroke-width="1.5"
                    stroke-linejoin="round"
                ></path>
            </svg>
            {move || likes.get()}
        </button>
        {move || problem.get().map(|problem| view! { <ProblemView problem/> })}
    }
}
