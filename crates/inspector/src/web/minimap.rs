//! An overview of the whole trace, on which a range is selected by dragging.

use leptos::{html, prelude::*};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, PointerEvent, ResizeObserver};

use super::{header::SERVICE_COLOURS, page::Page};
use throughline_inspector::{format, model::is_error, timeline::Bar};

/// A drag shorter than this is a click, in CSS pixels.
const DRAG_PX: f64 = 4.0;

#[component]
pub(crate) fn Minimap(page: Page) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    let strip = NodeRef::<html::Div>::new();
    let width = RwSignal::new(0);
    // Start and end of a drag in progress, as fractions of the width.
    let drag = RwSignal::new(None::<(f64, f64)>);

    Effect::new(move |_| {
        let Some(strip) = strip.get() else { return };
        let measure = {
            let strip = strip.clone();
            Closure::<dyn FnMut()>::new(move || {
                width.try_set(strip.client_width());
            })
        };
        width.set(strip.client_width());
        let Ok(observer) = ResizeObserver::new(measure.as_ref().unchecked_ref()) else { return };
        observer.observe(&strip);
        let kept = StoredValue::new_local(Some((observer, measure)));
        on_cleanup(move || {
            if let Some(Some((observer, _measure))) = kept.try_update_value(Option::take) {
                observer.disconnect();
            }
        });
    });
    Effect::new(move |_| {
        let _width = width.get();
        if let Some(canvas) = canvas.get() {
            draw(&canvas, page);
        }
    });

    let fraction = move |event: &PointerEvent| {
        let strip = strip.get_untracked()?;
        let rect = strip.get_bounding_client_rect();
        (rect.width() > 0.0).then(|| ((f64::from(event.client_x()) - rect.left()) / rect.width()).clamp(0.0, 1.0))
    };
    let down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        if let Some((at, strip)) = fraction(&event).zip(strip.get_untracked()) {
            // best effort: without pointer capture, a drag ends at the edge of the strip.
            let _ = strip.set_pointer_capture(event.pointer_id());
            drag.set(Some((at, at)));
        }
    };
    let moved = move |event: PointerEvent| {
        if let (Some((from, _)), Some(at)) = (drag.get_untracked(), fraction(&event)) {
            drag.set(Some((from, at)));
        }
    };
    let up = move |_: PointerEvent| {
        let Some((from, to)) = drag.get_untracked() else { return };
        drag.set(None);
        if (to - from).abs() * f64::from(width.get_untracked()) >= DRAG_PX {
            let whole = page.whole.get_untracked();
            let (a, b) = (whole.offset_at(from.min(to)), whole.offset_at(from.max(to)));
            page.set_view(|view| view.range_ns = Some((a, b)));
        }
    };
    let chosen = move || match drag.get() {
        Some((from, to)) => {
            let width_ns = page.whole.get().width_ns() as f64;
            let (left, width) = (from.min(to), (to - from).abs());
            Some((Bar { left: 100.0 * left, width: 100.0 * width }, (width * width_ns) as u64))
        }
        None => {
            let (whole, window) = (page.whole.get(), page.window.get());
            if whole == window {
                return None;
            }
            whole.bar(window.start_ns(), window.end_ns()).map(|bar| (bar, window.width_ns()))
        }
    };
    let is_part = Memo::new(move |_| page.whole.get() != page.window.get());
    view! {
        <div class="minimap">
            <div
                class="minimap-strip"
                node_ref=strip
                role="img"
                aria-label="Overview of the trace. Drag to select a range; z zooms to the current span, 0 shows the whole trace."
                on:pointerdown=down
                on:pointermove=moved
                on:pointerup=up
                on:pointercancel=move |_| drag.set(None)
            >
                <canvas node_ref=canvas aria-hidden="true"></canvas>
                {move || {
                    chosen()
                        .map(|(bar, length)| {
                            view! {
                                <div
                                    class="minimap-range"
                                    style:left=format!("{:.3}%", bar.left)
                                    style:width=format!("{:.3}%", bar.width)
                                >
                                    <span>{format::duration(length)}</span>
                                </div>
                            }
                        })
                }}
            </div>
            <button
                type="button"
                class="button minimap-reset"
                title="Show whole trace (0)"
                disabled=move || !is_part.get()
                on:click=move |_| page.set_view(|view| view.range_ns = None)
            >
                "All"
            </button>
        </div>
    }
}

/// Draws every span as a line, in the order of the rows.
fn draw(canvas: &HtmlCanvasElement, page: Page) {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let (width, height) = (f64::from(canvas.client_width()) * ratio, f64::from(canvas.client_height()) * ratio);
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let Some(context) =
        canvas.get_context("2d").ok().flatten().and_then(|object| object.dyn_into::<CanvasRenderingContext2d>().ok())
    else {
        return;
    };
    // The colours are CSS variables.
    let Some(style) = window().get_computed_style(canvas).ok().flatten() else { return };
    // infallible: browsers do not throw here; an undefined variable is empty.
    let colour = |name: &str| style.get_property_value(name).unwrap_or_default().trim().to_owned();
    let services: Vec<String> = (0..SERVICE_COLOURS).map(|n| colour(&format!("--service-{n}"))).collect();
    let error = colour("--band-error");
    let (whole, clock) = (page.whole.get(), page.clock.get());
    page.model.with(|model| {
        let line = (height / model.order.len().max(1) as f64).min(4.0 * ratio);
        for (place, span) in model.order.iter().enumerate() {
            let span = *span as usize;
            let (start, end) = model.times(span, clock);
            let Some(bar) = whole.bar(start, end) else { continue };
            let failed = model.spans.get(span).is_some_and(is_error);
            let service = model.service_of.get(span).copied().unwrap_or(0);
            context.set_fill_style_str(if failed { &error } else { &services[service % SERVICE_COLOURS] });
            context.fill_rect(
                bar.left / 100.0 * width,
                place as f64 * line,
                (bar.width / 100.0 * width).max(ratio),
                (line * 0.8).max(1.0),
            );
        }
    });
}
