//! Rules about the text of one Rust file.

/// The only file that spells our attribute keys.
const KEYS: &str = "crates/context/src/keys.rs";

const MOST_LINES: usize = 800;

/// What stays out of the repository, tests included. Put together here, so that this file does not find itself.
const FORBIDDEN: [(&str, &str); 3] = [
    (concat!("todo", "!("), "finish it or leave it out"),
    (concat!("unimplemented", "!("), "finish it or leave it out"),
    (concat!("#[", "ignore"), "a test runs or goes"),
];

/// Expressions by which a failure disappears. In shipped code, each has a comment that says why.
const SILENT: [&str; 2] = [concat!("unwrap_or", "_default"), concat!("let _", " =")];

/// How such a comment begins: the failure cannot happen, it is not worth more than a try, or the default is what is meant.
const REASONS: [&str; 3] = ["// infallible: ", "// best effort: ", "// default: "];

/// What is wrong with the file at `path`, counted from the root.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        problems.push(format!("{path}: {lines} lines; at most {MOST_LINES}"));
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
            if spells_a_key(line) {
                problems.push(format!("{path}:{number}: attribute keys are spelled in {KEYS} only"));
            }
        }
    }
    if is_shipped(path) {
        problems.extend(silent_failures(path, text));
    }
    problems
}

/// Whether the file is part of a crate that is not only for tests or tools.
fn is_shipped(path: &str) -> bool {
    if path.starts_with("crates/testkit/") {
        return false;
    }
    (path.starts_with("crates/") || path.starts_with("backend/"))
        && path.contains("/src/")
        && !path.contains("/examples/")
}

/// Lines on which a failure disappears, without a comment on the same line or on one directly above that gives the reason.
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
                "{path}:{number}: `{needle}` hides a failure: use `expect` or return the error; where it is right, a comment above \
                 begins with one of {}",
                REASONS.map(|reason| format!("`{}`", reason.trim_end())).join(", ")
            ));
        }
        has_reason = false;
    }
    problems
}

fn spells_a_key(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//") && code.contains("\"throughline.")
}

/// The numbered lines that are not test code. It relies on rustfmt: a module at the margin ends with a brace at the
/// margin.
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
    fn a_key_is_spelled_in_one_place() {
        assert_eq!(
            check("crates/browser/src/span.rs", KEY),
            ["crates/browser/src/span.rs:1: attribute keys are spelled in crates/context/src/keys.rs only"]
        );
        assert!(check(KEYS, KEY).is_empty());
        assert!(check("crates/browser/tests/wire.rs", KEY).is_empty());
        assert!(check("crates/browser/src/wire/tests.rs", KEY).is_empty());
        assert!(check("crates/browser/src/span.rs", "/// `\"throughline.x\"` is what it says").is_empty());
    }

    #[test]
    fn tests_inside_a_file_may_spell_keys_and_code_after_them_may_not() {
        let text = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n    fn b() {{\n        {KEY}\n    }}\n}}\n");
        assert!(check("backend/src/a.rs", &text).is_empty());
        assert_eq!(check("backend/src/a.rs", &format!("{text}{KEY}\n")).len(), 1);
        let declared = format!("#[cfg(test)]\nmod tests;\n{KEY}\n");
        assert_eq!(check("backend/src/a.rs", &declared).len(), 1);
    }

    #[test]
    fn unfinished_code_is_found_with_its_line() {
        for (needle, _) in FORBIDDEN {
            let problems = check("shared/src/lib.rs", &format!("//! x\n    {needle} \n"));
            assert_eq!(problems.len(), 1, "{needle}");
            assert!(problems[0].starts_with("shared/src/lib.rs:2: "), "{problems:?}");
        }
    }

    #[test]
    fn a_failure_does_not_disappear_without_a_reason() {
        for (needle, end) in SILENT.into_iter().zip(["()", " f()"]) {
            let line = format!("    a.b({needle}{end});\n");
            let problems = check("crates/intake/src/a.rs", &format!("fn a() {{\n{line}}}\n"));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with("crates/intake/src/a.rs:2: "), "{problems:?}");
            assert!(check("crates/intake/src/a.rs", &format!("fn a() {{\n    // other\n{line}}}\n")).len() == 1);
            for reason in REASONS {
                let above = format!("    {reason}it is a\n    // test\n{line}");
                let behind = format!("    a.b({needle}{end}); {reason}it is a test\n");
                assert!(check("crates/intake/src/a.rs", &above).is_empty());
                assert!(check("crates/intake/src/a.rs", &behind).is_empty());
                // A reason is for one line.
                assert_eq!(check("crates/intake/src/a.rs", &format!("{above}{line}")).len(), 1);
            }
            assert!(check("crates/intake/tests/a.rs", &line).is_empty());
            assert!(check("e2e/src/a.rs", &line).is_empty());
            assert!(check("crates/intake/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{line}}}\n")).is_empty());
        }
    }

    #[test]
    fn length_is_limited() {
        assert!(check("e2e/tests/a.rs", &"\n".repeat(800)).is_empty());
        assert_eq!(check("e2e/tests/a.rs", &"\n".repeat(801)), ["e2e/tests/a.rs: 801 lines; at most 800"]);
    }
}
