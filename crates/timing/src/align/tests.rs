use super::*;
use proptest::{collection::vec, option, prelude::*};

const MS: u64 = 1_000_000;

fn measured(offset_ns: i64, error_ns: impl Into<Option<u64>>) -> MeasuredOffset {
    MeasuredOffset { offset_ns, error_ns: error_ns.into() }
}

fn span(id: u64, parent: impl Into<Option<u64>>) -> ClockedSpan {
    ClockedSpan { id, parent: parent.into(), is_server: false, start_ns: 0, end_ns: 0, offset: None }
}

fn server(id: u64, parent: u64) -> ClockedSpan {
    ClockedSpan { is_server: true, ..span(id, parent) }
}

fn fetch(id: u64, parent: u64, offset: MeasuredOffset) -> ClockedSpan {
    ClockedSpan { offset: Some(offset), ..span(id, parent) }
}

fn shifts_of(spans: &[ClockedSpan]) -> Vec<i64> {
    align(spans).spans.iter().map(|span| span.shift_ns).collect()
}

#[test]
fn requests_to_one_server_share_the_best_offset() {
    let spans = [
        span(1, None),
        fetch(2, 1, measured(1_000, 50)),
        server(3, 2),
        fetch(4, 1, measured(1_030, 5)),
        server(5, 4),
        // Another server.
        fetch(6, 1, measured(90_000, 10)),
        server(7, 6),
        span(8, 7),
        // Its error is unknown, so it is used unchanged.
        fetch(9, 1, measured(1_020, None)),
        server(10, 9),
        fetch(11, 1, measured(1_032, None)),
        server(12, 11),
    ];
    let alignment = align(&spans);
    assert_eq!(alignment.page, Some(measured(1_030, 5)));
    assert_eq!(shifts_of(&spans), [0, 0, -1_030, 0, -1_030, 0, -90_000, -90_000, 0, -1_020, 0, -1_030]);
}

#[test]
fn the_best_offset_has_the_smallest_error() {
    let best = |offsets: &[MeasuredOffset]| offsets.iter().copied().reduce(MeasuredOffset::better);
    assert_eq!(best(&[]), None);
    assert_eq!(best(&[measured(2, None), measured(1, None)]), Some(measured(1, None)));
    assert_eq!(best(&[measured(1, None), measured(2, 9), measured(4, 5), measured(3, 5)]), Some(measured(3, 5)));
    assert_eq!(best(&[measured(1, None), measured(2, u64::MAX)]), Some(measured(2, u64::MAX)));
}

#[test]
fn only_a_server_span_below_a_measured_request_changes_the_clock() {
    let offset = measured(500, 1);
    assert_eq!(shifts_of(&[fetch(1, 9, offset), span(2, 1), server(3, 2)]), [0, 0, 0]);
    // The server's own requests to another server, whose offset was not measured.
    assert_eq!(shifts_of(&[fetch(1, 9, offset), server(2, 1), span(3, 2), server(4, 3)]), [0, -500, -500, -500]);
}

#[test]
fn a_join_fits_within_the_error() {
    let of = |start_ms: u64, end_ms: u64, error_ms: Option<u64>| {
        let offset = measured(0, error_ms.map(|ms| ms * MS));
        let outer = ClockedSpan { start_ns: 10 * MS, end_ns: 20 * MS, ..fetch(1, 9, offset) };
        let inner = ClockedSpan { start_ns: start_ms * MS, end_ns: end_ms * MS, ..server(2, 1) };
        align(&[outer, inner]).spans[1].join.unwrap()
    };
    assert_eq!(of(10, 20, None), Join::Fits);
    assert_eq!(of(9, 21, None), Join::Fits, "rounded");
    assert_eq!(of(8, 20, None), Join::SticksOut);
    assert_eq!(of(10, 22, None), Join::SticksOut);
    assert_eq!(of(7, 23, Some(2)), Join::Fits, "within the error");
    assert_eq!(of(7, 24, Some(2)), Join::SticksOut);
    assert_eq!(align(&[span(1, None), server(2, 1)]).spans[1].join, None, "nothing was measured");
}

#[test]
fn a_long_chain_is_aligned_in_linear_time() {
    // In reverse order: without caching, each walk to the root would be as long as the chain.
    let chain: Vec<_> = (1..200_000_u64).rev().map(|id| span(id, (id > 1).then(|| id - 1))).collect();
    assert!(shifts_of(&chain).iter().all(|shift_ns| *shift_ns == 0));
}

#[test]
fn extreme_values_do_not_overflow() {
    let extreme = [i64::MIN, i64::MAX].map(|offset_ns| measured(offset_ns, u64::MAX));
    for offset in extreme {
        let late = ClockedSpan { start_ns: u64::MAX, end_ns: 0, ..server(2, 1) };
        let spans = [fetch(1, 9, offset), late, fetch(3, 2, offset), server(4, 3)];
        assert_eq!(align(&spans).spans.len(), 4);
    }
}

/// Generates a trace of one page and one server whose clock is `offset` ahead. The error of each measurement is within
/// its stated maximum. Parents come before children.
fn page_and_server() -> impl Strategy<Value = (i64, Vec<ClockedSpan>)> {
    let request =
        (-100..100_i64, 100..200_u64, 0..1_000_u64, 0..1_000_u64).prop_map(|(wrong, error, start_ms, lasted_ms)| {
            (wrong * 100_000, error * 100_000, start_ms * MS, lasted_ms * MS)
        });
    (-1_000_000..1_000_000_i64, vec(request, 1..10)).prop_map(|(offset_ns, requests)| {
        let base = 10_000 * MS;
        let mut spans = vec![ClockedSpan { start_ns: base, end_ns: 2 * base, ..span(1, None) }];
        for (id, (wrong_ns, error_ns, start_ns, lasted_ns)) in (2..).step_by(3).zip(requests) {
            let start_ns = base + start_ns;
            let request = fetch(id, 1, measured(offset_ns + wrong_ns, error_ns));
            spans.push(ClockedSpan { start_ns, end_ns: start_ns + lasted_ns, ..request });
            let by_server = |time_ns: u64| time_ns.saturating_add_signed(offset_ns);
            let times = |of: ClockedSpan| ClockedSpan {
                start_ns: by_server(start_ns + lasted_ns / 4),
                end_ns: by_server(start_ns + lasted_ns / 2),
                ..of
            };
            spans.push(times(server(id + 1, id)));
            spans.push(times(span(id + 2, id + 1)));
        }
        (offset_ns, spans)
    })
}

proptest! {
    /// The inspector moves the server's spans into the page's clock, and an upstream gets the page's spans in the
    /// server's clock. The distance between any two spans is the same in both.
    #[test]
    fn both_directions_give_the_same_distances((_, spans) in page_and_server()) {
        let alignment = align(&spans);
        let page_ns = alignment.page.unwrap().offset_ns;
        for (span, aligned) in spans.iter().zip(&alignment.spans) {
            let is_of_server = span.id > 1 && span.id % 3 != 2;
            let shift_ns = if is_of_server { -page_ns } else { 0 };
            prop_assert_eq!(aligned.shift_ns, shift_ns);
        }
    }

    /// A span that really lies within a request also lies within it after alignment.
    #[test]
    fn correct_joins_fit_and_the_offset_is_within_the_error((offset_ns, spans) in page_and_server()) {
        let alignment = align(&spans);
        let page = alignment.page.unwrap();
        prop_assert!(page.offset_ns.abs_diff(offset_ns) <= page.error_ns.unwrap());
        prop_assert!(alignment.spans.iter().all(|span| span.join != Some(Join::SticksOut)));
    }

    #[test]
    fn the_order_of_spans_does_not_matter(
        ((_, spans), shuffled) in page_and_server().prop_flat_map(|trace| {
            let spans = trace.1.clone();
            (Just(trace), Just(spans).prop_shuffle())
        }),
    ) {
        let by_id = |spans: &[ClockedSpan]| {
            let aligned = align(spans).spans;
            let mut all: Vec<_> = spans.iter().zip(aligned).map(|(span, aligned)| (span.id, aligned.shift_ns)).collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(by_id(&spans), by_id(&shuffled));
    }

    /// Includes cycles, absent parents and duplicate ids: each span has a shift, and a join exactly if its parent has
    /// an offset.
    #[test]
    fn any_spans_are_aligned(
        spans in vec((0..6_u64, option::of(0..8_u64), any::<bool>(), option::of((-9..9_i64, option::of(0..9_u64)))), 0..12),
    ) {
        let spans: Vec<_> = spans
            .into_iter()
            .map(|(id, parent, is_server, offset)| {
                let offset = offset.map(|(offset_ns, error_ns)| measured(offset_ns, error_ns));
                ClockedSpan { is_server, offset, ..span(id, parent) }
            })
            .collect();
        let alignment = align(&spans);
        prop_assert_eq!(alignment.spans.len(), spans.len());
        let joins = spans.iter().filter(|span| {
            let parent = span.parent.and_then(|id| spans.iter().rev().find(|parent| parent.id == id));
            span.is_server && parent.is_some_and(|parent| parent.offset.is_some())
        });
        prop_assert_eq!(alignment.spans.iter().filter(|span| span.join.is_some()).count(), joins.count());
    }
}
