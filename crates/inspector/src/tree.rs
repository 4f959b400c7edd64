//! The tree of a trace, built from the parent ids of its spans.
//!
//! Spans are untrusted input: a parent may be missing (the span is then a root), its id may occur twice (the first span
//! counts), and spans may form a cycle (which is cut at its first span).

use std::collections::HashMap;

/// The parents and children of spans, which are identified by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    parents: Vec<Option<u32>>,
    children: Vec<Vec<u32>>,
    roots: Vec<u32>,
    descendants: Vec<u32>,
}

/// One visible line of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The index of the span.
    pub span: u32,
    /// The depth in the tree; 0 for a root.
    pub depth: u32,
    /// The number of descendants, folded or not.
    pub descendants: u32,
    /// Whether the descendants are hidden.
    pub folded: bool,
    /// The position among its siblings, from 1.
    pub position: u32,
    /// The number of siblings, including the span itself.
    pub siblings: u32,
}

impl Tree {
    /// Builds the tree from pairs of a span id and a parent id. Children keep the order of the input.
    pub fn new<'a>(spans: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let spans: Vec<_> = spans.into_iter().collect();
        let mut by_id = HashMap::with_capacity(spans.len());
        for (index, (id, _)) in (0_u32..).zip(&spans) {
            by_id.entry(*id).or_insert(index);
        }
        let mut parents: Vec<Option<u32>> =
            spans.iter().map(|(_, parent)| parent.and_then(|id| by_id.get(id).copied())).collect();
        cut_cycles(&mut parents);

        let mut children = vec![Vec::new(); parents.len()];
        let mut roots = Vec::new();
        for (index, parent) in (0_u32..).zip(&parents) {
            match parent {
                Some(parent) => children[*parent as usize].push(index),
                None => roots.push(index),
            }
        }
        let mut tree = Self { descendants: vec![0; parents.len()], parents, children, roots };
        // Parents precede their children in this order, so in reverse every count is complete when it is used.
        let order: Vec<u32> = tree.rows(|_| false).iter().map(|row| row.span).collect();
        for span in order.into_iter().rev() {
            if let Some(parent) = tree.parents[span as usize] {
                tree.descendants[parent as usize] += 1 + tree.descendants[span as usize];
            }
        }
        tree
    }

    /// Returns the parent of a span, if it has arrived.
    #[must_use]
    pub fn parent(&self, span: u32) -> Option<u32> {
        self.parents.get(span as usize).copied().flatten()
    }

    /// Returns the spans without a parent, or whose parent has not arrived.
    #[must_use]
    pub fn roots(&self) -> &[u32] {
        &self.roots
    }

    /// Returns the children of a span.
    #[must_use]
    pub fn children(&self, span: u32) -> &[u32] {
        self.children.get(span as usize).map_or(&[], Vec::as_slice)
    }

    /// Returns the visible rows from top to bottom, without the descendants of folded spans.
    pub fn rows(&self, folded: impl Fn(u32) -> bool) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.parents.len());
        // An explicit stack instead of recursion: a trace may be as deep as it has spans.
        let mut stack: Vec<(&[u32], usize)> = vec![(&self.roots, 0)];
        while let Some((siblings, next)) = stack.last_mut() {
            let Some(&span) = siblings.get(*next) else {
                stack.pop();
                continue;
            };
            *next += 1;
            let (position, count) = (*next, siblings.len());
            let children = self.children(span);
            let folded = !children.is_empty() && folded(span);
            rows.push(Row {
                span,
                depth: u32::try_from(stack.len() - 1).unwrap_or(u32::MAX),
                descendants: self.descendants[span as usize],
                folded,
                position: u32::try_from(position).unwrap_or(u32::MAX),
                siblings: u32::try_from(count).unwrap_or(u32::MAX),
            });
            if !folded && !children.is_empty() {
                stack.push((children, 0));
            }
        }
        rows
    }
}

/// Makes the first span of every cycle a root.
fn cut_cycles(parents: &mut [Option<u32>]) {
    const UNSEEN: u32 = 0;
    // The number of the walk that first visited each span, from 1.
    let mut seen = vec![UNSEEN; parents.len()];
    for (start, walk) in (0..parents.len()).zip(1_u32..) {
        let mut at = start;
        while seen[at] == UNSEEN {
            seen[at] = walk;
            match parents[at] {
                Some(parent) => at = parent as usize,
                None => break,
            }
        }
        if seen[at] == walk && parents[at].is_some() {
            // `at` is part of a cycle that this walk has just closed.
            let (mut first, mut on) = (at, parents[at].map_or(at, |parent| parent as usize));
            while on != at {
                first = first.min(on);
                on = parents[on].map_or(at, |parent| parent as usize);
            }
            parents[first] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn shape(tree: &Tree) -> Vec<(u32, u32)> {
        tree.rows(|_| false).iter().map(|row| (row.span, row.depth)).collect()
    }

    #[test]
    fn children_are_below_their_parents_and_fold_with_them() {
        let tree = Tree::new([("a", None), ("b", Some("a")), ("c", Some("b")), ("d", Some("a"))]);
        assert_eq!(shape(&tree), [(0, 0), (1, 1), (2, 2), (3, 1)]);
        let folded: Vec<_> =
            tree.rows(|span| span == 1).iter().map(|row| (row.span, row.folded, row.descendants)).collect();
        assert_eq!(folded, [(0, false, 3), (1, true, 1), (3, false, 0)]);
        assert_eq!(tree.parent(2), Some(1));
    }

    #[test]
    fn an_orphan_is_a_root() {
        let tree = Tree::new([("a", None), ("b", Some("gone"))]);
        assert_eq!(tree.roots(), [0, 1]);
    }

    #[test]
    fn cycles_are_cut_at_their_first_span() {
        let tree = Tree::new([("a", Some("a"))]);
        assert_eq!(shape(&tree), [(0, 0)]);
        let tree =
            Tree::new([("x", Some("c")), ("a", Some("b")), ("b", Some("c")), ("c", Some("a")), ("y", Some("x"))]);
        assert_eq!(shape(&tree), [(1, 0), (3, 1), (0, 2), (4, 3), (2, 2)]);
    }

    #[test]
    fn a_duplicate_id_is_listed_twice() {
        let tree = Tree::new([("a", None), ("a", None), ("b", Some("a"))]);
        assert_eq!(shape(&tree), [(0, 0), (2, 1), (1, 0)]);
    }

    #[test]
    fn a_very_deep_trace_does_not_exhaust_the_stack() {
        let ids: Vec<String> = (0..200_000).map(|i| i.to_string()).collect();
        let tree =
            Tree::new(ids.iter().enumerate().map(|(i, id)| (id.as_str(), i.checked_sub(1).map(|i| ids[i].as_str()))));
        assert_eq!(tree.rows(|_| false).last().map(|row| row.depth), Some(199_999));
    }

    proptest! {
        #[test]
        fn every_span_has_exactly_one_row(parents in prop::collection::vec(prop::option::of(0_usize..60), 0..60), folded in any::<u64>()) {
            let ids: Vec<String> = (0..60).map(|i| format!("s{i}")).collect();
            let tree = Tree::new(parents.iter().enumerate().map(|(i, parent)| (ids[i].as_str(), parent.map(|p| ids[p].as_str()))));
            let rows = tree.rows(|_| false);
            let distinct: HashSet<u32> = rows.iter().map(|row| row.span).collect();
            prop_assert_eq!(rows.len(), parents.len());
            prop_assert_eq!(distinct.len(), parents.len());
            let mut depth = vec![None; parents.len()];
            for row in &rows {
                let expected = tree.parent(row.span).map_or(Some(0), |parent| depth[parent as usize].map(|d: u32| d + 1));
                prop_assert_eq!(Some(row.depth), expected);
                depth[row.span as usize] = Some(row.depth);
            }
            let is_folded = |span: u32| folded >> span & 1 == 1;
            let visible: HashSet<u32> = tree.rows(is_folded).iter().map(|row| row.span).collect();
            for row in &rows {
                let mut hidden = false;
                let mut at = row.span;
                while let Some(parent) = tree.parent(at) {
                    hidden |= is_folded(parent);
                    at = parent;
                }
                prop_assert_eq!(visible.contains(&row.span), !hidden);
            }
        }
    }
}
