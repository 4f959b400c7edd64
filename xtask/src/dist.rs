//! The pages: Trunk, then the compressed copies, unless a page is up to date.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{compress, process, progress::Progress, stamp::Stamp, tools, workspace::Workspace};

/// How many steps `build` announces.
pub(crate) const STEPS: usize = 1 + 2 * PAGES.len();

/// Files that every page depends on.
const COMMON_INPUTS: [&str; 6] =
    [".cargo", "Cargo.lock", "Cargo.toml", "crates/context", "crates/timing", "rust-toolchain.toml"];

/// A page that is embedded in a program.
struct Page {
    /// The name in messages and of the stamp.
    name: &'static str,
    /// Trunk's configuration; its folder is Trunk's working directory.
    config: &'static str,
    /// The folder that is embedded.
    output: &'static str,
    /// Where the files of the page are served; `None` is the root.
    public_url: Option<&'static str>,
    /// Files that it depends on besides [`COMMON_INPUTS`].
    inputs: &'static [&'static str],
}

const PAGES: [Page; 2] = [
    Page {
        name: "inspector",
        config: "crates/inspector/Trunk.toml",
        output: "crates/inspector-server/ui",
        // The server puts the base path there when it serves the page.
        public_url: Some("/__throughline_base__/traces/assets/"),
        inputs: &["crates/inspector", "crates/inspector-api"],
    },
    Page {
        name: "frontend",
        config: "Trunk.toml",
        output: "frontend/dist",
        public_url: None,
        inputs: &["Trunk.toml", "crates/browser", "frontend", "shared"],
    },
];

/// Optimised or quick to build; for pages and programs alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build: no optimisation, no compressed copies.
    Dev,
    /// What is shipped.
    Release,
}

impl Profile {
    /// From the flag `--dev`.
    pub(crate) fn from_dev(dev: bool) -> Self {
        if dev { Self::Dev } else { Self::Release }
    }

    /// The name of cargo's folder for it.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Creates the folders that programs embed: they have to exist, empty or not, before anything compiles a program.
pub(crate) fn make_outputs(workspace: &Workspace) -> Result<()> {
    for page in &PAGES {
        fs::create_dir_all(page.output(workspace)).with_context(|| format!("cannot make {}", page.output))?;
    }
    Ok(())
}

/// Builds each page that is out of date, and installs the tools for it.
pub(crate) fn build(workspace: &Workspace, profile: Profile, progress: &mut Progress) -> Result<()> {
    const TOOLS: &str = "looking for the build tools";

    let mut stale = Vec::new();
    for page in &PAGES {
        if page.is_stale(workspace, profile)? {
            stale.push(page.name);
        }
    }
    if stale.is_empty() {
        progress.skip(TOOLS, "not needed");
        for page in &PAGES {
            progress.skip(&page.step("building"), "nothing changed");
            progress.skip(&page.step("compressing"), "nothing changed");
        }
        return Ok(());
    }
    let toolbox = progress.step(TOOLS, || tools::ensure(workspace))?;
    for page in &PAGES {
        if stale.contains(&page.name) {
            page.build(workspace, &toolbox, profile, progress)?;
        } else {
            progress.skip(&page.step("building"), "nothing changed");
            progress.skip(&page.step("compressing"), "nothing changed");
        }
    }
    Ok(())
}

impl Page {
    fn step(&self, verb: &str) -> String {
        format!("{verb} the {}", self.name)
    }

    fn output(&self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(self.output)
    }

    fn stamp_file(&self, workspace: &Workspace) -> PathBuf {
        workspace.state().join(format!("{}.stamp", self.name))
    }

    /// The listing of the output is a part of the stamp: `trunk serve` writes there too.
    fn stamp(&self, workspace: &Workspace, profile: Profile) -> Result<Stamp> {
        let heading =
            format!("{} trunk {} wasm-bindgen {}", profile.folder(), tools::TRUNK_VERSION, tools::WASM_BINDGEN_VERSION);
        let inputs: Vec<&str> = COMMON_INPUTS.iter().chain(self.inputs).copied().collect();
        Stamp::take(&workspace.root, &heading, &inputs, &self.output(workspace))
    }

    /// Whether anything changed since the page was built; the reason is printed.
    fn is_stale(&self, workspace: &Workspace, profile: Profile) -> Result<bool> {
        let Some(built) = Stamp::read(&self.stamp_file(workspace)) else { return Ok(true) };
        if !self.output(workspace).join("index.html").exists() {
            return Ok(true);
        }
        let now = self.stamp(workspace, profile)?;
        let difference = now.difference(&built);
        if let Some(path) = difference {
            println!("the {} is built again because of {path}", self.name);
        }
        Ok(difference.is_some())
    }

    fn build(
        &self,
        workspace: &Workspace,
        toolbox: &tools::Toolbox,
        profile: Profile,
        progress: &mut Progress,
    ) -> Result<()> {
        let stamp_file = self.stamp_file(workspace);
        // A build that fails half way must not pass for the one before it.
        if stamp_file.exists() {
            fs::remove_file(&stamp_file)?;
        }
        let output = self.output(workspace);
        progress.step(&self.step("building"), || {
            // Trunk's `--offline` holds for the cargo that it calls too, so the dependencies have to be here first.
            process::run(workspace.cargo(&["fetch", "--quiet", "--locked"]).stdin(Stdio::null()))?;
            process::run(&mut self.trunk(workspace, toolbox, profile)?)?;
            ensure!(output.join("index.html").exists(), "Trunk did not write {}/index.html", self.output);
            Ok(())
        })?;
        if profile == Profile::Release {
            progress.step(&self.step("compressing"), || {
                for sizes in compress::compress(&output)? {
                    let name = sizes.path.strip_prefix(&output).unwrap_or(&sizes.path).display().to_string();
                    println!("  {name}: {} bytes, gzip {}, brotli {}", sizes.raw, sizes.gzip, sizes.brotli);
                }
                Ok(())
            })?;
        } else {
            progress.skip(&self.step("compressing"), "not for a quick build");
        }
        self.stamp(workspace, profile)?.write(&stamp_file)
    }

    fn trunk(&self, workspace: &Workspace, toolbox: &tools::Toolbox, profile: Profile) -> Result<Command> {
        let mut trunk = trunk(toolbox, profile)?;
        trunk.current_dir(&workspace.root).arg("--config").arg(workspace.root.join(self.config));
        trunk.arg("--dist").arg(self.output(workspace));
        if let Some(public_url) = self.public_url {
            trunk.args(["--public-url", public_url]);
        }
        Ok(trunk)
    }
}

/// `trunk build` without downloads.
pub(crate) fn trunk(toolbox: &tools::Toolbox, profile: Profile) -> Result<Command> {
    let mut trunk = toolbox.command("trunk")?;
    trunk.args(["build", "--offline=true", "--locked=true"]);
    trunk.arg(match profile {
        Profile::Dev => "--release=false",
        Profile::Release => "--release=true",
    });
    // By convention NO_COLOR may hold anything; Trunk accepts nothing but `true` and `false` in it.
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        trunk.env("NO_COLOR", "true");
    } else {
        trunk.env_remove("NO_COLOR");
    }
    Ok(trunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_names_and_folders_of_their_own() {
        let [inspector, frontend] = &PAGES;
        assert!(inspector.name != frontend.name && inspector.output != frontend.output);
    }

    #[test]
    fn a_page_is_not_its_own_input() {
        for page in &PAGES {
            // `Stamp` leaves folders called `dist` out by itself.
            let inside =
                |input: &&str| page.output.starts_with(&format!("{input}/")) && !page.output.ends_with("/dist");
            assert_eq!(page.inputs.iter().find(|input| inside(input)), None, "{}", page.name);
        }
    }
}
