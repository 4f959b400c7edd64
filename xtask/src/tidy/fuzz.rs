//! Checks that every fuzz target is listed in the manifest, and that every listed target exists.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use serde_json::Value;

use crate::{
    fingerprint::entries,
    workspace::{Workspace, metadata},
};

/// Compares the folder of fuzz targets with the manifest.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz");
    let listed = listed(&metadata(&folder.join("Cargo.toml"))?);
    let present: BTreeSet<String> =
        entries(&folder.join("fuzz_targets"))?.iter().filter_map(|path| stem(path)).collect();
    Ok(compare(&listed, &present))
}

fn compare(listed: &BTreeSet<String>, present: &BTreeSet<String>) -> Vec<String> {
    let unlisted = present.difference(listed).map(|name| format!("fuzz/Cargo.toml does not list {name}"));
    let absent = listed.difference(present).map(|name| format!("fuzz/fuzz_targets/{name}.rs is missing"));
    unlisted.chain(absent).collect()
}

fn listed(metadata: &Value) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    targets.filter_map(|target| stem(Path::new(target["src_path"].as_str()?))).collect()
}

fn stem(path: &Path) -> Option<String> {
    (path.extension()? == "rs").then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unlisted_and_missing_targets_are_reported() {
        let metadata = json!({ "packages": [{ "targets": [
            { "src_path": "/x/fuzz/fuzz_targets/one.rs" },
            { "src_path": "/x/fuzz/fuzz_targets/two.rs" },
        ] }] });
        let present = ["two", "three"].map(str::to_owned).into();
        assert_eq!(
            compare(&listed(&metadata), &present),
            ["fuzz/Cargo.toml does not list three", "fuzz/fuzz_targets/one.rs is missing"]
        );
    }
}
