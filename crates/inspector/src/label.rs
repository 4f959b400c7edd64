//! The position of a bar's label: after the bar if it fits, else before it, shortened, or over it; never past the edge.

use crate::timeline::Bar;

/// The width of a letter in the monospaced font of labels, in pixels, rounded up.
const LETTER_PX: f64 = 7.25;
/// The padding on both sides of a label together, in pixels.
const PADDING_PX: f64 = 12.0;

/// The space for labels, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// The width of the time column, which holds the bars.
    pub column_px: f64,
    /// The free space to the right of the time column.
    pub right_px: f64,
}

/// The side of its bar on which a label is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the right of the bar's end.
    After,
    /// To the left of the bar's start.
    Before,
    /// Over the bar, at the right edge of the space.
    Over,
}

/// Returns the width of a label, in pixels.
#[must_use]
pub fn width_px(words: &str) -> f64 {
    words.chars().count() as f64 * LETTER_PX + PADDING_PX
}

/// Returns the index of the first of `words` that fits beside the bar, and its side; the last one, over the bar, if none fits.
/// `words` must be sorted from longest to shortest.
#[must_use]
pub fn place(bar: Bar, words: &[String], room: Room) -> (usize, Side) {
    let before_px = room.column_px * bar.left / 100.0;
    let after_px = room.column_px * (1.0 - (bar.left + bar.width) / 100.0) + room.right_px;
    let beside = words.iter().map(|words| width_px(words)).enumerate().find_map(|(number, width_px)| {
        let side = match (width_px <= after_px, width_px <= before_px) {
            (true, _) => Side::After,
            (false, true) => Side::Before,
            (false, false) => return None,
        };
        Some((number, side))
    });
    beside.unwrap_or((words.len().saturating_sub(1), Side::Over))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> Vec<String> {
        ["network 41.3 ms up 21±2 · 34 · down 20±2", "41.3 ms up 21±2 · 34 · down 20±2", "network 41.3 ms"]
            .map(str::to_owned)
            .to_vec()
    }

    fn at(left: f64, width: f64, column_px: f64, right_px: f64) -> (usize, Side) {
        place(Bar { left, width }, &words(), Room { column_px, right_px })
    }

    #[test]
    fn labels_are_after_a_bar_that_leaves_room() {
        assert_eq!(at(0.0, 30.0, 600.0, 0.0), (0, Side::After));
        assert_eq!(at(0.0, 100.0, 600.0, 400.0), (0, Side::After));
    }

    #[test]
    fn at_the_right_edge_labels_are_before_the_bar() {
        assert_eq!(at(90.0, 10.0, 600.0, 0.0), (0, Side::Before));
        assert_eq!(at(60.0, 40.0, 600.0, 96.0), (0, Side::Before));
    }

    #[test]
    fn a_shorter_label_is_used_where_the_longest_does_not_fit() {
        // A bar that fills the whole column, as that of a single fetch does, on a desktop and on a phone.
        assert_eq!(at(0.0, 100.0, 600.0, 280.0), (1, Side::After));
        assert_eq!(at(0.0, 100.0, 600.0, 130.0), (2, Side::After));
        assert_eq!(at(45.0, 55.0, 300.0, 96.0), (2, Side::Before));
        assert_eq!(at(0.0, 100.0, 300.0, 96.0), (2, Side::Over));
        assert_eq!(at(10.0, 80.0, 40.0, 0.0), (2, Side::Over));
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        assert_eq!(width_px("µ±·"), width_px("abc"));
        assert_eq!(place(Bar { left: 0.0, width: 1.0 }, &[], Room { column_px: 9.0, right_px: 0.0 }), (0, Side::Over));
    }

    proptest! {
        #[test]
        fn a_label_beside_a_bar_stays_inside_the_edge(
            left in 0.0..100.0_f64,
            length in 0.0..1.0_f64,
            column_px in 0.0..2_000.0_f64,
            right_px in 0.0..400.0_f64,
        ) {
            let bar = Bar { left, width: length * (100.0 - left) };
            let (number, side) = place(bar, &words(), Room { column_px, right_px });
            let width = width_px(&words()[number]);
            let (start, end) = (column_px * left / 100.0, column_px * (left + bar.width) / 100.0);
            match side {
                Side::After => prop_assert!(end + width <= column_px + right_px + 1e-6),
                Side::Before => prop_assert!(start - width >= -1e-6),
                Side::Over => prop_assert!(end + width > column_px + right_px && start < width),
            }
        }
    }
}
