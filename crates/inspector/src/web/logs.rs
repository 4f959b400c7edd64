//! The log records of a span.

use std::sync::Arc;

use leptos::prelude::*;
use throughline_inspector_api::LogRecord;

use super::details::{AttributeLine, Times};
use throughline_inspector::{format, log, model::Clock};

/// The maximum number of rendered records; the search finds the others.
const MAX_SHOWN: usize = 200;

/// A searchable list of a span's records; renders nothing if there are none.
#[component]
pub(crate) fn Logs(
    /// The records that name the span.
    tied: Vec<LogRecord>,
    /// The records that name no span of the trace, shown with its root.
    untied: Vec<LogRecord>,
    times: Times,
    clock: Clock,
    /// Shared with the other lists of the details.
    needle: RwSignal<String>,
) -> impl IntoView {
    if tied.is_empty() && untied.is_empty() {
        return ().into_any();
    }
    let count = format::thousands(tied.len() + untied.len());
    let is_list_of_untied = !untied.is_empty();
    view! {
        <section>
            <div class="section-head">
                <h3>"Logs " <span class="quiet">{count}</span></h3>
                <input
                    type="search"
                    placeholder="Search"
                    aria-label="Search in logs"
                    prop:value=move || needle.get()
                    on:input=move |event| needle.set(event_target_value(&event))
                />
            </div>
            <Records records=tied times clock needle is_tied=true/>
            {is_list_of_untied.then(|| view! { <h4 class="quiet">"Without a span"</h4> })}
            <Records records=untied times clock needle is_tied=false/>
        </section>
    }
    .into_any()
}

#[component]
fn Records(
    records: Vec<LogRecord>,
    times: Times,
    clock: Clock,
    needle: RwSignal<String>,
    is_tied: bool,
) -> impl IntoView {
    if records.is_empty() {
        return ().into_any();
    }
    let records = StoredValue::new(records.into_iter().map(Arc::new).enumerate().collect::<Vec<_>>());
    let found = Memo::new(move |_| {
        let needle = needle.get().trim().to_lowercase();
        records.with_value(|records| {
            let matching = records.iter().filter(|(_, record)| needle.is_empty() || log::matches(record, &needle));
            matching.map(|(place, _)| *place).collect::<Vec<_>>()
        })
    });
    let shown = move || {
        found.with(|found| {
            records.with_value(|records| {
                found.iter().take(MAX_SHOWN).filter_map(|place| records.get(*place).cloned()).collect::<Vec<_>>()
            })
        })
    };
    let rest = move || {
        let rest = found.with(Vec::len).saturating_sub(MAX_SHOWN);
        (rest > 0).then(|| format!("{} more: search to find them.", format::thousands(rest)))
    };
    view! {
        <ol class="logs">
            <For each=shown key=|(place, _)| *place let((_, record))>
                <Record record times clock needle is_tied/>
            </For>
        </ol>
        {move || rest().map(|rest| view! { <p class="quiet">{rest}</p> })}
        <Show when=move || found.with(Vec::is_empty)>
            <p class="quiet">"No matches."</p>
        </Show>
    }
    .into_any()
}

#[component]
fn Record(
    record: Arc<LogRecord>,
    times: Times,
    clock: Clock,
    needle: RwSignal<String>,
    /// Whether the record names the span that it is shown with.
    is_tied: bool,
) -> impl IntoView {
    let offset = times.since_origin(log::time(&record, clock));
    let severity = log::severity_words(&record).to_owned();
    let body = (!record.event_name.is_empty()).then(|| log::body(&record)).filter(|body| !body.is_empty());
    let missing = record.span_id.clone().filter(|_| !is_tied);
    let attributes = record.attributes.clone();
    let is_found = {
        let record = Arc::clone(&record);
        move || {
            let needle = needle.get().trim().to_lowercase();
            !needle.is_empty() && log::any_attribute_matches(&record, &needle)
        }
    };
    let expandable = (!attributes.is_empty()).then(|| {
        view! {
            <details prop:open=is_found>
                <summary>{format::count(attributes.len(), "attribute")}</summary>
                <dl class="attributes">
                    {attributes.into_iter().map(|attribute| view! { <AttributeLine attribute/> }).collect_view()}
                </dl>
            </details>
        }
    });
    view! {
        <li>
            <div class="log-line">
                <span class="mono quiet">{offset}</span>
                {log::is_error(&record).then(|| view! { <span class="error-icon" title="Error" aria-hidden="true">"!"</span> })}
                <b class="log-title">{log::title(&record)}</b>
                <span class="quiet">{severity}</span>
            </div>
            {missing.map(|id| view! { <p class="quiet">"Span " <code>{id}</code> " has not arrived."</p> })}
            {body.map(|body| view! { <pre class="log-body" tabindex="0">{body}</pre> })}
            {expandable}
        </li>
    }
}
