//! Tests that parsing and writing a `traceparent` does not allocate. A separate test program, because it installs a
//! counting allocator.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::hint::black_box;

use throughline_context::{TraceParent, TraceState};

const VALID: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";

/// Returns the number of allocations during `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn a_traceparent_is_parsed_without_allocating() {
    let values: [&[u8]; 9] = [
        VALID,
        b" \t00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-future-fields",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
        b"\xff",
        b"",
    ];
    let mut read = 0;
    let count = allocations(|| {
        for value in values {
            read += usize::from(TraceParent::from_headers([black_box(value)]).is_some());
            let _ = black_box(TraceParent::parse(black_box(value)));
        }
        assert_eq!(TraceParent::from_headers(black_box([VALID, VALID])), None);
    });
    assert_eq!((count, read), (0, 3));
}

#[test]
fn a_traceparent_is_written_without_allocating() {
    let parent = TraceParent::parse(VALID).unwrap();
    let count = allocations(|| assert_eq!(black_box(parent.to_bytes()), *VALID));
    assert_eq!(count, 0);
}

/// Checks that the counter works.
#[test]
fn allocations_are_counted() {
    let list = black_box(b"congo=t61rcWkgMzE".as_slice());
    assert!(allocations(|| drop(TraceState::parse_headers([list]))) > 0);
}
