//! Checks that no crate re-exports items of another crate of this repository. A user of an item depends on the crate that
//! defines it.

use std::collections::BTreeSet;

use super::{imports::is_ours, source::outside_tests};

/// Folders in which crates may re-export: tests and benchmarks, which no published crate depends on.
const FREE: [&str; 2] = ["benches/", "e2e/"];

/// One path of a `use` item, with its alias if it is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    path: Vec<String>,
    alias: Option<String>,
}

impl Use {
    /// Returns the name that it binds in its module.
    fn name(&self) -> &str {
        self.alias.as_deref().or(self.path.last().map(String::as_str)).unwrap_or_default()
    }

    fn is_of_ours(&self) -> bool {
        self.path.first().is_some_and(|krate| is_ours(krate))
    }
}

/// Returns the forbidden re-exports in `files`, the paths and texts of the repository's sources.
pub(super) fn check(files: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    let checked = files.iter().filter(|(path, _)| !FREE.iter().any(|folder| path.starts_with(folder)));
    for (path, text) in checked {
        let items = items(path, text);
        // Names that this file binds to items of our crates.
        let bound: BTreeSet<&str> =
            items.iter().flat_map(|item| &item.uses).filter(|name| name.is_of_ours()).map(Use::name).collect();
        for item in items.iter().filter(|item| item.is_public) {
            let of_ours = |name: &&Use| name.is_of_ours() || goes_through(name, &bound);
            problems.extend(item.uses.iter().filter(of_ours).map(|name| {
                format!(
                    "{path}:{}: `{}` is re-exported from another crate of this repository",
                    item.line,
                    name.path.join("::")
                )
            }));
        }
    }
    problems
}

/// Returns whether the path begins with one of `bound`, an imported name.
fn goes_through(name: &Use, bound: &BTreeSet<&str>) -> bool {
    let path = name.path.strip_prefix(&["self".to_owned()][..]).unwrap_or(&name.path);
    path.len() > 1 && bound.contains(path[0].as_str())
}

/// A `use` or `extern crate` item.
struct Item {
    line: usize,
    is_public: bool,
    uses: Vec<Use>,
}

/// Returns all `use` and `extern crate` items outside tests. It relies on rustfmt: an item starts its line.
fn items(path: &str, text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut lines = outside_tests(path, text).into_iter();
    while let Some((line, first)) = lines.next() {
        let Some((is_public, rest)) = beginning(first.trim_start()) else { continue };
        let mut tree = uncommented(rest).to_owned();
        while !tree.contains(';') {
            let Some((_, next)) = lines.next() else { break };
            tree.push(' ');
            tree.push_str(uncommented(next));
        }
        let tree = tree.split(';').next().unwrap_or_default();
        let mut uses = Vec::new();
        flatten(&[], tree.trim(), &mut uses);
        items.push(Item { line, is_public, uses });
    }
    items
}

/// Returns whether an item is public, and the text after `use` or `extern crate`.
fn beginning(line: &str) -> Option<(bool, &str)> {
    let (is_public, item) = match line.strip_prefix("pub") {
        Some(rest) => match rest.strip_prefix('(') {
            Some(rest) => (false, rest.split_once(')')?.1.trim_start()),
            None => (true, rest.trim_start()),
        },
        None => (false, line),
    };
    let tree = item.strip_prefix("use ").or_else(|| item.strip_prefix("extern crate "))?;
    Some((is_public, tree))
}

fn uncommented(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Collects the paths of the tree of a `use` item.
fn flatten(prefix: &[String], tree: &str, uses: &mut Vec<Use>) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some(group) = tree.strip_prefix('{') {
        for part in split_group(group.strip_suffix('}').unwrap_or(group)) {
            flatten(prefix, part, uses);
        }
        return;
    }
    if let Some((segment, rest)) = tree.split_once("::").filter(|(segment, _)| !segment.contains(['{', ' '])) {
        let mut path = prefix.to_vec();
        path.push(segment.to_owned());
        flatten(&path, rest, uses);
        return;
    }
    let (name, alias) = match tree.split_once(" as ") {
        Some((name, alias)) => (name.trim(), Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    let mut path = prefix.to_vec();
    // `a::{self}` is `a`.
    if name != "self" || path.is_empty() {
        path.push(name.to_owned());
    }
    uses.push(Use { path, alias });
}

/// Splits at commas that are not within braces.
fn split_group(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&[(path.to_owned(), text.to_owned())])
    }

    #[test]
    fn a_re_export_is_reported_with_its_line() {
        assert_eq!(
            problems("crates/otlp/src/lib.rs", "//! x\n\npub use throughline_context as context;\n"),
            ["crates/otlp/src/lib.rs:3: `throughline_context` is re-exported from another crate of this repository"]
        );
    }

    #[test]
    fn all_forms_of_re_exports_are_reported() {
        for text in [
            "pub use throughline_context;",
            "pub use ::throughline_context::SpanId;",
            "pub use throughline_context::*;",
            "pub use throughline::init;",
            "pub use cruddur_shared::Feed;",
            "pub extern crate throughline_context;",
            "pub use throughline_context::{\n    ids::SpanId,\n};",
            "pub use {std::fmt, throughline_context::SpanId};",
            "pub mod ids {\n    pub use throughline_context::SpanId;\n}",
        ] {
            assert_eq!(problems("crates/otlp/src/lib.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_re_export_through_an_import_is_reported() {
        for text in [
            "use throughline_context as context;\npub use context::SpanId;",
            "use throughline_context::{self as context, TraceId};\npub use self::context::{SpanId};",
            "pub(crate) use throughline_context::ids;\npub use ids::SpanId;",
            "extern crate throughline_context as context;\npub use context::SpanId;",
        ] {
            assert_eq!(problems("crates/otlp/src/lib.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn imports_and_own_items_are_not_reported() {
        for text in [
            "use throughline_context::SpanId;",
            "pub(crate) use throughline_context::SpanId;",
            "use throughline_context as context;\npub use model::Span;",
            "pub use model::{Span, SpanKind};",
            "// pub use throughline_context::SpanId;",
            "pub use url::Url;",
            "#[cfg(test)]\nmod tests {\n    pub use throughline_context::SpanId;\n}",
        ] {
            assert!(problems("crates/otlp/src/lib.rs", text).is_empty(), "{text}");
        }
        assert!(problems("crates/otlp/tests/it/main.rs", "pub use throughline_context::SpanId;").is_empty());
        assert!(problems("e2e/src/lib.rs", "pub use throughline_testkit::DelayProxy;").is_empty());
    }
}
