//! The bundles for browsers: Trunk, then the compressed copies, unless what is there is up to date.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{compress, process, progress::Progress, fingerprint::Fingerprint, tools, workspace::Workspace};

/// How many steps `build` announces.
pub(crate) const STEPS: usize = 1 + BUNDLES.len();

/// A page that Trunk builds, and that a server embeds.
struct Bundle {
    /// What it is called in messages, and in the name of its fingerprint.
    name: &'static str,
    /// What is announced while it is built.
    step: &'static str,
    /// Trunk's configuration.
    config: &'static str,
    /// The folder that Trunk writes, as in the configuration.
    output: &'static str,
    /// The files and folders that it is built from, besides [`COMMON_INPUTS`].
    inputs: &'static [&'static str],
}

const BUNDLES: [Bundle; 2] = [
    Bundle {
        name: "inspector",
        step: "building the inspector's pages",
        config: "crates/inspector/Trunk.toml",
        output: "crates/inspector-server/ui",
        inputs: &["crates/context", "crates/inspector", "crates/inspector-api", "crates/timing"],
    },
    Bundle {
        name: "cruddur",
        step: "building Cruddur's page",
        config: "Trunk.toml",
        output: "frontend/dist",
        inputs: &[
            "Trunk.toml",
            "crates/browser",
            "crates/context",
            "crates/inspector/style/tokens.css",
            "crates/timing",
            "frontend",
            "shared",
        ],
    },
];

/// What every bundle is built from.
const COMMON_INPUTS: [&str; 4] = [".cargo", "Cargo.lock", "Cargo.toml", "rust-toolchain.toml"];

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

impl Bundle {
    fn output(&self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(self.output)
    }

    /// Where the fingerprint of the last build is kept.
    fn fingerprint_file(&self, workspace: &Workspace) -> PathBuf {
        workspace.state().join(format!("{}.fingerprint", self.name))
    }

    /// The fingerprint of what is there now. The output is a part of it: `trunk serve` writes there too.
    fn fingerprint(&self, workspace: &Workspace, profile: Profile) -> Result<Fingerprint> {
        let heading =
            format!("{} trunk {} wasm-bindgen {}", profile.folder(), tools::TRUNK_VERSION, tools::WASM_BINDGEN_VERSION);
        let inputs: Vec<&str> = COMMON_INPUTS.iter().chain(self.inputs).copied().collect();
        Fingerprint::take(&workspace.root, &heading, &inputs, &self.output(workspace))
    }

    /// Why it has to be built; nothing if it is up to date.
    fn reason(&self, workspace: &Workspace, profile: Profile) -> Result<Option<String>> {
        let built = Fingerprint::read(&self.fingerprint_file(workspace));
        let built = built.filter(|_| self.output(workspace).join("index.html").exists());
        let Some(built) = built else { return Ok(Some("it is not built yet".to_owned())) };
        let now = self.fingerprint(workspace, profile)?;
        Ok(now.difference(&built).map(|changed| format!("{changed} changed")))
    }

    fn build(&self, workspace: &Workspace, toolbox: &tools::Toolbox, profile: Profile) -> Result<()> {
        let file = self.fingerprint_file(workspace);
        // A build that fails half way must not pass for the one before it.
        if file.exists() {
            fs::remove_file(&file)?;
        }
        process::run(trunk(toolbox, profile)?.current_dir(&workspace.root).args(["--config", self.config]))?;
        if profile == Profile::Release {
            let output = self.output(workspace);
            print_sizes(&output, &compress::compress(&output)?);
        }
        self.fingerprint(workspace, profile)?.write(&file)
    }
}

/// Makes the folders that the servers embed, so that they compile before anything is built.
pub(crate) fn make_outputs(workspace: &Workspace) -> Result<()> {
    for bundle in &BUNDLES {
        fs::create_dir_all(bundle.output(workspace))?;
    }
    Ok(())
}

/// Builds every bundle that is not up to date, and installs the tools that this takes.
pub(crate) fn build(workspace: &Workspace, profile: Profile, progress: &mut Progress) -> Result<()> {
    const TOOLS: &str = "looking for the build tools";

    let mut outdated = Vec::new();
    for bundle in &BUNDLES {
        let reason = bundle.reason(workspace, profile)?;
        if let Some(reason) = &reason {
            println!("the bundle `{}` is built: {reason}", bundle.name);
        }
        outdated.push(reason.is_some());
    }
    if !outdated.contains(&true) {
        progress.skip(TOOLS, "not needed");
        for bundle in &BUNDLES {
            progress.skip(bundle.step, "nothing changed");
        }
        return Ok(());
    }
    let toolbox = progress.step(TOOLS, || {
        let toolbox = tools::ensure(workspace)?;
        // Trunk's `--offline` holds for the cargo that it calls too, so the dependencies have to be here first.
        process::run(workspace.cargo(&["fetch", "--quiet", "--locked"]).stdin(Stdio::null()))?;
        Ok(toolbox)
    })?;
    for (bundle, outdated) in BUNDLES.iter().zip(outdated) {
        if outdated {
            progress.step(bundle.step, || bundle.build(workspace, &toolbox, profile))?;
        } else {
            progress.skip(bundle.step, "nothing changed");
        }
    }
    Ok(())
}

fn print_sizes(output: &Path, sizes: &[compress::Sizes]) {
    for sizes in sizes {
        let name = sizes.path.strip_prefix(output).unwrap_or(&sizes.path).display();
        println!("  {name}: {} bytes, gzip {}, brotli {}", sizes.raw, sizes.gzip, sizes.brotli);
    }
}

/// `trunk build` of the page in the working directory, without looking for newer packages.
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

    fn bundle(name: &str) -> &'static Bundle {
        static ALL: [Bundle; 2] = BUNDLES;
        ALL.iter().find(|bundle| bundle.name == name).expect("a bundle")
    }

    /// The value of a key in a configuration of Trunk.
    fn value(config: &str, key: &str) -> String {
        let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.expect("the key").trim_matches('"').to_owned()
    }

    #[test]
    fn inputs_exist_and_outputs_are_those_of_trunk() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for bundle in &BUNDLES {
            for input in COMMON_INPUTS.iter().chain(bundle.inputs) {
                assert!(root.join(input).exists(), "{input}");
            }
            let config = fs::read_to_string(root.join(bundle.config)).unwrap();
            let folder = Path::new(bundle.config).parent().unwrap();
            let output = folder.join(value(&config, "dist")).to_string_lossy().replace("inspector/../", "");
            assert_eq!(output, bundle.output);
        }
    }

    #[test]
    fn a_change_in_one_bundle_leaves_the_other_as_it_is() {
        assert!(!bundle("inspector").inputs.contains(&"frontend") && !bundle("inspector").inputs.contains(&"shared"));
        assert!(!bundle("cruddur").inputs.contains(&"crates/inspector"));
    }
}
