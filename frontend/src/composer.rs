//! The form for writing a crud or a reply.

use cruddur_shared::{
    CRUD_MAX_CHARS,
    cruddur::{Activity, Expiry},
};
use leptos::{ev, html::Textarea, prelude::*, task::spawn_local};
use web_sys::KeyboardEvent;

use crate::{
    avatar::Avatar,
    problem::{Problem, ProblemView},
    session::Session,
};

/// The kind of text that is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Writing {
    /// A new crud.
    Crud,
    /// A reply to the crud with this UUID.
    Reply(String),
}

/// The id of the text field, for the key that focuses it.
pub(crate) const FIELD_ID: &str = "compose";

const fn expiry_words(expiry: Expiry) -> &'static str {
    match expiry {
        Expiry::OneHour => "1 hour",
        Expiry::ThreeHours => "3 hours",
        Expiry::TwelveHours => "12 hours",
        Expiry::OneDay => "1 day",
        Expiry::SevenDays => "7 days",
        Expiry::ThirtyDays => "30 days",
        Expiry::Never => "never",
    }
}

/// Returns the number of characters left, counted as the server does.
fn left(text: &str) -> i64 {
    let limit = i64::try_from(CRUD_MAX_CHARS).unwrap_or(i64::MAX);
    limit.saturating_sub(i64::try_from(text.trim().chars().count()).unwrap_or(i64::MAX))
}

fn is_sendable(text: &str) -> bool {
    !text.trim().is_empty() && left(text) >= 0
}

#[component]
pub(crate) fn Composer(
    writing: Writing,
    /// Called with the published crud.
    #[prop(into)]
    done: Callback<Activity>,
) -> impl IntoView {
    let session = Session::current();
    let is_reply = writing != Writing::Crud;
    let writing = StoredValue::new(writing);
    let text = RwSignal::new(String::new());
    let expiry = RwSignal::new(Expiry::default());
    let busy = RwSignal::new(false);
    let problem = RwSignal::new(None::<Problem>);
    let status = RwSignal::new("");
    let field = NodeRef::<Textarea>::new();
    let submit = move |kind: &'static str| {
        if busy.get_untracked() || !text.with_untracked(|text| is_sendable(text)) {
            return;
        }
        busy.set(true);
        problem.set(None);
        status.set("");
        let message = text.with_untracked(|text| text.trim().to_owned());
        let (api, writing, ttl) = (session.api(), writing.get_value(), expiry.get_untracked());
        let name = if is_reply { "Reply" } else { "Crud" };
        spawn_local(throughline_browser::action(kind, name, async move {
            let result = match &writing {
                Writing::Crud => api.write(message, ttl).await,
                Writing::Reply(uuid) => api.reply(uuid, message).await,
            };
            busy.try_set(false);
            match result {
                Ok(activity) => {
                    text.try_set(String::new());
                    status.try_set(if is_reply { "Your reply is published." } else { "Your crud is published." });
                    done.try_run(activity);
                }
                // The text is kept in the field.
                Err(why) => {
                    problem.try_set(Some(why));
                }
            }
        }));
    };
    let on_submit = move |event: ev::SubmitEvent| {
        event.prevent_default();
        submit("submit");
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            submit("key");
        } else if event.key() == "Escape"
            && let Some(field) = field.get_untracked()
        {
            // Fails only for an element that is not focusable.
            let _ = field.blur();
        }
    };
    let (label, placeholder, button) = if is_reply {
        ("Your reply", "Write a reply", "Reply")
    } else {
        ("Your crud", "What is on your mind?", "Crud")
    };
    let counter_class = move || match text.with(|text| left(text)) {
        n if n < 0 => "counter counter-over",
        n if n <= 20 => "counter counter-near",
        _ => "counter",
    };
    view! {
        <form class="composer" on:submit=on_submit>
            {move || {
                session.current.get().map(|user| view! { <Avatar handle=user.handle display_name=user.display_name/> })
                    .map_or_else(|| view! { <span class="avatar avatar-none" aria-hidden="true"></span> }.into_any(), IntoAny::into_any)
            }}
            <div class="composer-body">
                <label class="sr-only" for=FIELD_ID>{label}</label>
                <textarea
                    id=FIELD_ID
                    node_ref=field
                    rows="2"
                    placeholder=placeholder
                    aria-describedby="compose-count"
                    prop:value=move || text.get()
                    on:input=move |event| text.set(event_target_value(&event))
                    on:keydown=on_key
                ></textarea>
                <div class="composer-foot">
                    {(!is_reply)
                        .then(|| {
                            view! {
                                <label class="expiry">
                                    "expires in "
                                    <select on:change=move |event| {
                                        let value = event_target_value(&event);
                                        if let Some(choice) = Expiry::ALL.into_iter().find(|e| e.as_str() == value) {
                                            expiry.set(choice);
                                        }
                                    }>
                                        {Expiry::ALL
                                            .into_iter()
                                            .map(|choice| {
                                                view! {
                                                    <option
                                                        value=choice.as_str()
                                                        selected=move || expiry.get() == choice
                                                    >
                                                        {expiry_words(choice)}
                                                    </option>
                                                }
                                            })
                                            .collect_view()}
                                    </select>
                                </label>
                            }
                        })}
                    <span id="compose-count" class=counter_class>
                        {move || text.with(|text| left(text))}
                        <span class="sr-only">" characters left"</span>
                    </span>
                    <button
                        type="submit"
                        class="button button-accent"
                        title="Ctrl+Enter"
                        disabled=move || busy.get() || !text.with(|text| is_sendable(text))
                    >
                        {move || if busy.get() { "Sending…" } else { button }}
                    </button>
                </div>
                {move || {
                    text.with(|text| left(text) < 0)
                        .then(|| view! { <p class="hint">{format!("A crud has at most {CRUD_MAX_CHARS} characters.")}</p> })
                }}
                {move || problem.get().map(|problem| view! { <ProblemView problem/> })}
                <span class="sr-only" role="status">{move || status.get()}</span>
            </div>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_as_the_server_does() {
        assert_eq!(left(""), 280);
        assert_eq!(left("  añb \n"), 277);
        assert_eq!(left(&"😀".repeat(281)), -1);
        assert!(!is_sendable(" \n"));
        assert!(is_sendable(&"é".repeat(280)));
        assert!(!is_sendable(&"é".repeat(281)));
    }
}
