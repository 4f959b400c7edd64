//! Checks the versions of the build tools in the Dockerfile, which installs them in a separate layer.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    tools::{BINARYEN_VERSION, TRUNK_VERSION, WASM_BINDGEN_VERSION},
    workspace::Workspace,
};

/// Compares the versions in the Dockerfile with those in `xtask/src/tools`.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace.root.join("Dockerfile")).context("cannot read Dockerfile")?;
    Ok(missing(&text))
}

fn missing(dockerfile: &str) -> Vec<String> {
    let pins = [("trunk", TRUNK_VERSION), ("wasm-bindgen-cli", WASM_BINDGEN_VERSION), ("binaryen", BINARYEN_VERSION)];
    let wanted = pins.map(|(package, version)| format!("{package}@{version}"));
    let has = |wanted: &str| dockerfile.split_whitespace().any(|word| word == wanted);
    wanted
        .into_iter()
        .filter(|wanted| !has(wanted))
        .map(|wanted| format!("Dockerfile does not install {wanted}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_version_is_reported() {
        let right = format!(
            "RUN cargo install trunk@{TRUNK_VERSION} wasm-bindgen-cli@{WASM_BINDGEN_VERSION} \\\n && npm install binaryen@{BINARYEN_VERSION}"
        );
        assert!(missing(&right).is_empty());
        assert_eq!(
            missing(&right.replace(TRUNK_VERSION, "0.0.1")),
            [format!("Dockerfile does not install trunk@{TRUNK_VERSION}")]
        );
    }
}
