//! The filter of the list.

use std::time::Duration;

use leptos::{ev, leptos_dom::helpers::TimeoutHandle, prelude::*};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement, KeyboardEvent};

use super::{
    api,
    focus::{blur, is_typing, set_focus},
};
use throughline_inspector::address::Filter;

/// Formats the text of the minimum duration field; empty if no minimum is set.
fn min_text(min_ms: Option<f64>) -> String {
    min_ms.map_or_else(String::new, |ms| ms.to_string())
}

/// The fields of the filter, which is kept in the address bar.
#[component]
pub(super) fn FilterBar(filter: Memo<Filter>) -> impl IntoView {
    let field = NodeRef::<leptos::html::Input>::new();
    let navigate = use_navigate();
    let show = StoredValue::new_local(move |filter: &Filter| {
        let to = api::url(&format!("/traces{}", filter.query()));
        navigate(&to, NavigateOptions { resolve: false, replace: true, scroll: false, ..Default::default() });
    });
    let text = RwSignal::new(filter.get_untracked().text);
    let min = RwSignal::new(min_text(filter.get_untracked().min_ms));
    // Back, forward and links change the address too. Text that is being typed is not replaced.
    Effect::new(move |_| {
        let filter = filter.get();
        if text.with_untracked(|text| text.trim() != filter.text) {
            text.set(filter.text);
        }
        let typed = min.with_untracked(|min| min.trim().parse::<f64>().ok().filter(|ms| *ms > 0.0));
        if typed != filter.min_ms {
            min.set(min_text(filter.min_ms));
        }
    });
    let apply = move |change: &dyn Fn(&mut Filter)| {
        let mut next = filter.get_untracked();
        change(&mut next);
        if next != filter.get_untracked() {
            show.with_value(|show| show(&next));
        }
    };
    // Debounced: one request 200 ms after the last keystroke, not one for each.
    let timer = StoredValue::new(None::<TimeoutHandle>);
    let soon = move || {
        let handle = set_timeout_with_handle(
            move || {
                let (Some(text), Some(min)) = (text.try_get_untracked(), min.try_get_untracked()) else { return };
                apply(&|filter| {
                    filter.text = text.trim().to_owned();
                    filter.min_ms = min.trim().parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0);
                });
            },
            Duration::from_millis(200),
        );
        if let Some(Some(old)) = timer.try_update_value(|timer| std::mem::replace(timer, handle.ok())) {
            old.clear();
        }
    };
    on_cleanup(move || {
        if let Some(Some(old)) = timer.try_update_value(Option::take) {
            old.clear();
        }
    });
    let keys = window_event_listener(ev::keydown, move |event| {
        if event.key() == "/"
            && !is_typing(&event)
            && let Some(field) = field.get_untracked()
        {
            event.prevent_default();
            set_focus(&field);
            field.select();
        }
    });
    on_cleanup(move || keys.remove());
    let field_key = move |event: KeyboardEvent| match event.key().as_str() {
        "Escape" => {
            if let Some(field) = field.get_untracked() {
                blur(&field);
            }
        }
        "ArrowDown" => {
            let first = document().query_selector("a.trace-link").ok().flatten();
            if let Some(link) = first.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
                event.prevent_default();
                set_focus(&link);
            }
        }
        _ => {}
    };
    view! {
        <form class="filter" role="search" on:submit=move |event| event.prevent_default()>
            <label class="filter-text">
                <span class="sr-only">"Filter by name, service, user or trace id"</span>
                <input
                    type="search"
                    node_ref=field
                    placeholder="Filter: span name, service, user, trace id"
                    autocomplete="off"
                    spellcheck="false"
                    prop:value=move || text.get()
                    on:input=move |event| {
                        text.set(event_target_value(&event));
                        soon();
                    }
                    on:keydown=field_key
                />
                <kbd aria-hidden="true">"/"</kbd>
            </label>
            <label class="filter-min">
                "at least"
                <input
                    type="text"
                    inputmode="decimal"
                    size="5"
                    aria-label="Minimum duration in milliseconds"
                    placeholder="0"
                    autocomplete="off"
                    prop:value=move || min.get()
                    on:input=move |event| {
                        min.set(event_target_value(&event));
                        soon();
                    }
                />
                "ms"
            </label>
            <label class="filter-errors">
                <input
                    type="checkbox"
                    prop:checked=move || filter.get().errors
                    on:change=move |event| {
                        let checked = event
                            .target()
                            .and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
                            .is_some_and(|input| input.checked());
                        apply(&|filter| filter.errors = checked);
                    }
                />
                "errors only"
            </label>
        </form>
    }
}
