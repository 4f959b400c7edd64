//! Checks the dependencies between packages, read from the manifests. ARCHITECTURE.md explains the rules.

use serde_json::Value;

/// Each package of this repository with the packages that it may depend on, dev-dependencies excluded. A row may exist
/// before its package.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // Foundations.
    ("throughline-context", &[]),
    ("throughline-timing", &[]),
    ("throughline-inspector-api", &[]),
    ("throughline-export", &[]),
    ("throughline-rusqlite", &[]),
    ("throughline-self-check", &[]),
    ("throughline-bundle", &[]),
    ("throughline-otlp", &["throughline-context", "throughline-timing"]),
    ("throughline-propagator", &["throughline-context"]),
    ("throughline-reqwest", &["throughline-context"]),
    ("throughline-axum", &["throughline-context", "throughline-propagator", "throughline-timing"]),
    // Pages.
    ("throughline-browser", &["throughline-context", "throughline-timing"]),
    ("throughline-browser-standalone", &["throughline-browser"]),
    ("throughline-inspector", &["throughline-context", "throughline-inspector-api", "throughline-timing"]),
    // The pipeline.
    ("throughline-store", &["throughline-context", "throughline-otlp", "throughline-timing"]),
    ("throughline-intake", &["throughline-context", "throughline-otlp", "throughline-store"]),
    ("throughline-query", &["throughline-context", "throughline-otlp", "throughline-store", "throughline-timing"]),
    ("throughline-clickhouse", &["throughline-context", "throughline-otlp", "throughline-query"]),
    ("throughline-forward", &["throughline-context", "throughline-otlp", "throughline-store", "throughline-timing"]),
    ("throughline-aws", &["throughline-context", "throughline-forward", "throughline-otlp"]),
    ("throughline-rollbar", &["throughline-context", "throughline-forward", "throughline-otlp"]),
    (
        "throughline-inspector-server",
        &[
            "throughline-axum",
            "throughline-bundle",
            "throughline-context",
            "throughline-forward",
            "throughline-inspector-api",
            "throughline-otlp",
            "throughline-query",
            "throughline-store",
            "throughline-timing",
        ],
    ),
    (
        "throughline",
        &[
            "throughline-aws",
            "throughline-axum",
            "throughline-bundle",
            "throughline-clickhouse",
            "throughline-context",
            "throughline-export",
            "throughline-forward",
            "throughline-inspector-api",
            "throughline-inspector-server",
            "throughline-intake",
            "throughline-otlp",
            "throughline-propagator",
            "throughline-query",
            "throughline-rollbar",
            "throughline-self-check",
            "throughline-store",
            "throughline-timing",
        ],
    ),
    ("throughline-testkit", &["throughline-context", "throughline-inspector-api", "throughline-otlp"]),
    // Cruddur, the demo application.
    ("cruddur-shared", &[]),
    ("cruddur-frontend", &["cruddur-shared", "throughline-browser", "throughline-timing"]),
    (
        "cruddur",
        &[
            "cruddur-shared",
            "throughline",
            "throughline-axum",
            "throughline-bundle",
            "throughline-reqwest",
            "throughline-rusqlite",
        ],
    ),
    // End-to-end tests and benchmarks.
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
    (
        "throughline-bench-pipe",
        &["throughline-context", "throughline-otlp", "throughline-store", "throughline-testkit"],
    ),
    (
        "throughline-bench-server",
        &["throughline-axum", "throughline-context", "throughline-export", "throughline-propagator"],
    ),
];

/// Packages that nearly every other one depends on, with the only third-party dependencies that they may have.
const MAY_USE: [(&str, &[&str]); 4] = [
    ("throughline-context", &["serde", "thiserror"]),
    ("throughline-timing", &["itoa", "thiserror"]),
    ("throughline-inspector-api", &["serde"]),
    ("cruddur-shared", &["serde"]),
];

/// Returns the problems in the output of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().expect("cargo metadata names each package");
        problems
            .extend(renamed(package).map(|import| format!("{name} renames {import}; depend on it under its own name")));
        if is_product(package) {
            let demo = all_dependencies(package).filter(|import| is_demo(import));
            problems
                .extend(demo.map(|import| format!("{name} is part of the product and must not depend on {import}")));
        }
        let (ours, others): (Vec<_>, Vec<_>) = normal_dependencies(package).partition(|import| is_ours(import));
        if name == "xtask" || name == "xtask-bundle" {
            problems.extend(ours.iter().map(|import| format!("{name} must not depend on {import}: it builds it")));
            continue;
        }
        match MAY_IMPORT.iter().find(|(package, _)| *package == name) {
            None => problems.push(format!("{name} is missing from MAY_IMPORT in xtask/src/tidy/imports.rs; add a row")),
            Some((_, allowed)) => {
                let forbidden = ours.iter().filter(|import| !allowed.contains(import));
                problems.extend(forbidden.map(|import| format!("{name} must not depend on {import}")));
            }
        }
        if let Some((_, allowed)) = MAY_USE.iter().find(|(package, _)| *package == name) {
            let forbidden = others.iter().filter(|import| !allowed.contains(import));
            problems.extend(
                forbidden.map(|import| format!("{name} must not depend on {import}; allowed: {}", allowed.join(", "))),
            );
        }
    }
    problems
}

/// Returns whether `name` is a package of this repository or its crate.
pub(super) fn is_ours(name: &str) -> bool {
    is_demo(name) || name == "throughline" || name.starts_with("throughline-") || name.starts_with("throughline_")
}

fn is_demo(name: &str) -> bool {
    name == "cruddur" || name.starts_with("cruddur-") || name.starts_with("cruddur_")
}

/// Returns whether a package of `cargo metadata` is in the folder of the product.
fn is_product(package: &Value) -> bool {
    package["manifest_path"].as_str().is_some_and(|path| path.replace('\\', "/").contains("/crates/"))
}

fn all_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies.filter_map(|dependency| dependency["name"].as_str())
}

fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    // `kind` is null for normal dependencies, `dev` or `build` otherwise.
    dependencies.filter(|dependency| dependency["kind"].is_null()).filter_map(|dependency| dependency["name"].as_str())
}

/// Returns renamed dependencies of this repository, which the check of re-exports would not recognize.
fn renamed(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let renamed = dependencies.filter(|dependency| dependency["rename"].is_string());
    renamed.filter_map(|dependency| dependency["name"].as_str()).filter(|name| is_ours(name))
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
    fn dependencies_not_in_the_table_are_reported() {
        assert!(problems("throughline-store", &[("throughline-otlp", None), ("tokio", None)]).is_empty());
        assert_eq!(
            problems("throughline-otlp", &[("throughline-store", None)]),
            ["throughline-otlp must not depend on throughline-store"]
        );
        assert_eq!(
            problems("throughline-inspector-server", &[("throughline", None)]),
            ["throughline-inspector-server must not depend on throughline"]
        );
    }

    #[test]
    fn dev_dependencies_are_not_checked() {
        assert!(problems("throughline-forward", &[("throughline-testkit", Some("dev"))]).is_empty());
        assert_eq!(problems("throughline-forward", &[("throughline-testkit", None)]).len(), 1);
    }

    #[test]
    fn third_party_dependencies_of_foundations_are_limited() {
        assert!(problems("throughline-timing", &[("thiserror", None), ("proptest", Some("dev"))]).is_empty());
        assert_eq!(problems("throughline-timing", &[("serde", None)]).len(), 1);
    }

    #[test]
    fn a_package_without_a_row_is_reported() {
        assert_eq!(problems("throughline-new", &[]).len(), 1);
        assert_eq!(problems("xtask", &[("cruddur-shared", None)]).len(), 1);
    }

    #[test]
    fn a_table_row_without_a_package_is_accepted() {
        assert!(check(&json!({ "packages": [] })).is_empty());
    }

    #[test]
    fn the_product_must_not_depend_on_the_demo() {
        assert!(problems("cruddur", &[("throughline", None), ("cruddur-shared", None)]).is_empty());
        assert_eq!(
            problems("cruddur", &[("throughline-store", None)]),
            ["cruddur must not depend on throughline-store"]
        );
        assert_eq!(problems("throughline", &[("cruddur", None)]), ["throughline must not depend on cruddur"]);
        let for_tests = json!({ "packages": [{
            "name": "throughline",
            "manifest_path": "/x/crates/server/Cargo.toml",
            "dependencies": [{ "name": "cruddur-shared", "kind": "dev" }],
        }] });
        assert_eq!(check(&for_tests), ["throughline is part of the product and must not depend on cruddur-shared"]);
    }

    #[test]
    fn a_renamed_dependency_is_reported() {
        let metadata = json!({ "packages": [{
            "name": "throughline-otlp",
            "dependencies": [{ "name": "throughline-context", "kind": null, "rename": "context" }],
        }] });
        assert_eq!(check(&metadata), ["throughline-otlp renames throughline-context; depend on it under its own name"]);
    }

    #[test]
    fn the_table_has_no_cycle() {
        // Each row is below the rows of its dependencies.
        for (index, (package, imports)) in MAY_IMPORT.iter().enumerate() {
            for import in *imports {
                assert!(MAY_IMPORT[..index].iter().any(|(name, _)| name == import), "{package} -> {import}");
            }
        }
    }
}
