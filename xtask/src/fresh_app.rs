//! Builds a fresh application, `e2e/fresh-app`, which adds Throughline in three lines on the server and one in the
//! page. It is copied to a temporary folder, built there against this workspace, and tested in Chromium.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{process, progress::show, tools::Toolbox, workspace::Workspace};

const SOURCES: &str = "e2e/fresh-app";
const SERVER: &str = "src/main.rs";
const PAGE: &str = "page/src/main.rs";
/// The files of the application.
const FILES: [&str; 5] = ["Cargo.toml", SERVER, "page/Cargo.toml", "page/index.html", PAGE];
/// Lines that add Throughline contain one of these words.
const OURS: [&str; 2] = ["throughline", "telemetry"];

/// The profile of this workspace, so that compiled dependencies are shared.
const PROFILE: &str = "[profile.dev]\ndebug = \"line-tables-only\"\n\n[profile.dev.package.\"*\"]\ndebug = false\n";

/// The built application. Its folder is removed when it is dropped.
pub(crate) struct FreshApp {
    folder: TempDir,
    /// The path of the server's program.
    pub(crate) binary: PathBuf,
}

impl FreshApp {
    /// Returns the working directory of the server, which serves `page/dist` from it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Copies and builds the application, and prints the build times and the number of packages.
pub(crate) fn build(workspace: &Workspace, toolbox: &Toolbox) -> Result<FreshApp> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    write(&workspace.root, folder.path())?;
    // The builds below are offline: the lock file of the workspace has all dependencies.
    process::run(&mut workspace.cargo(&["fetch", "--quiet", "--locked"]))?;

    let build = Instant::now();
    process::run(within(workspace, folder.path(), &mut workspace.cargo(&["build", "--offline"])))?;
    let server = build.elapsed();
    let build = Instant::now();
    process::run(within(workspace, &folder.path().join("page"), &mut trunk(toolbox)?))?;
    let page = build.elapsed();

    println!("built the server of the fresh application in {} and its page in {}", show(server), show(page));
    for (manifest, package, target) in
        [("Cargo.toml", "notes", None), ("page/Cargo.toml", "notes-page", Some("wasm32-unknown-unknown"))]
    {
        let mut tree = workspace.cargo(&["tree", "--offline", "--edges=normal", "--prefix=none", "--format={p}"]);
        tree.args(["--package", package]);
        if let Some(target) = target {
            tree.args(["--target", target]);
        }
        let tree = process::output(within(workspace, folder.path(), &mut tree))?;
        let text = fs::read_to_string(workspace.root.join(SOURCES).join(manifest))?;
        println!("{package}: {} packages in its dependency graph", packages(&tree));
        println!("{}", dependencies(&text).join("\n"));
    }
    let binary = workspace.target.join("debug").join(format!("notes{}", std::env::consts::EXE_SUFFIX));
    ensure!(binary.exists(), "cargo did not create {}", binary.display());
    Ok(FreshApp { folder, binary })
}

/// Returns the command `trunk build` for the page in the working directory, offline.
fn trunk(toolbox: &Toolbox) -> Result<Command> {
    let mut trunk = toolbox.command("trunk")?;
    trunk.args(["build", "--offline=true", "--locked=true"]);
    // NO_COLOR may have any value; Trunk accepts only `true` and `false`.
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        trunk.env("NO_COLOR", "true");
    } else {
        trunk.env_remove("NO_COLOR");
    }
    Ok(trunk)
}

/// Sets `command` to run in `folder` with the target directory of this workspace, so that not everything is compiled again.
fn within<'a>(workspace: &Workspace, folder: &Path, command: &'a mut Command) -> &'a mut Command {
    command.current_dir(folder).env("CARGO_TARGET_DIR", &workspace.target)
}

/// Copies the application to `folder`, with the lock file of the workspace.
fn write(root: &Path, folder: &Path) -> Result<()> {
    for name in FILES {
        let from = root.join(SOURCES).join(name);
        let text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = folder.join(name);
        let parent = to.parent().context("the path of a file has no parent")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        fs::write(&to, with_paths(&text, root)?).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let config = folder.join(".cargo/config.toml");
    fs::create_dir_all(folder.join(".cargo")).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(&config, PROFILE).with_context(|| format!("cannot write {}", config.display()))?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    Ok(())
}

/// Returns the text of a file with absolute paths to our crates.
fn with_paths(text: &str, root: &Path) -> Result<String> {
    let root = root.to_str().context("the path of the repository is not UTF-8")?.replace('\\', "/");
    let lines = text.lines().map(|line| match line.split_once("path = \"../") {
        Some((before, path)) => format!("{before}path = \"{root}/{}\n", path.trim_start_matches("../")),
        None => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// Returns the number of packages in the output of `cargo tree`, without the root.
fn packages(tree: &str) -> usize {
    let mut names: Vec<&str> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names.len().saturating_sub(1)
}

/// Returns the lines of `[dependencies]` in a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let list = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    list.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect()
}

/// Returns the lines of a program that add Throughline.
fn added_lines(program: &str) -> Vec<&str> {
    program.lines().map(str::trim).filter(|line| OURS.iter().any(|word| line.contains(word))).collect()
}

/// Reports lines of the application that the README does not quote, and a number of them other than the README promises.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let read =
        |name: &str| fs::read_to_string(workspace.root.join(name)).with_context(|| format!("cannot read {name}"));
    let readme = read("README.md")?;
    let mut problems = Vec::new();
    for (name, most) in [(SERVER, 3), (PAGE, 1)] {
        let path = format!("{SOURCES}/{name}");
        problems.extend(compare(&path, &read(&path)?, most, &readme));
    }
    Ok(problems)
}

fn compare(path: &str, program: &str, most: usize, readme: &str) -> Vec<String> {
    let quoted: Vec<&str> = readme.lines().map(str::trim).collect();
    let lines = added_lines(program);
    let number = (lines.len() != most)
        .then(|| format!("{path} adds Throughline in {} lines; README.md promises {most}", lines.len()));
    let missing = lines.iter().filter(|line| !quoted.contains(line));
    number
        .into_iter()
        .chain(missing.map(|line| format!("README.md does not quote this line of {path}: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_of_any_depth_become_absolute() {
        let manifest =
            "a = { path = \"../../crates/server\" }\nb = { path = \"../../../crates/browser\" }\nc = \"1\"\n";
        assert_eq!(
            with_paths(manifest, Path::new("/x")).unwrap(),
            "a = { path = \"/x/crates/server\" }\nb = { path = \"/x/crates/browser\" }\nc = \"1\"\n"
        );
    }

    #[test]
    fn all_files_are_copied() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(root, folder.path()).unwrap();
        for name in FILES {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        let manifest = fs::read_to_string(folder.path().join("page/Cargo.toml")).unwrap();
        assert!(!manifest.contains("../"), "{manifest}");
    }

    #[test]
    fn packages_are_counted_once_without_the_root() {
        assert_eq!(packages("notes v0.1.0 (/x)\naxum v0.8.9\nhttp v1.3.1\nhttp v1.3.1 (*)\n"), 2);
    }

    #[test]
    fn the_list_of_dependencies_ends_at_the_next_table() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\naxum = \"0.8\"\n\n[features]\nx = []\n";
        assert_eq!(dependencies(manifest), ["axum = \"0.8\""]);
    }

    #[test]
    fn an_unquoted_line_and_an_additional_line_are_reported() {
        let program = "fn main() {\n    throughline_browser::start();\n}\n";
        assert!(compare("p", program, 1, "```rust\nthroughline_browser::start();\n```\n").is_empty());
        assert_eq!(compare("p", program, 1, "").len(), 1);
        assert_eq!(compare("p", &program.repeat(2), 1, "throughline_browser::start();\n").len(), 1);
    }
}
