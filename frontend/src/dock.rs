//! The dock, which shows the recent requests of the page as bars.

use std::collections::VecDeque;

use leptos::prelude::*;
use throughline_browser::{Network, RequestSummary, Status};
use throughline_timing::{Band, Method, Phase, format_estimate, format_ms};

use crate::{
    storage::{self, Key},
    text,
};

/// The number of requests kept.
const KEPT: usize = 20;

/// A request in the dock.
#[derive(Clone)]
struct Line {
    number: u64,
    request: RequestSummary,
}

/// The state of the dock.
#[derive(Clone, Copy)]
pub(crate) struct DockState {
    open: RwSignal<bool>,
    lines: RwSignal<VecDeque<Line>>,
    status: RwSignal<Status>,
}

impl DockState {
    /// Creates the state and subscribes to requests.
    pub(crate) fn start() -> Self {
        let open = match storage::recall(Key::Dock).as_deref() {
            Some("open") => true,
            Some("closed") => false,
            // Closed on a phone by default.
            _ => window().inner_width().ok().and_then(|width| width.as_f64()).is_some_and(|width| width >= 700.0),
        };
        let state = Self {
            open: RwSignal::new(open),
            lines: RwSignal::new(VecDeque::new()),
            status: RwSignal::new(Status::Starting),
        };
        let number = StoredValue::new(0_u64);
        throughline_browser::on_request(move |request| {
            let Some(number) = number.try_update_value(|n| {
                *n += 1;
                *n
            }) else {
                return;
            };
            state.lines.update(|lines| {
                lines.push_front(Line { number, request: request.clone() });
                lines.truncate(KEPT);
            });
        });
        throughline_browser::on_status(move |status| state.status.set(*status));
        state
    }

    /// Opens the dock, or collapses it to one line.
    pub(crate) fn toggle(self) {
        let open = !self.open.get_untracked();
        self.open.set(open);
        storage::remember(Key::Dock, if open { "open" } else { "closed" });
    }
}

/// Describes why telemetry is not delivered; `None` if it is.
fn status_words(status: &Status) -> Option<String> {
    match status {
        Status::Starting | Status::Ok => None,
        Status::Off(_) => Some(format!("Telemetry is off: {status}.")),
        Status::Rejected(_) => Some(format!("The server rejects telemetry: {status}.")),
        Status::Unreachable(_) => Some(format!("Telemetry cannot be delivered and is queued: {status}.")),
    }
}

/// Returns the pieces of a request's bar. Adjacent phases of the same band are one piece.
fn pieces(segments: &[(Phase, f64)]) -> Vec<(Band, f64, Vec<Phase>)> {
    let mut pieces: Vec<(Band, f64, Vec<Phase>)> = Vec::new();
    for (phase, ms) in segments.iter().filter(|(_, ms)| *ms > 0.0) {
        let band = Band::of(*phase);
        match pieces.last_mut() {
            Some((last, length, phases)) if *last == band => {
                *length += ms;
                phases.push(*phase);
            }
            _ => pieces.push((band, *ms, vec![*phase])),
        }
    }
    pieces
}

/// Formats a piece: `up 21±2`, `server 34`.
fn piece_words(band: Band, ms: f64, network: Option<&Network>) -> String {
    let number = match network {
        Some(network) if band.is_estimate() => format_estimate(ms, network.error_ms),
        _ => format_ms(ms),
    };
    format!("{} {number}", band.label())
}

#[component]
pub(crate) fn Dock(state: DockState) -> impl IntoView {
    let shown = move || {
        let most = if state.open.get() { KEPT } else { 1 };
        state.lines.with(|lines| lines.iter().take(most).cloned().collect::<Vec<_>>())
    };
    let is_empty = Memo::new(move |_| state.lines.with(VecDeque::is_empty));
    let label = move || if state.open.get() { "Show only the latest request (t)" } else { "Show recent requests (t)" };
    view! {
        <section class="dock" class:dock-open=move || state.open.get() aria-label="Recent requests">
            <div class="dock-head">
                <button
                    type="button"
                    class="dock-toggle"
                    aria-expanded=move || if state.open.get() { "true" } else { "false" }
                    aria-label=label
                    title=label
                    on:click=move |_| state.toggle()
                >
                    <span aria-hidden="true">{move || if state.open.get() { "▾" } else { "▴" }}</span>
                    <span class="dock-title">"Requests"</span>
                </button>
                <span class="dock-status" role="status">
                    {move || state.status.with(status_words)}
                </span>
                <span class="dock-key" aria-hidden="true">
                    <i class="band band-browser"></i>"browser"
                    <i class="band band-setup"></i>"connect"
                    <i class="band band-uplink"></i>"up"
                    <i class="band band-server"></i>"server"
                    <i class="band band-downlink"></i>"down"
                    <span class="quiet">"hatched: estimated"</span>
                </span>
            </div>
            <Show when=move || is_empty.get()>
                <p class="dock-empty quiet">"No requests yet."</p>
            </Show>
            <ol class="dock-lines">
                <For each=shown key=|line| line.number let:line>
                    <DockLine request=line.request/>
                </For>
            </ol>
        </section>
    }
}

#[component]
fn DockLine(request: RequestSummary) -> impl IntoView {
    let RequestSummary { trace_id, method, path, status, error, total_ms, segments, quality, network, .. } = request;
    let whole = total_ms.max(f64::MIN_POSITIVE);
    let title = network.as_ref().map_or_else(
        || format!("timing is {quality}"),
        |network| {
            format!(
                "network {} measured; split: {}",
                text::duration(network.total_ms),
                Method::parse(network.method).map_or(network.method, Method::description)
            )
        },
    );
    let bands = pieces(&segments)
        .into_iter()
        .map(|(band, ms, phases)| {
            let words = piece_words(band, ms, network.as_ref());
            let parts: Vec<&str> = phases.into_iter().map(Phase::description).collect();
            let title = format!("{words} ms: {}", parts.join(", "));
            view! {
                <span
                    class=format!("dock-band band band-{}", band.as_str())
                    style:width=format!("{:.3}%", (100.0 * ms / whole).min(100.0))
                    title=title
                >
                    <span class="band-long">{words}</span>
                    <span class="band-short" aria-hidden="true">{band.letter()}</span>
                </span>
            }
        })
        .collect_view();
    let failure = match (error, status) {
        (_, Some(status)) if status >= 400 => Some(status.to_string()),
        (Some(error), _) => Some(error),
        _ => None,
    };
    let class = if failure.is_some() { "dock-line dock-failed" } else { "dock-line" };
    let name = format!("{method} {path}");
    let link = format!("Trace of {name}");
    view! {
        <li class=class>
            <span class="dock-what" title=name>
                <b>{method}</b>
                " "
                {path}
            </span>
            <span class="dock-bar" title=title>{bands}</span>
            {failure
                .map(|why| {
                    view! {
                        <span class="dock-error">
                            <span class="error-icon" aria-hidden="true">"!"</span>
                            {why}
                        </span>
                    }
                })}
            <span class="dock-total">{text::duration(total_ms)}</span>
            <a class="dock-trace" href=format!("/traces/{trace_id}") rel="external" aria-label=link>
                "→ trace"
            </a>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_of_one_band_are_one_piece() {
        let pieces = pieces(&[
            (Phase::Stall, 2.0),
            (Phase::Dns, 1.0),
            (Phase::Connect, 3.0),
            (Phase::Tls, 0.0),
            (Phase::Uplink, 21.0),
        ]);
        let seen: Vec<_> = pieces.iter().map(|(band, ms, _)| (*band, *ms)).collect();
        assert_eq!(seen, [(Band::Stall, 2.0), (Band::Setup, 4.0), (Band::Uplink, 21.0)]);
    }

    #[test]
    fn only_estimates_have_an_error() {
        let network = Network {
            total_ms: 41.0,
            uplink_ms: 21.0,
            downlink_ms: 20.0,
            error_ms: 1.6,
            method: "bounded",
            server_ms: 34.0,
        };
        assert_eq!(piece_words(Band::Uplink, 21.0, Some(&network)), "up 21±2");
        assert_eq!(piece_words(Band::Server, 34.0, Some(&network)), "server 34");
        assert_eq!(piece_words(Band::Wait, 40.0, None), "wait 40");
    }

    #[test]
    fn undelivered_telemetry_is_reported() {
        assert_eq!(status_words(&Status::Ok), None);
        assert!(status_words(&Status::Rejected(403)).is_some_and(|words| words.contains("403")));
    }
}
