//! The paths of the repository, its packages, and its lock file.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// This workspace, without its dependencies.
pub(crate) struct Workspace {
    /// The repository's root, an absolute path.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, which the user's configuration may set.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps`.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Runs `cargo metadata`, which fails if a manifest is invalid.
    pub(crate) fn load() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
        let metadata = metadata(&root.join("Cargo.toml"))?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?;
        Ok(Self { root: root.to_owned(), target: PathBuf::from(target), metadata })
    }

    /// Returns the command `cargo …` in the root, with the toolchain that runs this program.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Returns the folder for state that is kept between runs.
    pub(crate) fn state(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// Returns the locked version of a package.
    ///
    /// # Errors
    ///
    /// The lock file does not have the package, or has it in several versions.
    pub(crate) fn locked_version(&self, package: &str) -> Result<String> {
        let path = self.root.join("Cargo.lock");
        let lock = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        match locked_versions(&lock, package).as_slice() {
            [version] => Ok((*version).to_owned()),
            [] => bail!("Cargo.lock has no {package}"),
            versions => bail!("Cargo.lock has {package} in several versions: {}", versions.join(", ")),
        }
    }
}

/// A package of this workspace.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    /// Its part of `cargo metadata`.
    pub(crate) metadata: &'a Value,
}

impl Workspace {
    /// Returns the packages that are published, sorted by name.
    pub(crate) fn published(&self) -> Result<Vec<Package<'_>>> {
        let packages = self.metadata["packages"].as_array().context("cargo metadata has no packages")?;
        let published = packages.iter().filter(|package| package["publish"].is_null());
        let named = published.map(|metadata| {
            Ok(Package { name: metadata["name"].as_str().context("a package has no name")?, metadata })
        });
        let mut named: Vec<_> = named.collect::<Result<_>>()?;
        named.sort_by_key(|package| package.name);
        Ok(named)
    }
}

/// Runs `cargo metadata --no-deps` for any manifest.
pub(crate) fn metadata(manifest: &Path) -> Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    serde_json::from_str(&process::output(&mut command)?).context("cargo metadata is not JSON")
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn locked_versions<'a>(lock: &'a str, package: &str) -> Vec<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut versions = Vec::new();
    // The format puts `version` on the line after `name`.
    while lines.any(|line| line == name) {
        versions.extend(lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')));
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "wasm-bindgen"
version = "0.2.129"
dependencies = [
 "wasm-bindgen-macro",
]

[[package]]
name = "wasm-bindgen-macro"
version = "0.2.130"

[[package]]
name = "hashbrown"
version = "0.14.5"

[[package]]
name = "hashbrown"
version = "0.15.2"
"#;

    #[test]
    fn versions_are_found_by_the_exact_name() {
        assert_eq!(locked_versions(LOCK, "wasm-bindgen"), ["0.2.129"]);
        assert_eq!(locked_versions(LOCK, "hashbrown"), ["0.14.5", "0.15.2"]);
        assert!(locked_versions(LOCK, "wasm").is_empty());
    }
}
