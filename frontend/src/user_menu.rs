//! The menu for switching the user.

use leptos::{ev, html::Details, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{FocusEvent, HtmlElement, KeyboardEvent, Node};

use crate::{avatar::Avatar, problem::Problem, session::Session};

#[component]
pub(crate) fn UserMenu() -> impl IntoView {
    let session = Session::current();
    let menu = NodeRef::<Details>::new();
    let close = move || {
        if let Some(menu) = menu.get_untracked() {
            menu.set_open(false);
        }
    };
    let focus_out = move |event: FocusEvent| {
        let to = event.related_target().and_then(|target| target.dyn_into::<Node>().ok());
        // A click outside any focusable element has no related target; the listener below handles it.
        if to.is_some() && menu.get_untracked().is_some_and(|menu| !menu.contains(to.as_ref())) {
            close();
        }
    };
    let outside = window_event_listener(ev::pointerdown, move |event| {
        let target = event.target().and_then(|target| target.dyn_into::<Node>().ok());
        if menu.get_untracked().is_some_and(|menu| menu.open() && !menu.contains(target.as_ref())) {
            close();
        }
    });
    on_cleanup(move || outside.remove());
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            close();
            let summary = menu.get_untracked().and_then(|menu| menu.query_selector("summary").ok().flatten());
            if let Some(summary) = summary.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
                // Fails only for an element that is not focusable.
                let _ = summary.focus();
            }
        }
    };
    let face = move || match session.current.get() {
        Some(user) => view! {
            <Avatar handle=user.handle.clone() display_name=user.display_name small=true/>
            <span class="user-handle">"@" {user.handle}</span>
        }
        .into_any(),
        None => view! {
            <span class="avatar avatar-small avatar-none" aria-hidden="true"></span>
            <span class="user-handle">{move || if session.problem.get().is_some() { "no user" } else { "…" }}</span>
        }
        .into_any(),
    };
    view! {
        <details class="user-menu" node_ref=menu on:focusout=focus_out on:keydown=on_key>
            <summary aria-label="Switch user">{face}</summary>
            <div class="user-list">
                <p class="quiet">"Switch user"</p>
                {move || {
                    session
                        .problem
                        .get()
                        .map(|problem: Problem| view! { <p class="hint" role="alert">{problem.sentence()}</p> })
                }}
                <ul>
                    <For each=move || session.users.get() key=|user| user.handle.clone() let:user>
                        {
                            let handle = user.handle.clone();
                            let chosen = user.handle.clone();
                            let is_you = move || session.current.with(|you| you.as_ref().is_some_and(|you| you.handle == handle));
                            view! {
                                <li>
                                    <button
                                        type="button"
                                        aria-pressed=move || if is_you() { "true" } else { "false" }
                                        on:click=move |_| {
                                            close();
                                            session.choose(chosen.clone());
                                        }
                                    >
                                        <Avatar
                                            handle=user.handle.clone()
                                            display_name=user.display_name.clone()
                                            small=true
                                        />
                                        <span>
                                            {user.display_name.clone()}
                                            <span class="handle">" @" {user.handle.clone()}</span>
                                        </span>
                                    </button>
                                </li>
                            }
                        }
                    </For>
                </ul>
            </div>
        </details>
    }
}
