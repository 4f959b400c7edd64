//! Rules that neither the compiler nor clippy knows: who may import whom, what stays out of which graph, where keys are
//! spelled, how long a file may be.

mod fuzz;
mod graph;
mod imports;
mod peers;
mod pins;
mod source;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{stamp::entries, workspace::Workspace};

/// Checks everything and tells all that is wrong at once.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut problems = imports::check(&workspace.metadata);
    problems.extend(graph::check(workspace)?);
    problems.extend(fuzz::check(workspace)?);
    problems.extend(peers::check(workspace)?);
    problems.extend(pins::check(workspace)?);
    let files = sources(&workspace.root)?;
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
    bail!("{} rules are broken", problems.len());
}

/// Every Rust file of the workspace: its path from the root, with slashes, and its text.
fn sources(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for folder in ["benches", "crates", "e2e", "frontend", "fuzz", "shared", "xtask"] {
        collect(root, &root.join(folder), &mut files)?;
    }
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            if !["dist", "target", "corpus", "artifacts", "node_modules"].iter().any(|name| path.ends_with(name)) {
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
