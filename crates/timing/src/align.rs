//! The spans of one trace in one clock.

use std::collections::HashMap;

/// How far a server span may stick out of the request that it answers besides the error of the offset, in nanoseconds: both
/// clocks are rounded.
const JOIN_SLACK_NS: u64 = 1_000_000;

/// What a page measured of the two clocks in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredOffset {
    /// Server clock minus page clock, in nanoseconds.
    pub offset_ns: i64,
    /// By how much that may be wrong at most, in nanoseconds; `None` if it is not known.
    pub error_ns: Option<u64>,
}

impl MeasuredOffset {
    /// The better of two: the one that is wrong by less at most. One whose error is not known is the worst. Of equally good ones
    /// it is the lesser, so that the order in which they come does not matter.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        let order = |offset: Self| (offset.error_ns.is_none(), offset.error_ns, offset.offset_ns);
        if order(other) < order(self) { other } else { self }
    }

    /// Whether one true offset can be behind both. Where the error is not known, it counts as none: such an offset is not taken
    /// for another.
    fn agrees_with(self, other: Self) -> bool {
        let errors_ns = self.error_ns.unwrap_or(0).saturating_add(other.error_ns.unwrap_or(0));
        self.offset_ns.abs_diff(other.offset_ns) <= errors_ns
    }
}

/// What alignment needs to know of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockedSpan {
    /// Its id.
    pub id: u64,
    /// The id of its parent, which may be absent from the trace.
    pub parent: Option<u64>,
    /// Whether its kind is SERVER: it answers its parent, which may be of another program with another clock.
    pub is_server: bool,
    /// When it began by its own clock, Unix nanoseconds.
    pub start_ns: u64,
    /// When it ended, likewise.
    pub end_ns: u64,
    /// What was measured in the request that the span is about.
    pub offset: Option<MeasuredOffset>,
}

/// Whether a server span lies inside the request that it answers, once both are in one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It does, within the error of the offset and a millisecond.
    Fits,
    /// It does not: one of the times is wrong, or the span answers another request.
    SticksOut,
}

/// What alignment says about one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlignedSpan {
    /// What to add to its times to see them in the clock of the trace's root, in nanoseconds.
    pub shift_ns: i64,
    /// For a server span whose parent has measured the offset: whether it fits.
    pub join: Option<Join>,
}

/// The clocks of one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// The [best](MeasuredOffset::better) of all measured offsets: what to add to the times of the page to see them in the clock of
    /// the server that it was measured with.
    pub page: Option<MeasuredOffset>,
    /// One for each span, in the order given.
    pub spans: Vec<AlignedSpan>,
}

/// Aligns the spans of one trace.
///
/// A span is in the clock of its parent, unless it is a server span whose parent has measured the offset: then that offset is
/// taken off it, and off everything below it. All requests whose offset agrees with the best one of the trace use that one: they
/// are about the same two clocks, and a page must not part from the server by another amount in each request. A request to
/// another server, whose offset does not agree, uses its own. So a page's span that is moved by [`Alignment::page`] into the
/// server's clock lies where it does when the server's spans are moved into the page's.
///
/// Of spans with one id the last counts as a parent. A cycle of parents ends where it is met again.
///
/// ```
/// use throughline_timing::{ClockedSpan, MeasuredOffset, align};
///
/// let span = |id, parent, is_server, start_ns, end_ns, offset| {
///     ClockedSpan { id, parent, is_server, start_ns, end_ns, offset }
/// };
/// // The server's clock is an hour ahead.
/// let hour = 3_600_000_000_000;
/// let offset = MeasuredOffset { offset_ns: hour as i64, error_ns: Some(1_000) };
/// let alignment = align(&[
///     span(1, None, false, 0, 90, Some(offset)),
///     span(2, Some(1), true, hour + 30, hour + 60, None),
///     span(3, Some(2), false, hour + 40, hour + 50, None),
/// ]);
/// let shifts: Vec<_> = alignment.spans.iter().map(|span| span.shift_ns).collect();
/// assert_eq!(shifts, [0, -(hour as i64), -(hour as i64)]);
/// assert_eq!(alignment.page, Some(offset));
/// ```
#[must_use]
pub fn align(spans: &[ClockedSpan]) -> Alignment {
    let page = spans.iter().filter_map(|span| span.offset).reduce(MeasuredOffset::better);
    let index: HashMap<u64, usize> = spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
    let parents: Vec<Option<usize>> =
        spans.iter().map(|span| span.parent.and_then(|id| index.get(&id)).copied()).collect();
    let used = |at: usize| used_offset(spans, &parents, at, page);
    let shifts = shifts(&parents, used);
    let aligned = |at: usize| {
        let join = used(at).zip(parents[at]).map(|(offset, parent)| {
            let slack_ns = offset.error_ns.unwrap_or(0).saturating_add(JOIN_SLACK_NS);
            join((&spans[at], shifts[at]), (&spans[parent], shifts[parent]), slack_ns)
        });
        AlignedSpan { shift_ns: shifts[at], join }
    };
    Alignment { page, spans: (0..spans.len()).map(aligned).collect() }
}

/// The offset between the clock of a span and that of its parent; `None` where they are in one clock, as far as is known.
fn used_offset(
    spans: &[ClockedSpan],
    parents: &[Option<usize>],
    at: usize,
    page: Option<MeasuredOffset>,
) -> Option<MeasuredOffset> {
    if !spans[at].is_server {
        return None;
    }
    let own = spans[parents[at]?].offset?;
    Some(page.filter(|best| best.agrees_with(own)).unwrap_or(own))
}

/// The shift of each span, by way of its ancestors. Each is visited once.
fn shifts(parents: &[Option<usize>], used: impl Fn(usize) -> Option<MeasuredOffset>) -> Vec<i64> {
    let mut shifts: Vec<Option<i64>> = vec![None; parents.len()];
    let mut is_met = vec![false; parents.len()];
    let mut path = Vec::new();
    for first in 0..parents.len() {
        let mut at = first;
        let mut shift_ns = loop {
            if let Some(known) = shifts[at] {
                break known;
            }
            path.push(at);
            is_met[at] = true;
            match parents[at] {
                // What was met before has its shift, unless it is on this path: then it is a cycle.
                Some(parent) if !is_met[parent] || shifts[parent].is_some() => at = parent,
                _ => break 0,
            }
        };
        for at in path.drain(..).rev() {
            if let Some(offset) = used(at) {
                shift_ns = shift_ns.saturating_sub(offset.offset_ns);
            }
            shifts[at] = Some(shift_ns);
        }
    }
    shifts.into_iter().map(|shift| shift.expect("each span was on a path or had its shift already")).collect()
}

fn join(inner: (&ClockedSpan, i64), outer: (&ClockedSpan, i64), slack_ns: u64) -> Join {
    let at = |time_ns: u64, shift_ns: i64| i128::from(time_ns) + i128::from(shift_ns);
    let slack_ns = i128::from(slack_ns);
    let (inner, inner_ns) = inner;
    let (outer, outer_ns) = outer;
    let fits = at(inner.start_ns, inner_ns) + slack_ns >= at(outer.start_ns, outer_ns)
        && at(inner.end_ns, inner_ns) <= at(outer.end_ns, outer_ns) + slack_ns;
    if fits { Join::Fits } else { Join::SticksOut }
}

#[cfg(test)]
mod tests;
