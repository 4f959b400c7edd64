//! Rules that neither the compiler nor clippy checks: allowed dependencies, re-exports, mentions of the demo in the
//! product, where attribute keys are written, the length of files, words to avoid.

mod exports;
mod fuzz;
mod graph;
mod imports;
mod peers;
mod pins;
mod product;
mod source;
mod words;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{fingerprint::entries, fresh_app, workspace::Workspace};

/// Folders whose Rust files are checked.
const FOLDERS: [&str; 8] = ["backend", "benches", "crates", "e2e", "frontend", "fuzz", "shared", "xtask"];

/// Folders with build output, which are skipped wherever they are.
const SKIPPED: [&str; 5] = ["dist", "target", "corpus", "artifacts", "node_modules"];

/// Runs all checks and prints every problem.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut problems = imports::check(&workspace.metadata);
    problems.extend(graph::check(workspace)?);
    problems.extend(fuzz::check(workspace)?);
    problems.extend(peers::check(workspace)?);
    problems.extend(pins::check(workspace)?);
    problems.extend(fresh_app::check(workspace)?);
    problems.extend(product::check(&workspace.root)?);
    problems.extend(words::check(&workspace.root)?);
    let files = sources(&workspace.root)?;
    problems.extend(exports::check(&files));
    for (path, text) in &files {
        problems.extend(source::check(path, text));
    }
    if problems.is_empty() {
        println!("{} source files follow the rules", files.len());
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    bail!("{} violations of the repository's rules", problems.len());
}

/// Returns every Rust file of the workspace: its path relative to the root, with slashes, and its text.
fn sources(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let folder = root.join(folder);
        if folder.is_dir() {
            collect(root, &folder, &mut files)?;
        }
    }
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            if !SKIPPED.iter().any(|name| path.ends_with(name)) {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((name, text));
        }
    }
    Ok(())
}
