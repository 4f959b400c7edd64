//! The details of the selected span.

use std::sync::Arc;

use leptos::prelude::*;
use throughline_inspector_api::{Attribute, Event, Link, Span, StatusCode};

use super::{api, clock, copy::CopyButton, header::swatch, logs::Logs, page::Page};
use throughline_inspector::{
    band::{self, Figures, Segment},
    find, format,
    model::{self, Clock, Model},
};
use throughline_timing::{Band, format_estimate};

#[component]
pub(crate) fn Details(page: Page) -> impl IntoView {
    // The search is kept when another span is selected.
    let needle = RwSignal::new(String::new());
    let selected = Memo::new(move |_| page.selected());
    move || {
        let index = selected.get()?;
        let model = page.model.get();
        let span = model.spans.get(index)?.clone();
        let clock = page.clock.get();
        let times = Times::of(&model, &span, clock);
        // infallible: the model has a service and a network for each span, and the span exists.
        let service = model.service_of.get(index).copied().unwrap_or_default();
        let warnings = model.warnings(index);
        // infallible: as above.
        let network = model.network.get(index).cloned().unwrap_or_default();
        // infallible: all keys of a span are strings.
        let json = serde_json::to_string_pretty(&span).unwrap_or_default();
        let copied = json.clone();
        let tied = model.logs.tied(index).cloned().collect::<Vec<_>>();
        let untied = model.logs.untied(index).cloned().collect::<Vec<_>>();
        let span = Arc::new(span);
        let name = if span.name.is_empty() { "(no name)".to_owned() } else { span.name.clone() };
        Some(view! {
            <aside class="details" aria-label="Span details">
                <div class="details-head">
                    <h2>{name}</h2>
                    <button
                        type="button"
                        class="copy-icon"
                        aria-label="Close details"
                        title="Close (Esc)"
                        on:click=move |_| page.close()
                    >
                        "×"
                    </button>
                </div>
                {(!warnings.is_empty())
                    .then(|| {
                        view! {
                            <ul class="warnings">
                                {warnings
                                    .into_iter()
                                    .map(|words| {
                                        view! {
                                            <li>
                                                <span class="warning-icon" aria-hidden="true">"△"</span>
                                                {words}
                                            </li>
                                        }
                                    })
                                    .collect_view()}
                            </ul>
                        }
                    })}
                <Facts span=span.clone() times service/>
                {network.figures.map(|figures| view! { <NetworkFacts figures/> })}
                {(!network.segments.is_empty()).then(|| view! { <Phases segments=network.segments/> })}
                <Attributes title="Attributes" attributes=span.attributes.clone() needle/>
                <Logs tied untied times clock needle/>
                <Events events=span.events.clone() times/>
                <Links links=span.links.clone()/>
                <Attributes title="Resource" attributes=span.resource.clone() needle/>
                <details class="raw">
                    <summary>"Raw JSON"</summary>
                    <CopyButton text=move |()| copied.clone() label="Copy JSON"/>
                    <pre tabindex="0">{json}</pre>
                </details>
            </aside>
        })
    }
}

/// The times of a span, in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Times {
    start: i64,
    end: i64,
    /// The start of the trace.
    origin: i64,
    /// The alignment that was added to the recorded times.
    align: i64,
}

impl Times {
    fn of(trace: &Model, span: &Span, clock: Clock) -> Self {
        let (start, end) = model::times(span, clock);
        let align = match clock {
            Clock::Raw => 0,
            Clock::Aligned => span.align_ns,
        };
        Self { start, end, origin: trace.window(clock).start_ns(), align }
    }

    /// Formats a time as an offset from the start of the trace.
    pub(super) fn since_origin(self, at: i64) -> String {
        let offset = at.saturating_sub(self.origin);
        if offset == 0 {
            return "+0".to_owned();
        }
        format!("{}{}", if offset < 0 { "−" } else { "+" }, format::duration(offset.unsigned_abs()))
    }
}

#[component]
fn Facts(span: Arc<Span>, times: Times, service: usize) -> impl IntoView {
    let status = match span.status {
        StatusCode::Unset => view! { "unset" }.into_any(),
        StatusCode::Ok => view! { "ok" }.into_any(),
        StatusCode::Error => view! {
            <span class="errors">
                <span class="error-icon" aria-hidden="true">"!"</span>
                "error"
            </span>
        }
        .into_any(),
    };
    let message = (!span.status_message.is_empty()).then(|| format!(": {}", span.status_message));
    let aligned = (times.align != 0).then(|| {
        let sign = if times.align < 0 { "−" } else { "+" };
        view! {
            <dt>"aligned by"</dt>
            <dd class="mono">{format!("{sign}{}", format::duration(times.align.unsigned_abs()))}</dd>
        }
    });
    let parent = span.parent_span_id.clone().map_or_else(
        || view! { <span class="quiet">"none (root)"</span> }.into_any(),
        |parent| {
            let to = api::url(&format!("/traces/{}?span={parent}", span.trace_id));
            view! { <a class="mono" href=to>{parent}</a> }.into_any()
        },
    );
    let (span_id, copied) = (span.span_id.clone(), span.span_id.clone());
    view! {
        <dl class="facts">
            <dt>"service"</dt>
            <dd><i class=swatch(service) aria-hidden="true"></i> {span.service.clone()}</dd>
            <dt>"kind"</dt>
            <dd>{model::kind_words(span.kind)}</dd>
            <dt>"status"</dt>
            <dd>{status} {message}</dd>
            <dt>"duration"</dt>
            <dd class="mono">{format::duration(times.end.saturating_sub(times.start).unsigned_abs())}</dd>
            <dt>"start"</dt>
            <dd class="mono">{times.since_origin(times.start)} <br/> <span class="quiet">{clock::exact(times.start)}</span></dd>
            <dt>"end"</dt>
            <dd class="mono">{times.since_origin(times.end)}</dd>
            {aligned}
            <dt>"span id"</dt>
            <dd class="mono">{span_id} <CopyButton text=move |()| copied.clone() label="Copy span id" icon=true/></dd>
            <dt>"parent"</dt>
            <dd>{parent}</dd>
            {(!span.scope.is_empty()).then(|| view! { <dt>"scope"</dt> <dd>{span.scope.clone()}</dd> })}
        </dl>
    }
}

#[component]
fn NetworkFacts(figures: Figures) -> impl IntoView {
    view! {
        <section>
            <h3>"Network"</h3>
            <dl class="facts">
                <dt>"total"</dt>
                <dd><b class="mono">{format::duration_ms(figures.total_ms)}</b> " measured"</dd>
                <dt>"uplink"</dt>
                <dd class="mono">{format_estimate(figures.uplink_ms, figures.error_ms)} " ms"</dd>
                <dt>"downlink"</dt>
                <dd class="mono">{format_estimate(figures.downlink_ms, figures.error_ms)} " ms"</dd>
                {figures
                    .server_ms
                    .map(|ms| view! { <dt>"server"</dt> <dd><span class="mono">{format::duration_ms(ms)}</span> " by its own clock"</dd> })}
                <dt>"method"</dt>
                <dd>{band::method_description(&figures.method).to_owned()}</dd>
            </dl>
        </section>
    }
}

#[component]
fn Phases(segments: Vec<Segment>) -> impl IntoView {
    view! {
        <section>
            <h3>"Phases"</h3>
            <dl class="facts phases">
                {segments
                    .into_iter()
                    .map(|segment| {
                        let band = Band::of(segment.phase);
                        view! {
                            <dt>
                                <i class=format!("swatch {}", band::class(band))>
                                    <span aria-hidden="true">{band.letter()}</span>
                                </i>
                                {segment.phase.description()}
                            </dt>
                            <dd class="mono">
                                {format::duration_ms(segment.ms)}
                                {band.is_estimate().then_some(" estimated")}
                            </dd>
                        }
                    })
                    .collect_view()}
            </dl>
        </section>
    }
}

/// A searchable list of keys and values; renders nothing if it is empty.
#[component]
fn Attributes(title: &'static str, attributes: Vec<Attribute>, needle: RwSignal<String>) -> impl IntoView {
    if attributes.is_empty() {
        return ().into_any();
    }
    let count = attributes.len();
    let attributes = StoredValue::new(attributes);
    let shown = move || {
        let needle = needle.get().trim().to_lowercase();
        attributes.with_value(|attributes| {
            attributes
                .iter()
                .filter(|attribute| find::attribute_matches(attribute, &needle))
                .cloned()
                .collect::<Vec<_>>()
        })
    };
    view! {
        <section>
            <div class="section-head">
                <h3>{title} " " <span class="quiet">{count}</span></h3>
                <input
                    type="search"
                    placeholder="Search"
                    aria-label=format!("Search in {}", title.to_lowercase())
                    prop:value=move || needle.get()
                    on:input=move |event| needle.set(event_target_value(&event))
                />
            </div>
            <dl class="attributes">
                <For each=shown key=|attribute| (attribute.key.clone(), find::text(&attribute.value)) let:attribute>
                    <AttributeLine attribute/>
                </For>
            </dl>
            <Show when=move || shown().is_empty()>
                <p class="quiet">"No matches."</p>
            </Show>
        </section>
    }
    .into_any()
}

#[component]
pub(super) fn AttributeLine(attribute: Attribute) -> impl IntoView {
    let text = find::text(&attribute.value);
    let copied = text.clone();
    view! {
        <div class="attribute">
            <dt>{attribute.key}</dt>
            <dd>
                {if text.is_empty() { view! { <span class="quiet">"(empty)"</span> }.into_any() } else { text.into_any() }}
                <CopyButton text=move |()| copied.clone() label="Copy value" icon=true/>
            </dd>
        </div>
    }
}

#[component]
fn Events(events: Vec<Event>, times: Times) -> impl IntoView {
    (!events.is_empty()).then(|| {
        view! {
            <section>
                <h3>"Events"</h3>
                <ol class="events">
                    {events
                        .into_iter()
                        .map(|event| {
                            let at = i64::try_from(event.time_ns).unwrap_or(i64::MAX).saturating_add(times.align);
                            view! {
                                <li>
                                    <span class="mono quiet">{times.since_origin(at)}</span>
                                    " "
                                    <b>{event.name}</b>
                                    <dl class="attributes">
                                        {event
                                            .attributes
                                            .into_iter()
                                            .map(|attribute| view! { <AttributeLine attribute/> })
                                            .collect_view()}
                                    </dl>
                                </li>
                            }
                        })
                        .collect_view()}
                </ol>
            </section>
        }
    })
}

#[component]
fn Links(links: Vec<Link>) -> impl IntoView {
    (!links.is_empty()).then(|| {
        view! {
            <section>
                <h3>"Links"</h3>
                <ul class="links">
                    {links
                        .into_iter()
                        .map(|link| {
                            view! {
                                <li>
                                    <a class="mono breakable" href=api::url(&format!("/traces/{}?span={}", link.trace_id, link.span_id))>
                                        {format!("{} · {}", link.trace_id, link.span_id)}
                                    </a>
                                    <dl class="attributes">
                                        {link
                                            .attributes
                                            .into_iter()
                                            .map(|attribute| view! { <AttributeLine attribute/> })
                                            .collect_view()}
                                    </dl>
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
            </section>
        }
    })
}
