//! Who may import whom, read from the manifests. ARCHITECTURE.md says why.

use serde_json::Value;

/// Each of our packages with those of ours that it may depend on. Dependencies of tests do not count.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("throughline-context", &[]),
    ("throughline-timing", &[]),
    ("throughline-inspector-api", &[]),
    ("cruddur-shared", &[]),
    ("throughline-otlp", &["throughline-context"]),
    ("throughline-store", &["throughline-otlp"]),
    ("throughline-browser", &["throughline-context", "throughline-timing"]),
    ("throughline-browser-standalone", &["throughline-browser"]),
    ("throughline-axum", &["throughline-context", "throughline-timing"]),
    ("throughline-export", &[]),
    ("throughline-intake", &["throughline-context", "throughline-otlp", "throughline-store"]),
    ("throughline-forward", &["throughline-otlp", "throughline-store"]),
    ("throughline-inspector", &["throughline-context", "throughline-inspector-api", "throughline-timing"]),
    ("throughline-testkit", &["throughline-otlp"]),
    ("cruddur-frontend", &["throughline-browser", "cruddur-shared"]),
    (
        "throughline",
        &[
            "throughline-axum",
            "throughline-context",
            "throughline-export",
            "throughline-forward",
            "throughline-inspector-api",
            "throughline-intake",
            "throughline-otlp",
            "cruddur-shared",
            "throughline-store",
            "throughline-timing",
        ],
    ),
    (
        "throughline-e2e",
        &[
            "throughline-context",
            "throughline-inspector-api",
            "throughline-otlp",
            "throughline-store",
            "throughline-testkit",
            "throughline-timing",
        ],
    ),
    ("throughline-bench-tracer", &["throughline-browser"]),
    ("throughline-bench-bare", &["throughline-bench-tracer"]),
    ("throughline-bench-leptos", &["throughline-bench-tracer"]),
    ("throughline-bench-probe", &["throughline-bench-tracer"]),
    ("throughline-bench-browser", &["throughline-e2e"]),
    ("throughline-bench-context", &["throughline-context"]),
    ("throughline-bench-pipe", &["throughline-otlp", "throughline-store", "throughline-testkit"]),
    ("throughline-bench-server", &["throughline-axum", "throughline-context", "throughline-export"]),
];

/// Packages that stay free of nearly everything, with what they may use of others.
const MAY_USE: [(&str, &[&str]); 4] = [
    ("throughline-context", &["serde", "thiserror"]),
    ("throughline-timing", &["itoa", "thiserror"]),
    ("throughline-inspector-api", &["serde"]),
    ("cruddur-shared", &["serde"]),
];

/// What is wrong in `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let (ours, others): (Vec<_>, Vec<_>) = normal_dependencies(package).partition(|name| is_ours(name));
        if name == "xtask" {
            problems.extend(ours.iter().map(|import| format!("xtask imports {import}; it builds them")));
            continue;
        }
        match MAY_IMPORT.iter().find(|(package, _)| *package == name) {
            None => problems.push(format!("{name} is not in the table of imports, xtask/src/tidy/imports.rs")),
            Some((_, allowed)) => {
                let forbidden = ours.iter().filter(|import| !allowed.contains(import));
                problems.extend(forbidden.map(|import| format!("{name} must not import {import}")));
            }
        }
        if let Some((_, allowed)) = MAY_USE.iter().find(|(package, _)| *package == name) {
            let forbidden = others.iter().filter(|import| !allowed.contains(import));
            problems
                .extend(forbidden.map(|import| format!("{name} must not use {import}, only {}", allowed.join(", "))));
        }
    }
    problems
}

fn is_ours(package: &str) -> bool {
    ["throughline", "cruddur"]
        .iter()
        .any(|name| package.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    // `kind` is null for what the library or program itself uses, `dev` or `build` otherwise.
    dependencies.filter(|dependency| dependency["kind"].is_null()).filter_map(|dependency| dependency["name"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(package: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        check(&json!({ "packages": [{ "name": package, "dependencies": dependencies }] }))
    }

    #[test]
    fn arrows_point_one_way() {
        assert!(problems("throughline-store", &[("throughline-otlp", None), ("tokio", None)]).is_empty());
        assert_eq!(
            problems("throughline-otlp", &[("throughline-store", None)]),
            ["throughline-otlp must not import throughline-store"]
        );
        assert_eq!(
            problems("throughline-inspector", &[("throughline", None)]),
            ["throughline-inspector must not import throughline"]
        );
    }

    #[test]
    fn dependencies_of_tests_do_not_count() {
        assert!(problems("throughline-forward", &[("throughline-testkit", Some("dev"))]).is_empty());
        assert_eq!(problems("throughline-forward", &[("throughline-testkit", None)]).len(), 1);
    }

    #[test]
    fn pure_crates_use_next_to_nothing() {
        assert!(problems("throughline-timing", &[("thiserror", None), ("proptest", Some("dev"))]).is_empty());
        assert_eq!(problems("throughline-timing", &[("serde", None)]).len(), 1);
    }

    #[test]
    fn a_new_package_needs_a_row() {
        assert_eq!(problems("throughline-new", &[]).len(), 1);
        assert_eq!(problems("xtask", &[("cruddur-shared", None)]).len(), 1);
    }

    #[test]
    fn the_table_itself_has_no_circle() {
        // Rows stand below everything that they import.
        for (index, (package, imports)) in MAY_IMPORT.iter().enumerate() {
            for import in *imports {
                assert!(MAY_IMPORT[..index].iter().any(|(name, _)| name == import), "{package} -> {import}");
            }
        }
    }
}
