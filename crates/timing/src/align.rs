//! Alignment of the spans of one trace to one clock.

use std::collections::HashMap;

/// How far a server span may extend beyond its request, in addition to the error of the offset, in nanoseconds: both
/// clocks are rounded.
const JOIN_SLACK_NS: u64 = 1_000_000;

/// A clock offset that a page measured in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredOffset {
    /// Server clock minus page clock, in nanoseconds.
    pub offset_ns: i64,
    /// The maximum error of the offset, in nanoseconds; `None` if unknown.
    pub error_ns: Option<u64>,
}

impl MeasuredOffset {
    /// Returns the offset with the smaller maximum error. An unknown error is the worst. If the errors are equal it is
    /// the smaller offset, so that the order of the arguments does not matter.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        let order = |offset: Self| (offset.error_ns.is_none(), offset.error_ns, offset.offset_ns);
        if order(other) < order(self) { other } else { self }
    }

    /// Returns whether one true offset is compatible with both. An unknown error counts as zero, so that such an offset
    /// is not confused with another.
    fn agrees_with(self, other: Self) -> bool {
        let errors_ns = self.error_ns.unwrap_or(0).saturating_add(other.error_ns.unwrap_or(0));
        self.offset_ns.abs_diff(other.offset_ns) <= errors_ns
    }
}

/// The data of a span that alignment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockedSpan {
    /// The id of the span.
    pub id: u64,
    /// The id of its parent, which may be absent from the trace.
    pub parent: Option<u64>,
    /// Whether its kind is SERVER: its parent may be in another program with another clock.
    pub is_server: bool,
    /// Its start by its own clock, in Unix nanoseconds.
    pub start_ns: u64,
    /// Its end by its own clock, in Unix nanoseconds.
    pub end_ns: u64,
    /// The offset measured in the request that the span describes.
    pub offset: Option<MeasuredOffset>,
}

/// Whether a server span lies within the span of its request, once both are in one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The server span fits, within the error of the offset plus one millisecond.
    Fits,
    /// The server span does not fit: one of the times is wrong, or the span belongs to another request.
    SticksOut,
}

/// The result of the alignment for one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlignedSpan {
    /// The shift from the span's clock to the clock of the trace's root, in nanoseconds.
    pub shift_ns: i64,
    /// For a server span whose parent has a measured offset: whether it fits.
    pub join: Option<Join>,
}

/// The aligned clocks of one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// The [best](MeasuredOffset::better) of all measured offsets: the shift from the page's clock to the clock of the
    /// server with which it was measured.
    pub page: Option<MeasuredOffset>,
    /// The results for the spans, in the order given.
    pub spans: Vec<AlignedSpan>,
}

/// Aligns the spans of one trace.
///
/// A span uses the clock of its parent, unless it is a server span whose parent has a measured offset: then that offset
/// is subtracted from it and from everything below it. All requests whose offset agrees with the best offset of the
/// trace use the best one: they involve the same two clocks, and the distance between page and server must not differ
/// between requests. A request to another server, whose offset does not agree, uses its own. As a result, moving a
/// page's span into the server's clock by [`Alignment::page`] gives the same distances as moving the server's spans
/// into the page's clock.
///
/// If several spans have the same id, the last one counts as the parent. A cycle of parents is cut where it closes.
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

/// Returns the offset between the clocks of a span and its parent; `None` if they share a clock, as far as is known.
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

/// Computes the shift of each span from its ancestors. Each span is visited once.
fn shifts(parents: &[Option<usize>], used: impl Fn(usize) -> Option<MeasuredOffset>) -> Vec<i64> {
    let mut shifts: Vec<Option<i64>> = vec![None; parents.len()];
    let mut is_visited = vec![false; parents.len()];
    let mut path = Vec::new();
    for first in 0..parents.len() {
        let mut at = first;
        let mut shift_ns = loop {
            if let Some(known) = shifts[at] {
                break known;
            }
            path.push(at);
            is_visited[at] = true;
            match parents[at] {
                // A span that was visited before has a shift, unless it is on this path: then this is a cycle.
                Some(parent) if !is_visited[parent] || shifts[parent].is_some() => at = parent,
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
    shifts.into_iter().map(|shift| shift.expect("each span was on a path or already had a shift")).collect()
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
