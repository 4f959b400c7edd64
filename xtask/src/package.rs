//! Packages as they are published: their files are complete, and the program has its page.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    dist::{self, Profile},
    process,
    progress::Progress,
    workspace::Workspace,
};

/// Files of every package.
const FILES: [&str; 5] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/"];
/// The package with the inspector's page, and files of the page.
const WITH_PAGE: &str = "throughline-inspector-server";
const PAGE: [&str; 3] = ["ui/index.html", "_bg.wasm", "_bg.wasm.br"];

/// Lists the files of each published package, and checks that they are complete.
///
/// # Errors
///
/// A file is missing, or a description, a keyword or a category.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    dist::build(workspace, Profile::Release, &mut Progress::new(dist::STEPS))?;
    let packages = workspace.published()?;
    for package in &packages {
        for key in ["description", "license", "readme", "repository", "rust_version"] {
            ensure!(package.metadata[key].is_string(), "{} has no `{key}`", package.name);
        }
        for key in ["keywords", "categories"] {
            let count = package.metadata[key].as_array().map_or(0, Vec::len);
            ensure!((1..=5).contains(&count), "{} has {count} `{key}`, but needs 1 to 5", package.name);
        }
        let mut cargo = workspace.cargo(&["package", "--quiet", "--list", "--allow-dirty", "--package", package.name]);
        let files = process::output(&mut cargo)?;
        let page: &[&str] = if package.name == WITH_PAGE { &PAGE } else { &[] };
        for file in FILES.iter().chain(page) {
            let is_there = files.lines().any(|line| line.starts_with(file) || line.ends_with(file));
            ensure!(is_there, "the package {} has no file {file}", package.name);
        }
    }
    println!("{} packages are complete", packages.len());
    Ok(())
}

/// Packages every published package, compiles each from its package, and installs the program from its package into a folder.
///
/// # Errors
///
/// As [`check`], or a package does not compile on its own.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    check(workspace)?;
    let packages = workspace.published()?;
    let mut cargo = workspace.cargo(&["package", "--locked", "--allow-dirty"]);
    for package in &packages {
        cargo.args(["--package", package.name]);
    }
    process::run(&mut cargo)?;
    // Nothing is published yet, so the packages are also the registry.
    let folder = |name: &str, version: &str| workspace.target.join("package").join(format!("{name}-{version}"));
    let mut install = workspace.cargo(&["install", "--locked", "--no-track", "--force"]);
    for package in &packages {
        let version = package.metadata["version"].as_str().context("a package has no version")?;
        let path = folder(package.name, version);
        let path = path.to_str().context("the path of the target folder is not UTF-8")?;
        if package.name == "throughline" {
            install.args(["--path", path]);
        } else {
            install.args(["--config", &format!("patch.crates-io.{}.path = '{path}'", package.name)]);
        }
    }
    let root = workspace.target.join("package/installed");
    process::run(install.arg("--root").arg(&root))?;
    let program = root.join("bin").join(format!("throughline{}", std::env::consts::EXE_SUFFIX));
    ensure!(has_page(&program)?, "{} has no page of the inspector", program.display());
    println!("{}", program.display());
    Ok(())
}

/// Returns whether a program has the page of the inspector embedded.
fn has_page(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let title = b"<title>Traces";
    Ok(bytes.windows(title.len()).any(|window| window == title))
}
