//! `/traces`: the live list.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use gloo_net::http::Method;
use leptos::{ev, prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};
use throughline_shared::inspector::{TraceList, TraceSummary};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement, KeyboardEvent};

use super::{
    backend::Backend,
    focus::is_typing,
    list_row::TraceRow,
    live::{Live, listen},
    problem_view::ProblemView,
};
use crate::{address::Filter, format, problem::Problem};

/// How many traces one request brings.
const PAGE: u32 = 50;
/// How many lines the list holds before the oldest go.
const MOST: usize = 1000;

/// A line of the list. Its content changes while its trace grows.
#[derive(Clone)]
pub(crate) struct Entry {
    id: String,
    start_ns: u64,
    pub(crate) summary: ArcRwSignal<TraceSummary>,
    /// Whether it came by itself, which is shown for a moment.
    pub(crate) arrived: bool,
}

/// What the list does right now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Ready,
    Failed(Problem),
}

/// The state of the page.
#[derive(Clone, Copy)]
struct List {
    backend: StoredValue<Backend>,
    filter: Memo<Filter>,
    phase: RwSignal<Phase>,
    entries: RwSignal<Vec<Entry>>,
    /// New traces that are not shown yet, newest last.
    waiting: RwSignal<Vec<TraceSummary>>,
    next_before: RwSignal<Option<String>>,
    /// The oldest lines have gone, so that `next_before` would leave a gap.
    cut: RwSignal<bool>,
    older: RwSignal<bool>,
    /// Counts requests for the first page: the answer to an old one is thrown away.
    generation: StoredValue<u64>,
    refresh_due: StoredValue<bool>,
}

impl List {
    /// Starts over from the newest.
    fn load(self) {
        let Some(generation) = self.generation.try_update_value(|n| {
            *n += 1;
            *n
        }) else {
            return;
        };
        let (backend, path) = (self.backend.get_value(), self.filter.get_untracked().api(PAGE, None));
        spawn_local(async move {
            let result = backend.get::<TraceList>(&path).await;
            if self.generation.try_get_value() != Some(generation) {
                return;
            }
            match result {
                Ok(list) => {
                    self.entries.set(list.traces.into_iter().map(|summary| entry(summary, false)).collect());
                    self.waiting.set(Vec::new());
                    self.next_before.set(list.next_before);
                    self.cut.set(false);
                    self.phase.set(Phase::Ready);
                }
                Err(problem) => self.phase.set(Phase::Failed(problem)),
            }
        });
    }

    fn load_older(self) {
        let Some(before) = self.next_before.get_untracked() else { return };
        let generation = self.generation.get_value();
        let (backend, path) = (self.backend.get_value(), self.filter.get_untracked().api(PAGE, Some(&before)));
        self.older.set(true);
        spawn_local(async move {
            let result = backend.get::<TraceList>(&path).await;
            self.older.try_set(false);
            if self.generation.try_get_value() != Some(generation) {
                return;
            }
            match result {
                Ok(list) => {
                    for summary in list.traces {
                        self.put(summary, false);
                    }
                    self.next_before.set(list.next_before);
                }
                Err(problem) => self.phase.set(Phase::Failed(problem)),
            }
        });
    }

    /// Asks for the first page again and shows what is new in it; several wishes within a second are one request.
    fn refresh(self) {
        if self.refresh_due.try_update_value(|due| std::mem::replace(due, true)) != Some(false) {
            return;
        }
        set_timeout(
            move || {
                if self.refresh_due.try_set_value(false).is_some() {
                    return;
                }
                let generation = self.generation.get_value();
                let (backend, path) = (self.backend.get_value(), self.filter.get_untracked().api(PAGE, None));
                spawn_local(async move {
                    let Ok(list) = backend.get::<TraceList>(&path).await else { return };
                    if self.generation.try_get_value() == Some(generation) {
                        for summary in list.traces.into_iter().rev() {
                            self.arrive(summary);
                        }
                    }
                });
            },
            Duration::from_secs(1),
        );
    }

    /// A trace came by itself, new or changed.
    fn heard(self, summary: TraceSummary) {
        match self.filter.try_get_untracked().and_then(|filter| filter.admits(&summary)) {
            Some(true) => self.arrive(summary),
            Some(false) => {}
            None => self.refresh(),
        }
    }

    fn arrive(self, summary: TraceSummary) {
        let known = self
            .entries
            .try_with_untracked(|entries| entries.iter().any(|entry| entry.id == summary.trace_id))
            .unwrap_or(true);
        if known || is_at_top() {
            self.put(summary, true);
        } else {
            self.waiting.update(|waiting| {
                waiting.retain(|other| other.trace_id != summary.trace_id);
                waiting.push(summary);
                if waiting.len() > MOST {
                    waiting.remove(0);
                }
            });
        }
    }

    fn show_waiting(self) {
        for summary in self.waiting.try_update(std::mem::take).unwrap_or_default() {
            self.put(summary, true);
        }
    }

    /// Changes the line of a trace, or gives it one.
    fn put(self, summary: TraceSummary, arrived: bool) {
        let line = self.entries.try_with_untracked(|entries| {
            entries.iter().find(|entry| entry.id == summary.trace_id).map(|entry| entry.summary.clone())
        });
        match line {
            None => {}
            Some(Some(line)) => line.set(summary),
            Some(None) => self.entries.update(|entries| {
                let new = entry(summary, arrived);
                let key = |entry: &Entry| (Reverse(entry.start_ns), Reverse(entry.id.clone()));
                let at = entries.partition_point(|entry| key(entry) < key(&new));
                entries.insert(at, new);
                if arrived && entries.len() > MOST {
                    entries.truncate(MOST);
                    self.cut.set(true);
                }
            }),
        }
    }
}

fn entry(summary: TraceSummary, arrived: bool) -> Entry {
    Entry { id: summary.trace_id.clone(), start_ns: summary.start_ns, summary: ArcRwSignal::new(summary), arrived }
}

fn is_at_top() -> bool {
    window().scroll_y().is_ok_and(|y| y <= 8.0)
}

/// The live list of traces, with its filter.
#[component]
pub fn TraceListPage() -> impl IntoView {
    let location = use_location();
    let query = location.query;
    let filter = Memo::new(move |_| query.with(|query| Filter::read(|key| query.get(key))));
    let list = List {
        backend: StoredValue::new(Backend::current()),
        filter,
        phase: RwSignal::new(Phase::Loading),
        entries: RwSignal::new(Vec::new()),
        waiting: RwSignal::new(Vec::new()),
        next_before: RwSignal::new(None),
        cut: RwSignal::new(false),
        older: RwSignal::new(false),
        generation: StoredValue::new(0),
        refresh_due: StoredValue::new(false),
    };
    Effect::new(move |before: Option<Filter>| {
        let filter = filter.get();
        if before.as_ref() != Some(&filter) {
            list.load();
        }
        filter
    });
    let live = listen(&Backend::current(), move |summary| list.heard(summary), move || list.refresh());
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
        let at = (0..links.length()).find(|i| {
            links.item(*i).as_ref() == active.as_ref().map(AsRef::<web_sys::Node>::as_ref)
        });
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
            // Fails only for an element that cannot have the focus.
            let _ = link.focus();
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
                        <button type="button" class="button" on:click=again>"Start again from the newest"</button>
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
                    view! { <span class="quiet">"That is all."</span> }.into_any()
                }
            }}
        </p>
    }
}

/// The fields, kept in the address bar.
#[component]
fn FilterBar(filter: Memo<Filter>) -> impl IntoView {
    let field = NodeRef::<leptos::html::Input>::new();
    let navigate = use_navigate();
    let show = StoredValue::new_local(move |filter: &Filter| {
        let to = format!("/traces{}", filter.query());
        navigate(&to, NavigateOptions { resolve: false, replace: true, scroll: false, ..Default::default() });
    });
    let text = RwSignal::new(filter.get_untracked().text);
    let min = RwSignal::new(filter.get_untracked().min_ms.map(|ms| ms.to_string()).unwrap_or_default());
    // From outside: back, forward, a link. What is being typed stays as it is.
    Effect::new(move |_| {
        let filter = filter.get();
        if text.with_untracked(|text| text.trim() != filter.text) {
            text.set(filter.text);
        }
        let typed = min.with_untracked(|min| min.trim().parse::<f64>().ok().filter(|ms| *ms > 0.0));
        if typed != filter.min_ms {
            min.set(filter.min_ms.map(|ms| ms.to_string()).unwrap_or_default());
        }
    });
    let apply = move |change: &dyn Fn(&mut Filter)| {
        let mut next = filter.get_untracked();
        change(&mut next);
        if next != filter.get_untracked() {
            show.with_value(|show| show(&next));
        }
    };
    // A request for each letter would be one too many: 200 ms after the last one.
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
            // Fails only for an element that cannot have the focus.
            let _ = field.focus();
            field.select();
        }
    });
    on_cleanup(move || keys.remove());
    let field_key = move |event: KeyboardEvent| match event.key().as_str() {
        "Escape" => {
            if let Some(field) = field.get_untracked() {
                let _ = field.blur();
            }
        }
        "ArrowDown" => {
            let first = document().query_selector("a.trace-link").ok().flatten();
            if let Some(link) = first.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
                event.prevent_default();
                let _ = link.focus();
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
                    aria-label="Least duration in milliseconds"
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

#[component]
fn LiveSign(live: RwSignal<Live>) -> impl IntoView {
    let words = move || match live.get() {
        Live::Connecting => ("live live-wait", "connecting"),
        Live::On => ("live live-on", "live"),
        Live::Lost => ("live live-lost", "not live: trying again"),
        Live::Off => ("live live-lost", "not live: reload to see new traces"),
    };
    view! {
        <span class=move || words().0 role="status">
            {move || words().1}
        </span>
    }
}

/// Nothing to show: how to get something.
#[component]
fn Empty(filter: Memo<Filter>) -> impl IntoView {
    let busy = RwSignal::new(false);
    let failed = RwSignal::new(None::<Problem>);
    let backend = StoredValue::new(Backend::current());
    let make = move |_| {
        busy.set(true);
        failed.set(None);
        spawn_local(throughline_browser::action("click", "Make a trace", async move {
            const HOME: &str = "/api/activities/home";
            let request = backend.get_value().request(Method::GET, HOME).build();
            let problem = match request {
                Ok(request) => throughline_browser::http::send(request, Some(HOME)).await.err().map(|_| Problem::Unreachable),
                Err(_) => Some(Problem::Unreachable),
            };
            busy.try_set(false);
            failed.try_set(problem);
        }));
    };
    move || {
        if filter.get().is_empty() {
            view! {
                <div class="empty">
                    <h2>"No traces yet"</h2>
                    <p>
                        "Everything that happens in Cruddur leaves a trace here, from the click to the database row. \
                         Any OpenTelemetry program on this machine can send its own to "
                        <code>"http://127.0.0.1:4318"</code> "."
                    </p>
                    <p>
                        <button
                            type="button"
                            class="button button-accent"
                            disabled=move || busy.get()
                            on:click=make
                        >
                            "Make a trace"
                        </button>
                        " "
                        <a href="/">"or use Cruddur"</a>
                    </p>
                    {move || failed.get().map(|problem| view! { <ProblemView problem/> })}
                </div>
            }
                .into_any()
        } else {
            view! {
                <div class="empty">
                    <h2>"No trace matches"</h2>
                    <p>"Nothing that is stored passes this filter."</p>
                    <p>
                        <a class="button" href="/traces">"Clear the filter"</a>
                    </p>
                </div>
            }
                .into_any()
        }
    }
}

/// The place of the first rows, seen only when loading takes a while.
#[component]
fn Skeleton() -> impl IntoView {
    view! {
        <div class="skeleton" role="status">
            <span class="sr-only">"Loading traces"</span>
            {(0..8).map(|_| view! { <div class="skeleton-line"></div> }).collect_view()}
        </div>
    }
}
