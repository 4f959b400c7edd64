//! Checks the version of `wasm-opt` in the Dockerfile, which installs it in a separate layer.

use std::fs;

use anyhow::{Context, Result};

use crate::{tools::BINARYEN_VERSION, workspace::Workspace};

/// Compares the version in the Dockerfile with that in `xtask/src/tools`.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace.root.join("Dockerfile")).context("cannot read Dockerfile")?;
    Ok(missing(&text))
}

fn missing(dockerfile: &str) -> Vec<String> {
    let wanted = format!("binaryen@{BINARYEN_VERSION}");
    let is_installed = dockerfile.split_whitespace().any(|word| word == wanted);
    (!is_installed).then(|| format!("Dockerfile does not install {wanted}")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_version_is_reported() {
        let right = format!("RUN npm install --global binaryen@{BINARYEN_VERSION}");
        assert!(missing(&right).is_empty());
        let missing = missing(&right.replace(BINARYEN_VERSION, "0"));
        assert_eq!(missing, [format!("Dockerfile does not install binaryen@{BINARYEN_VERSION}")]);
    }
}
