//! The rows of the waterfall; only those in view are in the document.

use leptos::{html::Div, prelude::*};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::ResizeObserver;

use super::{
    page::{Page, ROW_PX},
    row::SpanRow,
};
use throughline_inspector::{format, label::Room, viewport};

/// The number of rows rendered outside the view, on either side.
const MARGIN: usize = 10;

#[component]
pub(crate) fn Waterfall(page: Page) -> impl IntoView {
    let scroller: NodeRef<Div> = page.scroller;
    let top = RwSignal::new(0.0);
    let height = RwSignal::new(600.0);
    let time = NodeRef::<Div>::new();
    Effect::new(move |_| {
        let Some(element) = scroller.get() else { return };
        let measure = {
            let element = element.clone();
            move || {
                height.try_set(f64::from(element.client_height()));
                if let Some(Some(time)) = time.try_get_untracked() {
                    let column_px = f64::from(time.client_width());
                    let right_px = f64::from(element.client_width() - time.offset_left()) - column_px;
                    let room = Room { column_px, right_px: right_px.max(0.0) };
                    // Every row depends on it.
                    if page.room.try_get_untracked().is_some_and(|before| before != room) {
                        page.room.try_set(room);
                    }
                }
                top.try_set(f64::from(element.scroll_top()));
            }
        };
        measure();
        let measure = Closure::<dyn FnMut()>::new(measure);
        let Ok(observer) = ResizeObserver::new(measure.as_ref().unchecked_ref()) else { return };
        observer.observe(&element);
        let kept = StoredValue::new_local(Some((observer, measure)));
        on_cleanup(move || {
            if let Some(Some((observer, _measure))) = kept.try_update_value(Option::take) {
                observer.disconnect();
            }
        });
    });
    let count = Memo::new(move |_| page.rows.with(|rows| rows.len()));
    // The axis covers the height of one row.
    let range = Memo::new(move |_| viewport::visible(top.get(), height.get() - ROW_PX, ROW_PX, count.get(), MARGIN));
    // Rows read the model directly, so a new model renders all rows again.
    let generation = Memo::new(move |before: Option<&u64>| {
        page.model.track();
        before.map_or(0, |n| n + 1)
    });
    let visible = move || {
        let (range, generation) = (range.get(), generation.get());
        page.rows.with(|rows| {
            // infallible: the range never ends after the last row.
            let rows = rows.get(range.clone()).unwrap_or_default();
            range.zip(rows.iter().copied()).map(|(place, row)| (generation, place, row)).collect::<Vec<_>>()
        })
    };
    let ticks = Memo::new(move |_| {
        // At least 72 pixels per tick.
        let most = (page.room.get().column_px / 72.0).clamp(3.0, 12.0) as usize;
        page.window.get().ticks(page.whole.get().start_ns(), most)
    });
    let active = move || {
        page.cursor.get().and_then(|id| page.model.with(|model| model.position(&id))).map(|span| format!("span-{span}"))
    };
    view! {
        <div
            class="waterfall"
            role="treegrid"
            tabindex="0"
            aria-label="Spans. Arrow keys move and fold, Enter shows details, e moves to the next error."
            aria-rowcount=move || (count.get() + 1).to_string()
            aria-activedescendant=active
            node_ref=scroller
            on:scroll=move |_| {
                if let Some(element) = scroller.get_untracked() {
                    top.set(f64::from(element.scroll_top()));
                }
            }
        >
            <div class="wf-head wf-grid" role="row" aria-rowindex="1">
                <div class="wf-name" role="columnheader">"name"</div>
                <div class="wf-service" role="columnheader">"service"</div>
                <div class="wf-time" role="columnheader" aria-label="time" node_ref=time>
                    {move || {
                        ticks
                            .get()
                            .into_iter()
                            .map(|tick| {
                                view! {
                                    <span class="wf-tick" style:left=format!("{:.3}%", tick.left)>
                                        {tick.label}
                                    </span>
                                }
                            })
                            .collect_view()
                    }}
                </div>
            </div>
            <div
                class="wf-rows"
                role="rowgroup"
                style:height=move || format!("{}px", count.get() as f64 * ROW_PX)
            >
                <div class="wf-lines wf-grid" aria-hidden="true">
                    <div></div>
                    <div class="wf-service"></div>
                    <div class="wf-time">
                        {move || {
                            ticks
                                .get()
                                .into_iter()
                                .map(|tick| view! { <i style:left=format!("{:.3}%", tick.left)></i> })
                                .collect_view()
                        }}
                    </div>
                </div>
                <For
                    each=visible
                    key=|(generation, place, row)| (*generation, *place, row.span, row.depth, row.folded)
                    let((_, place, row))
                >
                    <SpanRow page place row/>
                </For>
            </div>
            <Show when=move || count.get() == 1>
                <p class="wf-note quiet">
                    {move || {
                        let length = format::duration(page.whole.get().width_ns());
                        format!("One span so far ({length}). More appear here as they arrive.")
                    }}
                </p>
            </Show>
        </div>
    }
}
