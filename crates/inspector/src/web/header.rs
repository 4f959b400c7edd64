//! The header above the waterfall: facts about the trace, and its tools.

use leptos::{html::Input, prelude::*};
use web_sys::KeyboardEvent;

use super::{api, clock, copy::CopyButton, focus::blur, page::Page};
use throughline_inspector::format;

#[component]
pub(crate) fn Header(page: Page, search: NodeRef<Input>) -> impl IntoView {
    let model = page.model;
    let id = model.with_untracked(|model| model.trace_id.clone());
    let otlp = api::url(&format!("/api/traces/{id}/otlp"));
    let file = format!("trace-{id}.json");
    let title = move || {
        model.with(|model| {
            let root = model.root().map(|span| span.name.clone()).filter(|name| !name.is_empty());
            root.unwrap_or_else(|| "(no name)".to_owned())
        })
    };
    Effect::new(move |_| document().set_title(&format!("{} · Traces · Throughline", title())));
    let user = move || model.with(|model| model.user.as_ref().map(|user| format!(" by @{user}")));
    let start = move || page.whole.get().start_ns() as f64 / 1e6;
    let total = move || format::duration(page.whole.get().width_ns());
    let spans = move || model.with(|model| format::count(model.spans.len(), "span"));
    let services = move || model.with(|model| format::count(model.services.len(), "service"));
    let network = move || {
        model.with(|model| {
            model.network_ms.map(|ms| {
                view! {
                    <span class="fact" title="Measured: the time that requests and responses spent in the network, summed over all fetches.">
                        "network " <b>{format::duration_ms(ms)}</b>
                    </span>
                }
            })
        })
    };
    let errors = move || {
        let n = model.with(|model| model.errors);
        (n > 0).then(|| {
            view! {
                <button type="button" class="button errors" title="Next error (e)" on:click=move |_| page.next_error()>
                    <span class="error-icon" aria-hidden="true">"!"</span>
                    {format::count(n, "error")}
                </button>
            }
        })
    };
    let copy_id = id.clone();
    // infallible: a page can read its own address.
    let link = |()| window().location().href().unwrap_or_default();
    let short_id = id.get(..8).unwrap_or(&id).to_owned();
    view! {
        <header class="trace-header">
            <div class="trace-title">
                <h1 tabindex="-1" title=title>
                    {title}
                    <span class="by">{user}</span>
                </h1>
                <span class="trace-id">
                    <code title=id.clone()>{short_id} "…"</code>
                    <CopyButton text=move |()| copy_id.clone() label="Copy trace id" icon=true/>
                </span>
            </div>
            <div class="trace-facts">
                <span class="fact"><b>{total}</b></span>
                <span class="fact">{spans}</span>
                <span class="fact">{services}</span>
                {network}
                <span class="fact quiet">
                    <time>{move || clock::date_time(start())}</time>
                </span>
                {errors}
            </div>
            <Legend page/>
            <div class="trace-tools">
                <Search page search/>
                <ClockSwitch page/>
                <a class="button" href=otlp download=file title="Download as OTLP JSON">"OTLP"</a>
                <CopyButton text=link label="Copy link"/>
            </div>
        </header>
    }
}

#[component]
fn ClockSwitch(page: Page) -> impl IntoView {
    let raw = move || page.view.with(|view| view.raw);
    let pressed = |on: bool| if on { "true" } else { "false" };
    view! {
        <div class="switch" role="group" aria-label="Times">
            <button
                type="button"
                aria-pressed=move || pressed(raw())
                title="Times as recorded by each service's clock"
                on:click=move |_| page.set_view(|view| view.raw = true)
            >
                "raw"
            </button>
            <button
                type="button"
                aria-pressed=move || pressed(!raw())
                title="All times converted to the clock of the root span"
                on:click=move |_| page.set_view(|view| view.raw = false)
            >
                "aligned"
            </button>
        </div>
    }
}

/// The search within the trace: spans that do not match are dimmed, and Enter moves to the next match.
#[component]
fn Search(page: Page, search: NodeRef<Input>) -> impl IntoView {
    let key = move |event: KeyboardEvent| match event.key().as_str() {
        "Enter" => {
            event.prevent_default();
            page.go_to_next(&page.hits.get_untracked());
        }
        "Escape" => {
            event.prevent_default();
            page.needle.set(String::new());
            if let Some(field) = search.get_untracked() {
                blur(&field);
            }
        }
        _ => {}
    };
    let found = move || {
        let is_searching = page.needle.with(|needle| !needle.trim().is_empty());
        is_searching.then(|| page.hits.with(|hits| format::thousands(hits.len())))
    };
    view! {
        <label class="trace-search">
            <span class="sr-only">"Search in this trace"</span>
            <input
                type="search"
                node_ref=search
                placeholder="Search this trace"
                autocomplete="off"
                spellcheck="false"
                prop:value=move || page.needle.get()
                on:input=move |event| page.needle.set(event_target_value(&event))
                on:keydown=key
            />
            <span class="found" role="status">{found}</span>
            <kbd aria-hidden="true">"/"</kbd>
        </label>
    }
}

/// The services and their colours.
#[component]
fn Legend(page: Page) -> impl IntoView {
    let services = Memo::new(move |_| page.model.with(|model| model.services.clone()));
    view! {
        <ul class="legend" aria-label="Services">
            {move || {
                services
                    .get()
                    .into_iter()
                    .enumerate()
                    .map(|(index, service)| {
                        view! {
                            <li>
                                <i class=swatch(index) aria-hidden="true"></i>
                                {service}
                            </li>
                        }
                    })
                    .collect_view()
            }}
        </ul>
    }
}

/// The number of colours for services; with more services, they repeat.
pub(crate) const SERVICE_COLOURS: usize = 8;

/// Returns the CSS classes of a service's colour swatch.
pub(crate) fn swatch(service: usize) -> String {
    format!("swatch service-{}", service % SERVICE_COLOURS)
}
