//! The Dockerfile installs the build tools in a layer of its own, so it repeats their versions.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    tools::{BINARYEN_VERSION, TRUNK_VERSION, WASM_BINDGEN_VERSION},
    workspace::Workspace,
};

/// Compares the versions in the Dockerfile with those of this program.
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
    fn another_version_is_found() {
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
