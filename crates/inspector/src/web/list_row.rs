//! One trace in the list.

use leptos::prelude::*;
use throughline_inspector_api::{Bands, TraceSummary};

use super::{api, clock, list_state::Entry};
use throughline_inspector::{band, format};
use throughline_timing::{Band, format_estimate, format_ms};

/// Returns the bands of a trace's bar, in percent of its width.
///
/// Fetches may run in parallel, so their bands can add up to more than the duration of the trace; they then share the width.
fn pieces(bands: &Bands, duration_ms: f64) -> [(Band, f64); 4] {
    let known = bands.network_ms.max(0.0) + bands.server_ms.max(0.0);
    let whole = duration_ms.max(known).max(f64::MIN_POSITIVE);
    let part = |ms: f64| 100.0 * (ms.max(0.0) / whole).min(1.0);
    [
        (Band::Browser, part(whole - known)),
        (Band::Uplink, part(bands.uplink_ms)),
        (Band::Server, part(bands.server_ms)),
        (Band::Downlink, part(bands.downlink_ms)),
    ]
}

fn words(bands: &Bands) -> String {
    format!(
        "network {} ms (up {}, down {}), server {} ms",
        format_ms(bands.network_ms),
        format_estimate(bands.uplink_ms, bands.error_ms),
        format_estimate(bands.downlink_ms, bands.error_ms),
        format_ms(bands.server_ms),
    )
}

#[component]
pub(crate) fn TraceRow(entry: Entry) -> impl IntoView {
    let Entry { summary, arrived, .. } = entry;
    let line = move || {
        let summary: TraceSummary = summary.get();
        let start_ms = summary.start_ns as f64 / 1e6;
        let duration_ms = summary.duration_ns as f64 / 1e6;
        let bar = summary.bands.map(|bands| {
            view! {
                <span class="mini-bar" role="img" aria-label=words(&bands) title=words(&bands)>
                    {pieces(&bands, duration_ms)
                        .into_iter()
                        .filter(|(_, width)| *width > 0.0)
                        .map(|(band, width)| {
                            view! { <i class=band::class(band) style:width=format!("{width:.2}%")></i> }
                        })
                        .collect_view()}
                </span>
            }
        });
        let errors = match summary.error_count {
            0 => view! { <span class="quiet">"0"</span> }.into_any(),
            n => view! {
                <span class="errors">
                    <span class="error-icon" aria-hidden="true">"!"</span>
                    {format::thousands(n as usize)}
                </span>
            }
            .into_any(),
        };
        let user = summary.user.map(|user| format!("@{user}"));
        let pending = (!summary.has_root).then(|| {
            view! { <span class="quiet" title="The root span has not arrived.">" (root pending)"</span> }
        });
        view! {
            <td class="when">
                <time title=clock::date_time(start_ms)>{clock::short(start_ms)}</time>
            </td>
            <td class="root">
                <span class="service-name">{summary.root_service}</span>
                " "
                <a class="trace-link" href=api::url(&format!("/traces/{}", summary.trace_id))>
                    {if summary.root_name.is_empty() { "(no name)".to_owned() } else { summary.root_name }}
                </a>
                {pending}
            </td>
            <td class="num duration">{format::duration(summary.duration_ns)}</td>
            <td class="bands">{bar}</td>
            <td class="num spans" data-label=if summary.span_count == 1 { "span" } else { "spans" }>{format::thousands(summary.span_count as usize)}</td>
            <td class="num errors-cell" data-label=if summary.error_count == 1 { "error" } else { "errors" }>{errors}</td>
            <td class="user">{user}</td>
        }
    };
    view! { <tr class:arrived=arrived>{line}</tr> }
}
