//! The row of one span in the waterfall.

use leptos::prelude::*;
use web_sys::MouseEvent;

use super::{
    header::swatch,
    page::{Page, ROW_PX},
};
use throughline_inspector::{
    band::{self, Figures, Segment},
    format,
    label::{self, Room, Side},
    model::is_error,
    timeline::{Bar, Window},
    tree::Row,
};
use throughline_timing::{Band, format_estimate, format_ms};

/// Returns the labels for a fetch's bar, from longest to shortest, each as the measured total and the estimates.
fn network_words(figures: &Figures) -> [(String, String); 4] {
    // The unit applies to the estimates too.
    let (total, line) = (format!("{} ms", format_ms(figures.total_ms)), figures.line());
    [
        (format!("network {total}"), format!(" {line}")),
        (total.clone(), format!(" {line}")),
        (format!("network {total}"), String::new()),
        // Without `net`, the number would look like the duration of the request.
        (format!("net {total}"), String::new()),
    ]
}

/// Renders the label of a bar: the longest that fits.
fn words(figures: Option<&Figures>, length: &str, bar: Bar, room: Room) -> impl IntoView + use<> {
    let words = match figures {
        Some(figures) => network_words(figures).to_vec(),
        None => vec![(String::new(), length.to_owned())],
    };
    let (number, side) =
        label::place(bar, &words.iter().map(|(total, rest)| [&**total, rest].concat()).collect::<Vec<_>>(), room);
    // infallible: `place` returns the index of a label, and there is at least one.
    let (total, rest) = words.into_iter().nth(number).unwrap_or_default();
    let (class, left, right) = match side {
        Side::After => ("wf-label", Some(bar.left + bar.width), None),
        Side::Before => ("wf-label", None, Some(100.0 - bar.left)),
        Side::Over => ("wf-label wf-label-over", None, None),
    };
    let percent = |at: Option<f64>| at.map(|at| format!("{at:.3}%"));
    view! {
        <span class=class style:left=percent(left) style:right=percent(right)>
            {(!total.is_empty()).then(|| view! { <b>{total}</b> })}
            {rest}
        </span>
    }
}

/// Returns the text shown on hover and focus of a fetch.
fn network_title(figures: &Figures) -> String {
    format!(
        "{}. Network {} in total, measured; {}",
        band::method_description(&figures.method),
        format::duration_ms(figures.total_ms),
        figures.line(),
    )
}

fn segment_title(segment: &Segment, figures: Option<&Figures>) -> String {
    let words = segment.phase.description();
    match figures {
        Some(figures) if Band::of(segment.phase).is_estimate() => {
            let estimate = format_estimate(segment.ms, figures.error_ms);
            format!("{words}: {estimate} ms, {}", band::method_description(&figures.method))
        }
        _ => format!("{words}: {}", format::duration_ms(segment.ms)),
    }
}

fn bands(segments: &[Segment], figures: Option<&Figures>, start_ns: i64, window: Window) -> impl IntoView + use<> {
    let at = |ms: f64| start_ns.saturating_add((ms * 1e6).round() as i64);
    segments
        .iter()
        .filter_map(|segment| {
            let bar = window.bar(at(segment.start_ms), at(segment.start_ms + segment.ms))?;
            let band = Band::of(segment.phase);
            Some(view! {
                <i
                    class=format!("wf-band {}", band::class(band))
                    title=segment_title(segment, figures)
                    style:left=format!("{:.3}%", bar.left)
                    style:width=format!("{:.3}%", bar.width)
                >
                    <span aria-hidden="true">{band.letter()}</span>
                </i>
            })
        })
        .collect_view()
}

#[component]
pub(crate) fn SpanRow(
    page: Page,
    /// The number of the row, from 0.
    place: usize,
    row: Row,
) -> impl IntoView {
    let index = row.span as usize;
    let model = page.model.get_untracked();
    let Some(span) = model.spans.get(index) else { return ().into_any() };
    let failed = is_error(span);
    let warned = !span.warnings.is_empty();
    let id = StoredValue::new(span.span_id.clone());
    // infallible: the model has a service and a rank for each span, and the span exists.
    let service = model.service_of.get(index).copied().unwrap_or_default();
    let name = if span.name.is_empty() { "(no name)".to_owned() } else { span.name.clone() };
    let length = format::duration(span.duration_ns);
    let service_name = span.service.clone();
    let logs = model.logs.mark(index);
    let spoken = format!(
        "{name}, {service_name}, {length}{}{}{}",
        if failed { ", error" } else { "" },
        if warned { ", has a warning" } else { "" },
        logs.map_or_else(String::new, |logs| format!(", {}", logs.words())),
    );
    // infallible: as above.
    let rank = model.rank.get(index).copied().unwrap_or_default();
    let is_cursor =
        move || page.cursor.with(|cursor| cursor.as_ref().is_some_and(|cursor| id.with_value(|id| id == cursor)));
    let is_selected =
        move || page.view.with(|view| view.span.as_ref().is_some_and(|span| id.with_value(|id| id == span)));
    let is_dim = move || {
        page.needle.with(|needle| !needle.trim().is_empty())
            && page.hits.with(|hits| hits.binary_search(&rank).is_err())
    };
    let twist = move |event: MouseEvent| {
        event.stop_propagation();
        page.fold(index, !row.folded);
    };
    let drawn = {
        let model = model.clone();
        let length = length.clone();
        move || {
            let window = page.window.get();
            let (start, end) = model.times(index, page.clock.get());
            let network = model.network.get(index)?;
            let span = model.spans.get(index)?;
            let Some(bar) = window.bar(start, end) else {
                let (class, sign) =
                    if end < window.start_ns() { ("wf-off", "◂") } else { ("wf-off wf-off-right", "▸") };
                return Some(view! { <span class=class title="Outside the visible range">{sign}</span> }.into_any());
            };
            let figures = network.figures.as_ref();
            let offset = if page.view.with(|view| view.raw) { 0 } else { span.align_ns };
            let events = span
                .events
                .iter()
                .filter_map(|event| {
                    let at = i64::try_from(event.time_ns).ok()?.saturating_add(offset);
                    let bar = window.bar(at, at)?;
                    Some(view! {
                        <i class="wf-event" title=event.name.clone() style:left=format!("{:.3}%", bar.left)></i>
                    })
                })
                .collect_view();
            let class = match (failed, network.segments.is_empty()) {
                (true, true) => format!("wf-bar service-{} wf-bar-error", service % super::header::SERVICE_COLOURS),
                (false, true) => format!("wf-bar service-{}", service % super::header::SERVICE_COLOURS),
                (true, false) => "wf-bar wf-bar-fetch wf-bar-error".to_owned(),
                (false, false) => "wf-bar wf-bar-fetch".to_owned(),
            };
            let title = figures.map_or_else(|| length.clone(), network_title);
            Some(
                view! {
                    <i
                        class=class
                        title=title
                        style:left=format!("{:.3}%", bar.left)
                        style:width=format!("{:.3}%", bar.width)
                    ></i>
                    {bands(&network.segments, figures, start, window)}
                    {events}
                    {words(figures, &length, bar, page.room.get())}
                }
                .into_any(),
            )
        }
    };
    let method = model.network.get(index).and_then(|network| network.figures.as_ref()).map(network_title);
    // At any depth, more than half of the column is left for the name.
    let indent = format!("min({}px, 45%)", row.depth.saturating_mul(14).saturating_add(4));
    let twisty = (row.descendants > 0).then(|| {
        let below = format::count(row.descendants as usize, "span");
        view! {
            <button
                type="button"
                class="twisty"
                tabindex="-1"
                aria-label=if row.folded { format!("Unfold {below}") } else { format!("Fold {below}") }
                on:click=twist
            >
                {if row.folded { "▸" } else { "▾" }}
            </button>
        }
    });
    let below = row
        .folded
        .then(|| view! { <span class="wf-below">{format!("+{}", format::thousands(row.descendants as usize))}</span> });
    let logs = logs.map(|logs| {
        view! {
            <span class="wf-logs" class:wf-logs-error=logs.errors != 0 title=logs.words() aria-hidden="true">
                {(logs.errors > 0).then(|| view! { <span class="error-icon">"!"</span> })}
                "≡ "
                {format::thousands(logs.count)}
            </span>
        }
    });
    view! {
        <div
            class="wf-row wf-grid"
            role="row"
            id=format!("span-{index}")
            attr:aria-level=(row.depth + 1).to_string()
            aria-posinset=row.position.to_string()
            aria-setsize=row.siblings.to_string()
            aria-rowindex=(place + 2).to_string()
            aria-expanded=(row.descendants > 0).then_some(if row.folded { "false" } else { "true" })
            aria-selected=move || if is_selected() { "true" } else { "false" }
            aria-label=spoken
            class:wf-cursor=is_cursor
            class:wf-selected=is_selected
            class:wf-dim=is_dim
            class:wf-failed=failed
            style:transform=format!("translateY({}px)", place as f64 * ROW_PX)
            on:click=move |_| page.select(index)
        >
            <div class="wf-name" role="gridcell" style:padding-left=indent>
                <span class="wf-twist">{twisty}</span>
                {failed.then(|| view! { <span class="error-icon" title="Error" aria-hidden="true">"!"</span> })}
                {warned.then(|| view! { <span class="warning-icon" title="Has a warning: see its details" aria-hidden="true">"△"</span> })}
                <span class="wf-text" title=name.clone()>{name.clone()}</span>
                {logs}
                {below}
            </div>
            <div class="wf-service" role="gridcell">
                <i class=swatch(service) aria-hidden="true"></i>
                <span class="wf-text" title=service_name.clone()>{service_name.clone()}</span>
            </div>
            <div class="wf-time" role="gridcell">
                {drawn}
                {method.map(|method| view! { <span class="wf-method" aria-hidden="true">{method}</span> })}
            </div>
        </div>
    }
    .into_any()
}
