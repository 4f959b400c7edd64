//! How far each end of the pipe has come: one line above the list, a table when it is opened.

use std::time::Duration;

use leptos::{leptos_dom::helpers::set_interval_with_handle, prelude::*, task::spawn_local};
use throughline_inspector_api::{SetAside, Sink, SinkList};

use super::{api, clock};
use throughline_inspector::sinks::{self, Tone};

/// How often it is asked for.
const EVERY: Duration = Duration::from_secs(5);

/// The state of the sinks; nothing where there are none.
#[component]
pub(super) fn Sinks() -> impl IntoView {
    let list = RwSignal::new(SinkList::default());
    let ask = move || {
        spawn_local(async move {
            // What cannot be asked for now is in a few seconds; that the server is gone, the list says.
            let Ok(now) = api::get::<SinkList>("/api/traces/sinks").await else { return };
            list.try_set(now);
        });
    };
    ask();
    // Nobody looks at a page that is hidden.
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
                    <span class="sinks-title">"Sent on"</span>
                    <span class=move || headline().map_or("sink-good", |(_, tone)| class(tone)) role="status">
                        {move || headline().map(|(text, _)| text)}
                    </span>
                </summary>
                <table class="sink-table">
                    <caption class="sr-only">"Where telemetry is sent on to, since the server's start"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Sink"</th>
                            <th scope="col">"State"</th>
                            <th scope="col" class="num">"Delivered"</th>
                            <th scope="col" class="num">"Waiting"</th>
                            <th scope="col" class="num">"Oldest"</th>
                            <th scope="col" class="num">"Refused"</th>
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
                        view! { <p class="sink-error">{lost} " removed before they were sent, to keep within the limit"</p> }
                    })}
                {(!sink.quarantined.is_empty()).then(|| quarantined(sink.quarantined))}
            </td>
            <td class="num" data-label="delivered">{sinks::number(sink.delivered)}</td>
            <td class="num" data-label="waiting">{sinks::number(sink.waiting)}</td>
            <td class="num" data-label="oldest">{oldest}</td>
            <td class="num" data-label="refused">{sinks::number(sink.rejected)}</td>
            <td class="num" data-label="sampled out">{sinks::number(sink.sampled_out)}</td>
        </tr>
    }
}

/// What the upstream refused for good, and why.
fn quarantined(entries: Vec<SetAside>) -> impl IntoView {
    let entry = |entry: SetAside| {
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
        <ul class="sink-aside" aria-label="Refused, the latest first">
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
