//! Checks the npm dependencies of benchmarks and tests: exact versions, and no registry in the lock file.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace::Workspace;

const FOLDERS: [&str; 2] = ["benches/browser/peers", "e2e/clients/js"];

/// Checks the manifests and the lock files.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for folder in FOLDERS {
        problems.extend(check_folder(workspace, folder)?);
    }
    Ok(problems)
}

fn check_folder(workspace: &Workspace, folder: &str) -> Result<Vec<String>> {
    let read = |name: &str| -> Result<Value> {
        let path = workspace.root.join(folder).join(name);
        let text = fs::read(&path).with_context(|| format!("cannot read {folder}/{name}"))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot parse {folder}/{name}"))
    };
    let mut problems = loose(folder, &read("package.json")?);
    problems.extend(registries(folder, &read("package-lock.json")?));
    Ok(problems)
}

/// Reports dependencies that are not pinned to one version.
fn loose(folder: &str, manifest: &Value) -> Vec<String> {
    let dependencies = manifest["dependencies"].as_object().into_iter().flatten();
    let exact = |version: &str| version.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    dependencies
        .filter(|(_, version)| !version.as_str().is_some_and(exact))
        .map(|(name, version)| format!("{folder}/package.json: {name} is {version}; write an exact version"))
        .collect()
}

/// Reports packages that name their registry; npm only needs the digest.
fn registries(folder: &str, lock: &Value) -> Vec<String> {
    let packages = lock["packages"].as_object().into_iter().flatten();
    packages
        .filter(|(_, package)| package.get("resolved").is_some())
        .map(|(name, _)| format!("{folder}/package-lock.json: {name} names a registry; delete the line `resolved`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_version_range_is_reported() {
        let manifest = json!({ "dependencies": { "exact": "1.2.3", "range": "^1.2.3", "any": "*" } });
        assert_eq!(loose("x", &manifest).len(), 2);
    }

    #[test]
    fn a_registry_is_reported() {
        let lock = json!({ "packages": {
            "": { "name": "root" },
            "node_modules/a": { "version": "1.0.0", "integrity": "sha512-x" },
            "node_modules/b": { "version": "1.0.0", "resolved": "https://registry.example/b.tgz" },
        } });
        assert_eq!(registries("x", &lock).len(), 1);
    }
}
