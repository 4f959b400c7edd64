//! `/traces`: the live list.

use std::collections::HashSet;

use leptos::{ev, prelude::*};
use leptos_router::hooks::use_location;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use super::{
    empty::Empty,
    filter_bar::FilterBar,
    focus::set_focus,
    list_row::TraceRow,
    list_state::{List, Phase, is_at_top},
    live::{Live, listen},
    problem_view::ProblemView,
    sinks::Sinks,
};
use throughline_inspector::{address::Filter, format};

/// The live list of traces, with its filter.
#[component]
pub fn TraceListPage() -> impl IntoView {
    let location = use_location();
    let query = location.query;
    let filter = Memo::new(move |_| query.with(|query| Filter::read(|key| query.get(key))));
    let list = List::new(filter);
    Effect::new(move |before: Option<Filter>| {
        let filter = filter.get();
        if before.as_ref() != Some(&filter) {
            list.load();
        }
        filter
    });
    let live = listen(move |summary| list.on_summary(summary), move || list.refresh());
    let scrolled = window_event_listener(ev::scroll, move |_| {
        if is_at_top() && list.waiting.try_with_untracked(Vec::is_empty) == Some(false) {
            list.show_waiting();
        }
    });
    on_cleanup(move || scrolled.remove());

    let show_new = move |_| {
        window().scroll_to_with_x_and_y(0.0, 0.0);
        list.show_waiting();
    };
    let waiting = Memo::new(move |_| {
        let ids: HashSet<String> =
            list.waiting.with(|waiting| waiting.iter().map(|summary| summary.trace_id.clone()).collect());
        ids.len()
    });
    let is_empty = Memo::new(move |_| list.entries.with(Vec::is_empty));

    view! {
        <div class="traces">
            <div class="traces-top">
                <h1 tabindex="-1">"Traces"</h1>
                <LiveSign live/>
            </div>
            <Sinks/>
            <FilterBar filter/>
            <div class="traces-new" aria-live="polite">
                {move || {
                    let n = waiting.get();
                    (n > 0)
                        .then(|| {
                            view! {
                                <button type="button" class="button button-accent" on:click=show_new>
                                    {format!("{} new", format::thousands(n))}
                                </button>
                            }
                        })
                }}
            </div>
            {move || match list.phase.get() {
                Phase::Loading => view! { <Skeleton/> }.into_any(),
                Phase::Failed(problem) => {
                    let again = move |()| {
                        list.phase.set(Phase::Loading);
                        list.load();
                    };
                    view! { <ProblemView problem retry=Callback::new(again)/> }.into_any()
                }
                Phase::Ready => {
                    view! {
                        <Show when=move || !is_empty.get() fallback=move || view! { <Empty filter/> }>
                            <Table list/>
                        </Show>
                    }
                        .into_any()
                }
            }}
        </div>
    }
}

#[component]
fn Table(list: List) -> impl IntoView {
    let move_focus = move |event: KeyboardEvent| {
        let Some(links) = event
            .current_target()
            .and_then(|target| target.dyn_into::<HtmlElement>().ok())
            .and_then(|body| body.query_selector_all("a.trace-link").ok())
        else {
            return;
        };
        let active = document().active_element();
        let at = (0..links.length())
            .find(|i| links.item(*i).as_ref() == active.as_ref().map(AsRef::<web_sys::Node>::as_ref));
        let Some(at) = at else { return };
        let last = links.length().saturating_sub(1);
        let to = match event.key().as_str() {
            "ArrowDown" => (at + 1).min(last),
            "ArrowUp" => at.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        if let Some(link) = links.item(to).and_then(|node| node.dyn_into::<HtmlElement>().ok()) {
            set_focus(&link);
        }
    };
    view! {
        <table class="trace-table">
            <caption class="sr-only">"Traces, newest first"</caption>
            <thead>
                <tr>
                    <th scope="col">"When"</th>
                    <th scope="col">"Root"</th>
                    <th scope="col" class="num">"Duration"</th>
                    <th scope="col">"Bands"</th>
                    <th scope="col" class="num">"Spans"</th>
                    <th scope="col" class="num">"Errors"</th>
                    <th scope="col">"User"</th>
                </tr>
            </thead>
            <tbody on:keydown=move_focus>
                <For each=move || list.entries.get() key=|entry| entry.id.clone() let:entry>
                    <TraceRow entry/>
                </For>
            </tbody>
        </table>
        <p class="traces-more">
            {move || {
                if list.cut.get() {
                    let again = move |_| {
                        window().scroll_to_with_x_and_y(0.0, 0.0);
                        list.load();
                    };
                    view! {
                        <button type="button" class="button" on:click=again>"Back to the newest"</button>
                    }
                        .into_any()
                } else if list.next_before.with(Option::is_some) {
                    view! {
                        <button
                            type="button"
                            class="button"
                            disabled=move || list.older.get()
                            on:click=move |_| list.load_older()
                        >
                            {move || if list.older.get() { "Loading older…" } else { "Load older" }}
                        </button>
                    }
                        .into_any()
                } else {
                    view! { <span class="quiet">"End of list"</span> }.into_any()
                }
            }}
        </p>
    }
}

#[component]
fn LiveSign(live: RwSignal<Live>) -> impl IntoView {
    let words = move || match live.get() {
        Live::Connecting => ("live live-wait", "connecting"),
        Live::On => ("live live-on", "live"),
        Live::Lost => ("live live-lost", "disconnected: reconnecting"),
        Live::Off => ("live live-lost", "disconnected: reload to see new traces"),
    };
    view! {
        <span class=move || words().0 role="status">
            {move || words().1}
        </span>
    }
}

/// The placeholder for the first rows, visible only if loading takes a while.
#[component]
fn Skeleton() -> impl IntoView {
    view! {
        <div class="skeleton" role="status">
            <span class="sr-only">"Loading traces"</span>
            {(0..8).map(|_| view! { <div class="skeleton-line"></div> }).collect_view()}
        </div>
    }
}
