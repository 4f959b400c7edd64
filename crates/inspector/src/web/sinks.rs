//! The state of the sinks: one line above the list, which expands to a table.

use std::time::Duration;

use leptos::{leptos_dom::helpers::set_interval_with_handle, prelude::*, task::spawn_local};
use throughline_inspector_api::{Quarantined, Sink, SinkList};

use super::{api, clock};
use throughline_inspector::sinks::{self, Tone};

/// The polling interval.
const EVERY: Duration = Duration::from_secs(5);

/// The state of the sinks; renders nothing if there are none.
#[component]
pub(super) fn Sinks() -> impl IntoView {
    let list = RwSignal::new(SinkList::default());
    let ask = move || {
        spawn_local(async move {
            // A failed request is repeated after the interval; the list reports an unreachable server.
            let Ok(now) = api::get::<SinkList>("/api/traces/sinks").await else { return };
            list.try_set(now);
        });
    };
    ask();
    // A hidden page does not poll.
    let is_hidden = || document().hidden();
    let ask_again = move || {
        if !is_hidden() {
            ask();
        }
    };
    if let Ok(handle) = set_interval_with_handle(ask_again, EVERY) {
        on_cleanup(move || handle.clear());
    }
    let headline = move || list.with(|list| sinks::headline(&list.sinks, clock::now_ms()));
    let any = Memo::new(move |_| list.with(|list| !list.sinks.is_empty()));
    view! {
        <Show when=move || any.get()>
            <details class="sinks">
                <summary>
                    <span class="sinks-title">"Forwarding"</span>
                    <span class=move || headline().map_or("sink-good", |(_, tone)| class(tone)) role="status">
                        {move || headline().map(|(text, _)| text)}
                    </span>
                </summary>
                <table class="sink-table">
                    <caption class="sr-only">"Sinks that telemetry is forwarded to; counts since the start of the server"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Sink"</th>
                            <th scope="col">"State"</th>
                            <th scope="col" class="num">"Delivered"</th>
                            <th scope="col" class="num">"Waiting"</th>
                            <th scope="col" class="num">"Oldest"</th>
                            <th scope="col" class="num">"Rejected"</th>
                            <th scope="col" class="num">"Sampled out"</th>
                        </tr>
                    </thead>
                    <tbody>{move || list.get().sinks.into_iter().map(row).collect_view()}</tbody>
                </table>
            </details>
        </Show>
    }
}

fn row(sink: Sink) -> impl IntoView {
    let now_ms = clock::now_ms();
    let (state, oldest) = (sinks::state(&sink, now_ms), sinks::oldest(&sink, now_ms));
    let class = class(sinks::tone(&sink));
    view! {
        <tr>
            <th scope="row" title=sink.endpoint>{sink.name}</th>
            <td>
                <span class=class>{state}</span>
                {sink.last_error.map(|error| view! { <p class="sink-error">{error}</p> })}
                {(sink.lost > 0)
                    .then(|| {
                        let lost = sinks::number(sink.lost);
                        view! { <p class="sink-error">{lost} " removed before delivery, to stay within the storage limit"</p> }
                    })}
                {(!sink.quarantined.is_empty()).then(|| quarantined(sink.quarantined))}
            </td>
            <td class="num" data-label="delivered">{sinks::number(sink.delivered)}</td>
            <td class="num" data-label="waiting">{sinks::number(sink.waiting)}</td>
            <td class="num" data-label="oldest">{oldest}</td>
            <td class="num" data-label="rejected">{sinks::number(sink.rejected)}</td>
            <td class="num" data-label="sampled out">{sinks::number(sink.sampled_out)}</td>
        </tr>
    }
}

/// Renders the records that the upstream rejected permanently, with the reasons.
fn quarantined(entries: Vec<Quarantined>) -> impl IntoView {
    let entry = |entry: Quarantined| {
        let when = clock::short(entry.at_ns as f64 / 1e6);
        let many = (entry.count > 1).then(|| format!("{} records: ", sinks::number(entry.count)));
        let link = entry.trace_id.map(|id| {
            let href = match entry.span_id {
                Some(span_id) => api::url(&format!("/traces/{id}?span={span_id}")),
                None => api::url(&format!("/traces/{id}")),
            };
            view! { <a href=href>"trace"</a> " " }
        });
        view! {
            <li>
                <time class="when">{when}</time>
                " "
                {link}
                {many}
                {entry.reason}
            </li>
        }
    };
    view! {
        <ul class="sink-aside" aria-label="Rejected, latest first">
            {entries.into_iter().map(entry).collect_view()}
        </ul>
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "sink-good",
        Tone::Busy => "sink-busy",
        Tone::Bad => "sink-bad",
    }
}
