//! Checks that no page links certain packages, and that no native program links certain others, directly or indirectly.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// Packages that run in a browser; every other package of the product and the demo is native.
const PAGES: [&str; 4] =
    ["cruddur-frontend", "throughline-browser", "throughline-browser-standalone", "throughline-inspector"];

/// Folders whose packages are checked: benchmarks and tests may link any package.
const FOLDERS: [&str; 4] = ["backend", "crates", "frontend", "shared"];

/// A kind of program and the packages that it must not link.
struct Rule {
    /// The `--target` of cargo; `None` is the host.
    target: Option<&'static str>,
    without: &'static [&'static str],
}

const PAGE: Rule = Rule {
    target: Some("wasm32-unknown-unknown"),
    without: &["hyper", "opentelemetry_sdk", "reqwest", "rusqlite", "tokio"],
};
const NATIVE: Rule = Rule { target: None, without: &["gloo-net", "js-sys", "leptos", "wasm-bindgen", "web-sys"] };

/// Checks the dependency graphs of cargo with all features. Only linked packages count: no procedural macros, no build
/// scripts, no dev-dependencies.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let root = workspace.root.to_str().context("the path of the repository is not UTF-8")?;
    let (pages, native) = packages(&workspace.metadata, root);
    let mut problems = Vec::new();
    for (rule, packages) in [(PAGE, pages), (NATIVE, native)] {
        // One call for all packages is quick. Only if it finds something, each package is checked by itself.
        if found(&tree(workspace, &rule, &packages)?, rule.without).is_empty() {
            continue;
        }
        for package in packages {
            let tree = tree(workspace, &rule, &[package])?;
            problems.extend(found(&tree, rule.without).into_iter().map(|other| describe(&rule, package, other)));
        }
    }
    Ok(problems)
}

/// Returns the names of the checked packages: those of pages, and the native ones.
fn packages<'a>(metadata: &'a Value, root: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let all = metadata["packages"].as_array().into_iter().flatten();
    let checked = all.filter(|package| {
        let manifest = package["manifest_path"].as_str().and_then(|path| path.strip_prefix(root));
        let folder = manifest.and_then(|path| path.split(['/', '\\']).find(|part| !part.is_empty()));
        folder.is_some_and(|folder| FOLDERS.contains(&folder))
    });
    checked.filter_map(|package| package["name"].as_str()).partition(|name| PAGES.contains(name))
}

/// Returns the dependency graph of `packages`, one `name vX.Y.Z` per line.
fn tree(workspace: &Workspace, rule: &Rule, packages: &[&str]) -> Result<String> {
    let mut cargo = workspace.cargo(&["tree", "--locked", "--edges=normal,no-proc-macro", "--prefix=none"]);
    cargo.args(["--format={p}", "--all-features"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if let Some(target) = rule.target {
        cargo.args(["--target", target]);
    }
    process::output(&mut cargo)
}

fn describe(rule: &Rule, package: &str, other: &str) -> String {
    let target = rule.target.map(|target| format!(" --target {target}")).unwrap_or_default();
    format!(
        "{other} is in the graph of {package}; \
         `cargo tree -e normal,no-proc-macro --all-features -p {package}{target} -i {other}` shows the path"
    )
}

/// Returns the packages of `without` that are in a tree.
fn found<'a>(tree: &str, without: &[&'a str]) -> Vec<&'a str> {
    let has = |package: &str| tree.lines().any(|line| line.split(' ').next() == Some(package));
    without.iter().copied().filter(|package| has(package)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn packages_are_matched_by_full_name() {
        let tree = "app v0.1.0 (/x)\ntokio-stream v0.1.17\nweb-sys v0.3.106 (*)\n";
        assert_eq!(found(tree, &["tokio", "web-sys"]), ["web-sys"]);
        assert!(found(tree, &["tokio"]).is_empty());
    }

    #[test]
    fn a_package_is_native_unless_it_is_a_page() {
        let metadata = json!({ "packages": [
            { "name": "throughline-browser", "manifest_path": "/x/crates/browser/Cargo.toml" },
            { "name": "throughline-new", "manifest_path": "/x/crates/new/Cargo.toml" },
            { "name": "cruddur", "manifest_path": "/x/backend/Cargo.toml" },
            { "name": "cruddur-frontend", "manifest_path": "/x/frontend/Cargo.toml" },
            { "name": "throughline-bench-leptos", "manifest_path": "/x/benches/browser/leptos/Cargo.toml" },
        ] });
        let (pages, native) = packages(&metadata, "/x");
        assert_eq!(pages, ["throughline-browser", "cruddur-frontend"]);
        assert_eq!(native, ["throughline-new", "cruddur"]);
    }

    #[test]
    fn forbidden_packages_are_reported_for_pages_and_native_programs() {
        for package in ["opentelemetry_sdk", "tokio", "reqwest"] {
            assert_eq!(found(&format!("{package} v1.0.0\n"), PAGE.without), [package]);
        }
        for package in ["web-sys", "leptos", "gloo-net", "js-sys"] {
            assert_eq!(found(&format!("{package} v1.0.0\n"), NATIVE.without), [package]);
        }
        let described = describe(&PAGE, "cruddur-frontend", "tokio");
        assert!(described.contains("-p cruddur-frontend --target wasm32-unknown-unknown -i tokio"), "{described}");
    }
}
