//! `/traces/{id}`: the waterfall.

use std::{sync::Arc, time::Duration};

use leptos::{ev, prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_params_map},
};
use throughline_inspector_api::{Trace, TraceSummary};
use web_sys::KeyboardEvent;

use super::{
    api,
    copy::copy,
    details::Details,
    focus::{is_on_control, is_typing, set_focus},
    header::Header,
    live::listen,
    minimap::Minimap,
    page::Page,
    problem_view::ProblemView,
    waterfall::Waterfall,
};
use throughline_inspector::{
    address::{View, is_trace_id},
    model::Model,
    problem::Problem,
};

/// The loading state of the page.
#[derive(Clone, PartialEq)]
enum Phase {
    Loading,
    Ready,
    Failed(Problem),
}

/// The waterfall of the trace that the address names.
#[component]
pub fn TracePage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get_str("id").unwrap_or("").to_owned()));
    move || {
        let id = id.get();
        if is_trace_id(&id) {
            view! { <Loaded id=id.to_ascii_lowercase()/> }.into_any()
        } else {
            view! {
                <div class="trace-none">
                    <h1 tabindex="-1">"Invalid trace id"</h1>
                    <p>
                        "A trace id is 32 hexadecimal digits, not all of them zero. The address has: "
                        <code class="breakable">{id}</code>
                    </p>
                    <p>
                        <a class="button" href=api::url("/traces")>"All traces"</a>
                    </p>
                </div>
            }
            .into_any()
        }
    }
}

/// A trace that is loaded, and reloaded while it grows.
#[component]
fn Loaded(id: String) -> impl IntoView {
    let phase = RwSignal::new(Phase::Loading);
    let model = RwSignal::new(None::<Arc<Model>>);
    let busy = StoredValue::new(false);
    let dirty = StoredValue::new(false);
    let id = StoredValue::new(id);
    let load = move || {
        if busy.try_update_value(|busy| std::mem::replace(busy, true)) != Some(false) {
            dirty.try_set_value(true);
            return;
        }
        spawn_local(async move {
            loop {
                dirty.try_set_value(false);
                let Some(path) = id.try_with_value(|id| format!("/api/traces/{id}")) else { return };
                match api::get::<Trace>(&path).await {
                    Ok(trace) if trace.spans.is_empty() => {
                        phase.try_set(Phase::Failed(Problem::Unreadable {
                            status: 200,
                            reason: "the trace has no spans".to_owned(),
                        }));
                    }
                    Ok(trace) => {
                        model.try_set(Some(Arc::new(Model::new(trace))));
                        phase.try_set(Phase::Ready);
                    }
                    // If a refetch fails, the trace on the screen is kept.
                    Err(problem) if model.try_with_untracked(Option::is_none) == Some(true) => {
                        phase.try_set(Phase::Failed(problem));
                    }
                    Err(_) => {}
                }
                if dirty.try_get_value() != Some(true) {
                    busy.try_set_value(false);
                    return;
                }
            }
        });
    };
    load();
    // Spans arrive in batches: one request for all changes within 300 ms.
    let due = StoredValue::new(false);
    let grown = move |summary: TraceSummary| {
        if id.try_with_value(|id| *id == summary.trace_id) == Some(true)
            && due.try_update_value(|due| std::mem::replace(due, true)) == Some(false)
        {
            set_timeout(
                move || {
                    if due.try_set_value(false).is_none() {
                        load();
                    }
                },
                Duration::from_millis(300),
            );
        }
    };
    listen(grown, load);
    let phase_now = Memo::new(move |_| phase.get());
    move || match phase_now.get() {
        Phase::Loading => view! {
            <div class="skeleton trace-skeleton" role="status">
                <span class="sr-only">"Loading the trace"</span>
                {(0..10).map(|_| view! { <div class="skeleton-line"></div> }).collect_view()}
            </div>
        }
        .into_any(),
        Phase::Failed(problem) if problem.is_missing() => view! {
            <div class="trace-none">
                <h1 tabindex="-1">"No such trace"</h1>
                <p>"No span of trace " <code class="breakable">{id.get_value()}</code> " is stored."</p>
                <p class="quiet">"A new trace appears here as soon as its first spans arrive."</p>
                <p>
                    <a class="button" href=api::url("/traces")>"All traces"</a>
                </p>
            </div>
        }
        .into_any(),
        Phase::Failed(problem) => {
            let again = Callback::new(move |()| {
                phase.set(Phase::Loading);
                load();
            });
            view! {
                <div class="trace-none">
                    <h1 tabindex="-1">"The trace could not be loaded"</h1>
                    <ProblemView problem retry=again/>
                </div>
            }
            .into_any()
        }
        Phase::Ready => match model.get_untracked() {
            Some(first) => view! { <Shown first model/> }.into_any(),
            None => ().into_any(),
        },
    }
}

/// A loaded trace.
#[component]
fn Shown(
    first: Arc<Model>,
    /// The trace as it grows.
    model: RwSignal<Option<Arc<Model>>>,
) -> impl IntoView {
    let query = use_location().query;
    let read = move || query.with(|query| View::read(|key| query.get(key)));
    let navigate = use_navigate();
    let path = api::url(&format!("/traces/{}", first.trace_id));
    let show = Callback::new(move |view: View| {
        let options = NavigateOptions { resolve: false, replace: true, scroll: false, ..Default::default() };
        navigate(&format!("{path}{}", view.query()), options);
    });
    let page = Page::new(first, untrack(read), show);
    Effect::new(move |_| {
        if let Some(model) = model.get() {
            page.model.set(model);
        }
    });
    // The address also changes by back, forward, or a link within the trace.
    Effect::new(move |before: Option<()>| {
        let view = read();
        let changed = page.view.with_untracked(|now| *now != view);
        if changed {
            page.view.set(view);
        }
        if (changed || before.is_none())
            && let Some(span) = untrack(move || page.selected())
        {
            page.go_to(span);
        }
    });
    let search = NodeRef::<leptos::html::Input>::new();
    let status = RwSignal::new("");
    let keys = window_event_listener(ev::keydown, move |event| {
        if !is_typing(&event) && on_key(page, search, status, &event) {
            event.prevent_default();
        }
    });
    on_cleanup(move || keys.remove());
    let is_open = Memo::new(move |_| page.selected().is_some());
    view! {
        <div class="trace-page">
            <Header page search/>
            <Minimap page/>
            <div class="trace-body" class:with-details=move || is_open.get()>
                <Waterfall page/>
                {move || is_open.get().then(|| view! { <Details page/> })}
            </div>
            <span class="sr-only" role="status">{move || status.get()}</span>
        </div>
    }
}

/// Handles a key; returns whether it has a function.
fn on_key(
    page: Page,
    search: NodeRef<leptos::html::Input>,
    status: RwSignal<&'static str>,
    event: &KeyboardEvent,
) -> bool {
    match event.key().as_str() {
        "e" => page.next_error(),
        "c" => {
            status.set("");
            let Ok(href) = window().location().href() else { return false };
            spawn_local(async move {
                status.try_set(if copy(&href).await { "Link copied" } else { "Copying failed" });
            });
        }
        "/" => {
            let Some(field) = search.get_untracked() else { return false };
            set_focus(&field);
            field.select();
        }
        "z" => match page.cursor_index() {
            Some(span) => page.zoom_to(span),
            None => return false,
        },
        "0" => page.set_view(|view| view.range_ns = None),
        "Escape" => page.close(),
        // Buttons and links handle the remaining keys themselves.
        _ if is_on_control(event) => return false,
        key => return on_arrow(page, key),
    }
    true
}

fn on_arrow(page: Page, key: &str) -> bool {
    const LEAP: usize = 15;
    let rows = page.rows.get_untracked();
    let last = rows.len().saturating_sub(1);
    let here = page.cursor_index().and_then(|span| page.row_of(span));
    let to = match (key, here) {
        ("ArrowDown", Some(row)) => (row + 1).min(last),
        ("ArrowUp", Some(row)) => row.saturating_sub(1),
        ("PageDown", Some(row)) => (row + LEAP).min(last),
        ("PageUp", Some(row)) => row.saturating_sub(LEAP),
        ("ArrowDown" | "ArrowUp" | "PageDown" | "PageUp" | "Home", _) => 0,
        ("End", _) => last,
        ("ArrowLeft" | "ArrowRight" | "Enter" | " ", Some(row)) => {
            let Some(row) = rows.get(row) else { return false };
            let span = row.span as usize;
            let tree = |look: &dyn Fn(&throughline_inspector::tree::Tree) -> Option<u32>| {
                page.model.with_untracked(|model| look(&model.tree))
            };
            match key {
                "ArrowLeft" if row.descendants > 0 && !row.folded => page.fold(span, true),
                "ArrowLeft" => {
                    if let Some(parent) = tree(&|tree| tree.parent(row.span)) {
                        page.move_to(parent as usize);
                    }
                }
                "ArrowRight" if row.folded => page.fold(span, false),
                "ArrowRight" => {
                    if let Some(child) = tree(&|tree| tree.children(row.span).first().copied()) {
                        page.move_to(child as usize);
                    }
                }
                _ => page.select(span),
            }
            return true;
        }
        _ => return false,
    };
    if let Some(row) = rows.get(to) {
        page.move_to(row.span as usize);
        if let Some(grid) = page.scroller.get_untracked() {
            // A screen reader reads the row when the focus is on the grid.
            let options = web_sys::FocusOptions::new();
            options.set_prevent_scroll(true);
            // infallible: browsers do not throw here; the grid is focusable.
            let _ = grid.focus_with_options(&options);
        }
    }
    true
}
