//! The rows of a long list that are in view; only those are rendered.

use std::ops::Range;

/// Returns the rows to render: those in view and `margin` more on either side.
///
/// All lengths are CSS pixels; `row` is the height of one row and must be positive.
#[must_use]
pub fn visible(scroll_top: f64, height: f64, row: f64, count: usize, margin: usize) -> Range<usize> {
    let first = (scroll_top.max(0.0) / row).floor() as usize;
    let last = ((scroll_top.max(0.0) + height.max(0.0)) / row).ceil() as usize;
    let end = last.saturating_add(margin).min(count);
    first.saturating_sub(margin).min(end)..end
}

/// Returns the scroll position that brings a row fully into view; `None` if it is already.
#[must_use]
pub fn reveal(index: usize, scroll_top: f64, height: f64, row: f64) -> Option<f64> {
    let top = index as f64 * row;
    if top < scroll_top {
        Some(top)
    } else if top + row > scroll_top + height {
        Some((top + row - height).max(0.0))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_list_is_rendered_completely() {
        assert_eq!(visible(0.0, 500.0, 28.0, 3, 8), 0..3);
        assert_eq!(visible(0.0, 500.0, 28.0, 0, 8), 0..0);
    }

    #[test]
    fn scrolling_past_the_end_renders_nothing() {
        assert_eq!(visible(1e9, 500.0, 28.0, 20, 4), 20..20);
    }

    proptest! {
        #[test]
        fn rows_in_view_are_rendered_and_few_others(
            scroll in 0.0_f64..1e6, height in 0.0_f64..3000.0, count in 0_usize..50_000, margin in 0_usize..20, row in 0_usize..50_000,
        ) {
            let range = visible(scroll, height, 28.0, count, margin);
            prop_assert!(range.end <= count);
            prop_assert!(range.len() <= (height / 28.0) as usize + 2 + 2 * margin);
            let (top, bottom) = (row as f64 * 28.0, (row + 1) as f64 * 28.0);
            if row < count && bottom > scroll && top < scroll + height {
                prop_assert!(range.contains(&row));
            }
        }

        #[test]
        fn a_revealed_row_is_in_view(index in 0_usize..10_000, scroll in 0.0_f64..1e5, height in 28.0_f64..2000.0) {
            let at = reveal(index, scroll, height, 28.0).unwrap_or(scroll);
            let top = index as f64 * 28.0;
            prop_assert!(top >= at - 1e-6 && top + 28.0 <= at + height + 1e-6);
        }
    }
}
