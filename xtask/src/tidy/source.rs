//! Rules about the text of one Rust file.

/// The only file that may contain our attribute keys as literals.
const KEYS: &str = "crates/context/src/keys.rs";

/// The maximum number of lines of a file.
const MAX_LINES: usize = 800;

/// Code that is forbidden, also in tests, and the reason. Concatenated, so that this file is not reported.
const FORBIDDEN: [(&str, &str); 3] = [
    (concat!("todo", "!("), "finish it or remove it"),
    (concat!("unimplemented", "!("), "finish it or remove it"),
    (concat!("#[", "ignore"), "enable the test or remove it"),
];

/// Expressions that discard a failure. In shipped code, each requires a comment with the reason.
const SILENT: [&str; 2] = [concat!("unwrap_or", "_default"), concat!("let _", " =")];

/// The prefixes of such a comment: the failure cannot happen, it does not matter, or the default is intended.
const REASONS: [&str; 3] = ["// infallible: ", "// best effort: ", "// default: "];

/// Returns the problems of the file at `path`, relative to the root.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{path}: {lines} lines; at most {MAX_LINES}"));
    }
    for (number, line) in text.lines().enumerate() {
        for (needle, why) in FORBIDDEN {
            if line.contains(needle) {
                problems.push(format!("{path}:{}: `{needle}`: {why}", number + 1));
            }
        }
    }
    if path != KEYS && path.contains("/src/") && !path.starts_with("xtask/") {
        for (number, line) in outside_tests(path, text) {
            if contains_key_literal(line) {
                problems.push(format!("{path}:{number}: attribute keys may be written only in {KEYS}"));
            }
        }
    }
    if is_shipped(path) {
        problems.extend(silent_failures(path, text));
    }
    problems
}

/// Returns whether the file belongs to a crate that is shipped, not to tests or tools.
fn is_shipped(path: &str) -> bool {
    if path.starts_with("crates/testkit/") {
        return false;
    }
    (path.starts_with("crates/") || path.starts_with("backend/"))
        && path.contains("/src/")
        && !path.contains("/examples/")
}

/// Reports lines that discard a failure without a comment with the reason on the same line or directly above.
fn silent_failures(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    // Comments directly above the line.
    let mut has_reason = false;
    for (number, line) in outside_tests(path, text) {
        let gives_reason = REASONS.iter().any(|reason| line.contains(reason));
        if line.trim_start().starts_with("//") {
            has_reason |= gives_reason;
            continue;
        }
        if let Some(needle) = SILENT.iter().find(|needle| line.contains(*needle))
            && !has_reason
            && !gives_reason
        {
            let needle = needle.trim_end_matches(" =");
            problems.push(format!(
                "{path}:{number}: `{needle}` hides a failure: use `expect` or return the error; if it is intended, add a comment \
                 above that begins with one of {}",
                REASONS.map(|reason| format!("`{}`", reason.trim_end())).join(", ")
            ));
        }
        has_reason = false;
    }
    problems
}

fn contains_key_literal(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//") && code.contains("\"throughline.")
}

/// Returns the numbered lines that are not test code. It relies on rustfmt: an unindented module ends with an unindented
/// brace.
pub(super) fn outside_tests<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let file = path.rsplit('/').next().unwrap_or(path);
    if file == "tests.rs" || file.ends_with("_tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let mut outside = Vec::new();
    let mut in_test = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") {
            in_test = true;
        } else if in_test {
            in_test = !(line == "}" || (line.ends_with(';') && !line.starts_with(' ')));
        } else {
            outside.push((number + 1, line));
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "let key = \"throughline.network.total_ms\";";

    #[test]
    fn a_key_literal_outside_the_key_file_is_reported() {
        assert_eq!(
            check("crates/browser/src/span.rs", KEY),
            ["crates/browser/src/span.rs:1: attribute keys may be written only in crates/context/src/keys.rs"]
        );
        assert!(check(KEYS, KEY).is_empty());
        assert!(check("crates/browser/tests/wire.rs", KEY).is_empty());
        assert!(check("crates/browser/src/wire/tests.rs", KEY).is_empty());
        assert!(check("crates/browser/src/span.rs", "/// `\"throughline.x\"` is a key").is_empty());
    }

    #[test]
    fn a_key_literal_is_allowed_in_a_test_module_but_not_after_it() {
        let text = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n    fn b() {{\n        {KEY}\n    }}\n}}\n");
        assert!(check("backend/src/a.rs", &text).is_empty());
        assert_eq!(check("backend/src/a.rs", &format!("{text}{KEY}\n")).len(), 1);
        let declared = format!("#[cfg(test)]\nmod tests;\n{KEY}\n");
        assert_eq!(check("backend/src/a.rs", &declared).len(), 1);
    }

    #[test]
    fn forbidden_code_is_reported_with_its_line() {
        for (needle, _) in FORBIDDEN {
            let problems = check("shared/src/lib.rs", &format!("//! x\n    {needle} \n"));
            assert_eq!(problems.len(), 1, "{needle}");
            assert!(problems[0].starts_with("shared/src/lib.rs:2: "), "{problems:?}");
        }
    }

    #[test]
    fn discarding_a_failure_requires_a_reason() {
        for (needle, end) in SILENT.into_iter().zip(["()", " f()"]) {
            let line = format!("    a.b({needle}{end});\n");
            let problems = check("crates/intake/src/a.rs", &format!("fn a() {{\n{line}}}\n"));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with("crates/intake/src/a.rs:2: "), "{problems:?}");
            assert!(check("crates/intake/src/a.rs", &format!("fn a() {{\n    // other\n{line}}}\n")).len() == 1);
            for reason in REASONS {
                let above = format!("    {reason}this is a\n    // test\n{line}");
                let behind = format!("    a.b({needle}{end}); {reason}this is a test\n");
                assert!(check("crates/intake/src/a.rs", &above).is_empty());
                assert!(check("crates/intake/src/a.rs", &behind).is_empty());
                // A reason applies to one line.
                assert_eq!(check("crates/intake/src/a.rs", &format!("{above}{line}")).len(), 1);
            }
            assert!(check("crates/intake/tests/a.rs", &line).is_empty());
            assert!(check("e2e/src/a.rs", &line).is_empty());
            assert!(check("crates/intake/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{line}}}\n")).is_empty());
        }
    }

    #[test]
    fn the_length_of_a_file_is_limited() {
        assert!(check("e2e/tests/a.rs", &"\n".repeat(800)).is_empty());
        assert_eq!(check("e2e/tests/a.rs", &"\n".repeat(801)), ["e2e/tests/a.rs: 801 lines; at most 800"]);
    }
}
