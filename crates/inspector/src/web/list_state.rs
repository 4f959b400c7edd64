//! The state of the list of traces, and how it is loaded.

use std::{cmp::Reverse, time::Duration};

use leptos::{prelude::*, task::spawn_local};
use throughline_inspector_api::{TraceList, TraceSummary};

use super::api;
use throughline_inspector::{address::Filter, problem::Problem};

/// The number of traces per request.
const PAGE: u32 = 50;
/// The maximum number of rows in the list; above it, the oldest are removed.
const MOST: usize = 1000;

/// A row of the list. Its content changes while its trace grows.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: String,
    start_ns: u64,
    pub(super) summary: ArcRwSignal<TraceSummary>,
    /// Whether the trace arrived from the live stream, which is briefly animated.
    pub(super) arrived: bool,
}

/// The loading state of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Loading,
    Ready,
    Failed(Problem),
}

/// The state of the list.
#[derive(Clone, Copy)]
pub(super) struct List {
    filter: Memo<Filter>,
    pub(super) phase: RwSignal<Phase>,
    pub(super) entries: RwSignal<Vec<Entry>>,
    /// New traces that are not shown yet, the latest arrival last.
    pub(super) waiting: RwSignal<Vec<TraceSummary>>,
    pub(super) next_before: RwSignal<Option<String>>,
    /// Whether the oldest rows were removed, so that `next_before` would leave a gap.
    pub(super) cut: RwSignal<bool>,
    pub(super) older: RwSignal<bool>,
    /// Counts requests for the first page: the response to an outdated one is discarded.
    generation: StoredValue<u64>,
    refresh_due: StoredValue<bool>,
}

impl List {
    /// Creates an empty list.
    pub(super) fn new(filter: Memo<Filter>) -> Self {
        Self {
            filter,
            phase: RwSignal::new(Phase::Loading),
            entries: RwSignal::new(Vec::new()),
            waiting: RwSignal::new(Vec::new()),
            next_before: RwSignal::new(None),
            cut: RwSignal::new(false),
            older: RwSignal::new(false),
            generation: StoredValue::new(0),
            refresh_due: StoredValue::new(false),
        }
    }

    /// Loads the first page and replaces the list with it.
    pub(super) fn load(self) {
        let Some(generation) = self.generation.try_update_value(|n| {
            *n += 1;
            *n
        }) else {
            return;
        };
        let path = self.filter.get_untracked().api(PAGE, None);
        spawn_local(async move {
            let result = api::get::<TraceList>(&path).await;
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

    pub(super) fn load_older(self) {
        let Some(before) = self.next_before.get_untracked() else { return };
        let generation = self.generation.get_value();
        let path = self.filter.get_untracked().api(PAGE, Some(&before));
        self.older.set(true);
        spawn_local(async move {
            let result = api::get::<TraceList>(&path).await;
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

    /// Requests the first page again and shows its new traces; several calls within a second are one request.
    pub(super) fn refresh(self) {
        if self.refresh_due.try_update_value(|due| std::mem::replace(due, true)) != Some(false) {
            return;
        }
        set_timeout(
            move || {
                if self.refresh_due.try_set_value(false).is_some() {
                    return;
                }
                let generation = self.generation.get_value();
                let path = self.filter.get_untracked().api(PAGE, None);
                spawn_local(async move {
                    let Ok(list) = api::get::<TraceList>(&path).await else { return };
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

    /// Handles a new or changed trace from the live stream.
    pub(super) fn on_summary(self, summary: TraceSummary) {
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

    pub(super) fn show_waiting(self) {
        // default: if the signal is disposed, the list is no longer on the page and no trace is waiting.
        for summary in self.waiting.try_update(std::mem::take).unwrap_or_default() {
            self.put(summary, true);
        }
    }

    /// Updates the row of a trace, or inserts one.
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

pub(super) fn is_at_top() -> bool {
    window().scroll_y().is_ok_and(|y| y <= 8.0)
}
