//! The state of a trace's page, shared by its components.

use std::{collections::HashSet, sync::Arc};

use leptos::{html::Div, prelude::*};

use throughline_inspector::{
    address::View,
    find,
    label::Room,
    log,
    model::{Clock, Model, is_error},
    timeline::Window,
    tree::Row,
    viewport,
};

/// The height of a row and of the axis above the rows, in CSS pixels; must equal `--row` in the style sheet.
pub(crate) const ROW_PX: f64 = 28.0;

/// The state of the page of one trace. Spans are identified by id where the state outlives a refetch.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) model: RwSignal<Arc<Model>>,
    pub(crate) view: RwSignal<View>,
    pub(crate) folded: RwSignal<HashSet<String>>,
    /// The span at the keyboard cursor.
    pub(crate) cursor: RwSignal<Option<String>>,
    pub(crate) needle: RwSignal<String>,
    /// The clock in which times are shown.
    pub(crate) clock: Memo<Clock>,
    /// The whole trace, in that clock.
    pub(crate) whole: Memo<Window>,
    /// The visible part of the trace.
    pub(crate) window: Memo<Window>,
    pub(crate) rows: Memo<Arc<Vec<Row>>>,
    /// The positions, from top to bottom, of the spans that match the search.
    pub(crate) hits: Memo<Arc<Vec<usize>>>,
    pub(crate) scroller: NodeRef<Div>,
    /// The space for the labels beside bars.
    pub(crate) room: RwSignal<Room>,
    show: Callback<View>,
}

impl Page {
    /// Creates the state; `show` writes a view to the address bar.
    pub(crate) fn new(model: Arc<Model>, view: View, show: Callback<View>) -> Self {
        let cursor = RwSignal::new(view.span.clone());
        let model = RwSignal::new(model);
        let view = RwSignal::new(view);
        let folded = RwSignal::new(HashSet::<String>::new());
        let needle = RwSignal::new(String::new());
        let clock = Memo::new(move |_| if view.with(|view| view.raw) { Clock::Raw } else { Clock::Aligned });
        let whole = Memo::new(move |_| model.with(|model| model.window(clock.get())));
        let window = Memo::new(move |_| match view.with(|view| view.range_ns) {
            Some((from, to)) => whole.get().part(from, to),
            None => whole.get(),
        });
        let rows = Memo::new(move |_| {
            model.with(|model| {
                folded.with(|folded| {
                    let is_folded =
                        |span: u32| model.spans.get(span as usize).is_some_and(|span| folded.contains(&span.span_id));
                    Arc::new(model.tree.rows(is_folded))
                })
            })
        });
        let hits = Memo::new(move |_| {
            let needle = needle.get();
            let in_logs = needle.trim().to_lowercase();
            let is_hit = |model: &Model, span: usize| {
                let mut records = model.logs.tied(span).chain(model.logs.untied(span));
                model.spans.get(span).is_some_and(|span| find::matches(span, &needle))
                    || !in_logs.is_empty() && records.any(|record| log::matches(record, &in_logs))
            };
            model.with(|model| Arc::new(places(model, |span| is_hit(model, span))))
        });
        let room = RwSignal::new(Room { column_px: 600.0, right_px: 0.0 });
        Self {
            model,
            view,
            folded,
            cursor,
            needle,
            clock,
            whole,
            window,
            rows,
            hits,
            scroller: NodeRef::new(),
            room,
            show,
        }
    }

    /// Changes the view, also in the address bar.
    pub(crate) fn set_view(self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.get_untracked();
        change(&mut view);
        if self.view.with_untracked(|now| *now != view) {
            self.view.set(view.clone());
            self.show.run(view);
        }
    }

    /// Returns the index of the span whose details are shown.
    pub(crate) fn selected(self) -> Option<usize> {
        self.view.with(|view| view.span.as_ref().and_then(|id| self.model.with(|model| model.position(id))))
    }

    /// Returns the index of the span at the keyboard cursor.
    pub(crate) fn cursor_index(self) -> Option<usize> {
        self.cursor
            .with_untracked(|id| id.as_ref().and_then(|id| self.model.with_untracked(|model| model.position(id))))
    }

    fn id_of(self, span: usize) -> Option<String> {
        self.model.with_untracked(|model| model.spans.get(span).map(|span| span.span_id.clone()))
    }

    /// Shows the details of a span.
    pub(crate) fn select(self, span: usize) {
        let Some(id) = self.id_of(span) else { return };
        self.cursor.set(Some(id.clone()));
        self.set_view(|view| view.span = Some(id));
    }

    /// Moves the keyboard cursor to a span; open details follow.
    pub(crate) fn move_to(self, span: usize) {
        let Some(id) = self.id_of(span) else { return };
        self.cursor.set(Some(id.clone()));
        if self.view.with_untracked(|view| view.span.is_some()) {
            self.set_view(|view| view.span = Some(id));
        }
        self.reveal(span);
    }

    /// Hides the details.
    pub(crate) fn close(self) {
        self.set_view(|view| view.span = None);
    }

    /// Moves to a span: unfolds its ancestors and shows its details.
    pub(crate) fn go_to(self, span: usize) {
        let above = self.model.with_untracked(|model| {
            let mut above = Vec::new();
            let mut at = u32::try_from(span).ok().and_then(|span| model.tree.parent(span));
            while let Some(parent) = at {
                above.extend(model.spans.get(parent as usize).map(|span| span.span_id.clone()));
                at = model.tree.parent(parent);
            }
            above
        });
        if self.folded.with_untracked(|folded| above.iter().any(|id| folded.contains(id))) {
            self.folded.update(|folded| {
                for id in &above {
                    folded.remove(id);
                }
            });
        }
        self.select(span);
        self.reveal(span);
    }

    /// Moves to the first of `places` after the cursor.
    pub(crate) fn go_to_next(self, places: &[usize]) {
        let model = self.model.get_untracked();
        let at = self.cursor_index().and_then(|span| model.rank.get(span).copied());
        if let Some(span) = find::next(places, at).and_then(|place| model.order.get(place)) {
            self.go_to(*span as usize);
        }
    }

    /// Moves to the next failed span.
    pub(crate) fn next_error(self) {
        let places =
            self.model.with_untracked(|model| places(model, |span| model.spans.get(span).is_some_and(is_error)));
        self.go_to_next(&places);
    }

    /// Folds or unfolds a span.
    pub(crate) fn fold(self, span: usize, fold: bool) {
        let Some(id) = self.id_of(span) else { return };
        if self.folded.with_untracked(|folded| folded.contains(&id)) != fold {
            self.folded.update(|folded| {
                if fold {
                    folded.insert(id);
                } else {
                    folded.remove(&id);
                }
            });
        }
    }

    /// Returns the row of a span; `None` if it is folded away.
    pub(crate) fn row_of(self, span: usize) -> Option<usize> {
        self.rows.with_untracked(|rows| rows.iter().position(|row| row.span as usize == span))
    }

    /// Scrolls a span into view.
    fn reveal(self, span: usize) {
        // After the rows have moved.
        request_animation_frame(move || {
            let (Some(Some(scroller)), Some(row)) = (self.scroller.try_get_untracked(), self.row_of(span)) else {
                return;
            };
            let height = f64::from(scroller.client_height()) - ROW_PX;
            let to = viewport::reveal(row, f64::from(scroller.scroll_top()), height, ROW_PX);
            if let Some(to) = to {
                scroller.set_scroll_top(to.round() as i32);
            }
        });
    }

    /// Zooms to the time of one span, with a small margin.
    pub(crate) fn zoom_to(self, span: usize) {
        let (start, end) = self.model.with_untracked(|model| model.times(span, self.clock.get_untracked()));
        let origin = self.whole.get_untracked().start_ns();
        let around = end.saturating_sub(start).unsigned_abs() / 20 + 1_000;
        let from = start.saturating_sub(origin).max(0).unsigned_abs().saturating_sub(around);
        let to = end.saturating_sub(origin).max(0).unsigned_abs().saturating_add(around);
        self.set_view(|view| view.range_ns = Some((from, to)));
    }
}

/// Returns the positions, from top to bottom, of the spans that `wanted` selects.
fn places(model: &Model, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    model.order.iter().enumerate().filter(|(_, span)| wanted(**span as usize)).map(|(place, _)| place).collect()
}
