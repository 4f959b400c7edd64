//! Compiles each published package that has features with each of them alone, without any, and with all.

use anyhow::{Context, Result};

use crate::{
    process,
    tools::WASM_TARGET,
    workspace::{Package, Workspace},
};

/// The packages for pages, which compile for WASM only.
const PAGES: [&str; 1] = ["throughline-browser"];
/// Features that only the fuzz targets use.
const INTERNAL: &str = "fuzzing";

/// Runs `cargo check` for each selection of features.
///
/// # Errors
///
/// A selection does not compile.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut count = 0;
    for package in workspace.published()? {
        let selections = selections(&package)?;
        if selections.len() == 1 {
            // A package without features is compiled by the other steps.
            continue;
        }
        for selection in selections {
            let mut cargo = workspace.cargo(&["check", "--quiet", "--package", package.name, "--no-default-features"]);
            if PAGES.contains(&package.name) {
                cargo.args(["--target", WASM_TARGET]);
            }
            if !selection.is_empty() {
                cargo.args(["--features", &selection]);
            }
            process::run(&mut cargo)?;
            count += 1;
        }
    }
    println!("{count} selections of features compile");
    Ok(())
}

/// Returns the selections of a package's features: none, each alone, and all of them.
fn selections(package: &Package<'_>) -> Result<Vec<String>> {
    let features = package.metadata["features"].as_object().context("cargo metadata has no features")?;
    let is_public = |name: &&String| *name != "default" && *name != INTERNAL;
    let features: Vec<String> = features.keys().filter(is_public).cloned().collect();
    let all = (features.len() > 1).then(|| features.join(","));
    Ok([String::new()].into_iter().chain(features).chain(all).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn features_are_selected_alone_and_together() {
        let of = |features: serde_json::Value| {
            selections(&Package { name: "x", metadata: &json!({ "features": features }) }).unwrap()
        };
        assert_eq!(of(json!({})), [""]);
        assert_eq!(of(json!({ "default": ["a"], "a": [], "fuzzing": [] })), ["", "a"]);
        assert_eq!(of(json!({ "a": [], "b": ["a"] })), ["", "a", "b", "a,b"]);
    }
}
