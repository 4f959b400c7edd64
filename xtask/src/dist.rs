//! The frontend: Trunk, then the compressed copies, unless what is there is up to date.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{compress, process, progress::Progress, stamp::Stamp, tools, workspace::Workspace};

/// How many steps `build` announces.
pub(crate) const STEPS: usize = 3;

/// Everything the page is made from.
const INPUTS: [&str; 12] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "Trunk.toml",
    "crates/browser",
    "crates/context",
    "crates/inspector",
    "crates/inspector-api",
    "crates/timing",
    "frontend",
    "rust-toolchain.toml",
    "shared",
];

/// Optimised or quick to build; for the page and the server alike.
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

/// Builds `frontend/dist`, installing the tools that it takes, if anything changed since it was built.
pub(crate) fn build(workspace: &Workspace, profile: Profile, progress: &mut Progress) -> Result<()> {
    const TOOLS: &str = "looking for the build tools";
    const PAGE: &str = "building the frontend";
    const COPIES: &str = "compressing the frontend";

    let dist = workspace.root.join("frontend/dist");
    let file = workspace.state().join("frontend.stamp");
    let heading =
        format!("{} trunk {} wasm-bindgen {}", profile.folder(), tools::TRUNK_VERSION, tools::WASM_BINDGEN_VERSION);
    // The listing of dist is a part of the stamp: `trunk serve` writes there too.
    let stamp = || Stamp::take(&workspace.root, &heading, &INPUTS, &dist);

    match (stamp()?, Stamp::read(&file)) {
        (now, Some(built)) if dist.join("index.html").exists() => match now.difference(&built) {
            None => {
                progress.skip(TOOLS, "not needed");
                progress.skip(PAGE, "nothing changed");
                progress.skip(COPIES, "nothing changed");
                return Ok(());
            }
            Some(what) => println!("the frontend is built again because of {what}"),
        },
        _ => {}
    }
    // A build that fails half way must not pass for the one before it.
    if file.exists() {
        fs::remove_file(&file)?;
    }

    let toolbox = progress.step(TOOLS, || tools::ensure(workspace))?;
    progress.step(PAGE, || {
        // Trunk's `--offline` holds for the cargo that it calls too, so the dependencies have to be here first.
        process::run(workspace.cargo(&["fetch", "--quiet", "--locked"]).stdin(Stdio::null()))?;
        process::run(&mut trunk(workspace, &toolbox, profile)?)
    })?;
    if profile == Profile::Release {
        progress.step(COPIES, || {
            for sizes in compress::compress(&dist)? {
                let name = sizes.path.strip_prefix(&dist).unwrap_or(&sizes.path).display().to_string();
                println!("  {name}: {} bytes, gzip {}, brotli {}", sizes.raw, sizes.gzip, sizes.brotli);
            }
            Ok(())
        })?;
    } else {
        progress.skip(COPIES, "not for a quick build");
    }
    stamp()?.write(&file)
}

fn trunk(workspace: &Workspace, toolbox: &tools::Toolbox, profile: Profile) -> Result<Command> {
    let mut trunk = toolbox.command("trunk")?;
    trunk.current_dir(&workspace.root).args(["build", "--offline=true", "--locked=true"]);
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
