//! The pages that servers embed: compiled by cargo, then bundled by `xtask-bundle`, unless they are up to date.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::Result;

use crate::{
    fingerprint::Fingerprint,
    process,
    progress::Progress,
    tools::{self, WASM_BINDGEN_VERSION, WASM_TARGET},
    workspace::Workspace,
};

/// The number of steps of [`build`].
pub(crate) const STEPS: usize = 3;
/// The program that bundles pages.
pub(crate) const BUNDLER: &str = "xtask-bundle";

/// A page that a server embeds.
struct Bundle {
    /// Its name in messages and in the name of its fingerprint.
    name: &'static str,
    /// The package of its program.
    package: &'static str,
    /// Its `index.html`.
    html: &'static str,
    /// The folder that a server embeds, the same as `dist` in Trunk's configuration.
    output: &'static str,
    /// The URL prefix of its files, the same as `public_url` in Trunk's configuration.
    public_url: &'static str,
    /// The files and folders that it is built from, in addition to [`COMMON_INPUTS`].
    inputs: &'static [&'static str],
}

const BUNDLES: [Bundle; 2] = [
    Bundle {
        name: "inspector",
        package: "throughline-inspector",
        html: "crates/inspector/index.html",
        output: "crates/inspector-server/ui",
        public_url: "/__throughline_base__/traces/assets/",
        inputs: &["crates/context", "crates/inspector", "crates/inspector-api", "crates/timing"],
    },
    Bundle {
        name: "cruddur",
        package: "cruddur-frontend",
        html: "frontend/index.html",
        output: "frontend/dist",
        public_url: "/",
        inputs: &[
            "crates/browser",
            "crates/context",
            "crates/inspector/style/tokens.css",
            "crates/timing",
            "frontend",
            "shared",
        ],
    },
];

/// Flags for pages that are not optimized. Leptos erases the types of components, without which each page compiles three times as
/// long; and debug information is larger than the program.
const DEV_RUSTFLAGS: &str = "--cfg erase_components -C debuginfo=0";

/// The inputs of every page.
const COMMON_INPUTS: [&str; 5] = [".cargo", "Cargo.lock", "Cargo.toml", "rust-toolchain.toml", "xtask/bundle"];

/// The profile with which pages and programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build: not optimized, without compressed copies.
    Dev,
    /// As shipped.
    Release,
}

impl Profile {
    /// Returns `Release`, or `Dev` with the flag `--dev`.
    pub(crate) fn from_dev(dev: bool) -> Self {
        if dev { Self::Dev } else { Self::Release }
    }

    /// Returns the name of cargo's folder for programs.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }

    /// Returns cargo's profile for pages, and the name of its folder.
    fn of_pages(self) -> (&'static str, &'static str) {
        match self {
            Self::Dev => ("dev", "debug"),
            Self::Release => ("wasm-release", "wasm-release"),
        }
    }
}

impl Bundle {
    fn output(&self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(self.output)
    }

    fn fingerprint_file(&self, workspace: &Workspace) -> PathBuf {
        workspace.state().join(format!("{}.fingerprint", self.name))
    }

    /// Returns the fingerprint of the page's inputs and output. The output is part of it because `trunk serve` writes
    /// there too.
    fn fingerprint(&self, workspace: &Workspace, profile: Profile) -> Result<Fingerprint> {
        let heading = format!("{} wasm-bindgen {WASM_BINDGEN_VERSION}", profile.folder());
        let inputs: Vec<&str> = COMMON_INPUTS.iter().chain(self.inputs).copied().collect();
        Fingerprint::take(&workspace.root, &heading, &inputs, &self.output(workspace))
    }

    /// Returns why the page has to be built; `None` if it is up to date.
    fn reason(&self, workspace: &Workspace, profile: Profile) -> Result<Option<String>> {
        let built = Fingerprint::read(&self.fingerprint_file(workspace));
        let built = built.filter(|_| self.output(workspace).join("index.html").exists());
        let Some(built) = built else { return Ok(Some("not built yet".to_owned())) };
        let now = self.fingerprint(workspace, profile)?;
        Ok(now.difference(&built).map(|changed| format!("{changed} changed")))
    }

    fn bundle(&self, workspace: &Workspace, profile: Profile, wasm_opt: Option<&Path>) -> Result<()> {
        let file = self.fingerprint_file(workspace);
        // An interrupted build must not be taken for the previous one.
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let (_, folder) = profile.of_pages();
        let wasm = format!("{}.wasm", self.package);
        let mut bundler = bundler(workspace);
        bundler
            .arg("page")
            .arg("--html")
            .arg(workspace.root.join(self.html))
            .arg("--wasm")
            .arg(workspace.target.join(WASM_TARGET).join(folder).join(wasm))
            .arg("--output")
            .arg(self.output(workspace))
            .args(["--public-url", self.public_url]);
        if let Some(wasm_opt) = wasm_opt {
            bundler.arg("--wasm-opt").arg(wasm_opt);
        }
        if profile == Profile::Release {
            bundler.arg("--compress");
        }
        process::run(&mut bundler)?;
        self.fingerprint(workspace, profile)?.write(&file)
    }
}

/// Returns the command `xtask-bundle`, which has to be compiled before.
pub(crate) fn bundler(workspace: &Workspace) -> Command {
    let name = format!("{BUNDLER}{}", std::env::consts::EXE_SUFFIX);
    Command::new(workspace.target.join(Profile::Dev.folder()).join(name))
}

/// Compiles `xtask-bundle`.
pub(crate) fn compile_bundler(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["build", "--package", BUNDLER]))
}

/// Creates the folders that servers embed, so that they compile before a page is built.
pub(crate) fn make_outputs(workspace: &Workspace) -> Result<()> {
    for bundle in &BUNDLES {
        fs::create_dir_all(bundle.output(workspace))?;
    }
    Ok(())
}

/// The pages that are not up to date.
pub(crate) struct Outdated {
    bundles: Vec<&'static Bundle>,
    profile: Profile,
}

impl Outdated {
    /// Finds the pages that are not up to date and prints why.
    pub(crate) fn find(workspace: &Workspace, profile: Profile) -> Result<Self> {
        static ALL: [Bundle; 2] = BUNDLES;
        let mut bundles = Vec::new();
        for bundle in &ALL {
            if let Some(reason) = bundle.reason(workspace, profile)? {
                println!("the page `{}` is built: {reason}", bundle.name);
                bundles.push(bundle);
            }
        }
        Ok(Self { bundles, profile })
    }

    /// Returns whether every page is up to date.
    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// Compiles the programs of the pages, and installs the compiler's target if it is missing.
    pub(crate) fn compile(&self, workspace: &Workspace, progress: &mut Progress) -> Result<()> {
        const WHAT: &str = "compiling the pages";
        if self.is_empty() {
            progress.skip(WHAT, "nothing changed");
            return Ok(());
        }
        progress.step(WHAT, || {
            tools::check_wasm_bindgen(workspace)?;
            tools::wasm_target(workspace)?;
            let (profile, _) = self.profile.of_pages();
            let mut cargo = workspace.cargo(&["build", "--target", WASM_TARGET, "--profile", profile]);
            // All are compiled, even if one is outdated: with other packages cargo selects other features, and compiles dependencies again.
            for bundle in &BUNDLES {
                cargo.args(["--package", bundle.package]);
            }
            if self.profile == Profile::Dev {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", DEV_RUSTFLAGS);
            }
            process::run(&mut cargo)
        })
    }

    /// Bundles the compiled programs. Needs `xtask-bundle`.
    pub(crate) fn bundle(&self, workspace: &Workspace, progress: &mut Progress) -> Result<()> {
        const WHAT: &str = "bundling the pages";
        if self.is_empty() {
            progress.skip(WHAT, "nothing changed");
            return Ok(());
        }
        progress.step(WHAT, || {
            let wasm_opt = match self.profile {
                Profile::Dev => None,
                Profile::Release => tools::wasm_opt()?,
            };
            thread::scope(|scope| {
                let bundles: Vec<_> = self
                    .bundles
                    .iter()
                    .map(|bundle| scope.spawn(|| bundle.bundle(workspace, self.profile, wasm_opt.as_deref())))
                    .collect();
                bundles.into_iter().try_for_each(|bundle| bundle.join().expect("bundling does not panic"))
            })
        })
    }
}

/// Builds every page that is not up to date.
pub(crate) fn build(workspace: &Workspace, profile: Profile, progress: &mut Progress) -> Result<()> {
    let outdated = Outdated::find(workspace, profile)?;
    outdated.compile(workspace, progress)?;
    if outdated.is_empty() {
        progress.skip("compiling the bundler", "not needed");
    } else {
        progress.step("compiling the bundler", || compile_bundler(workspace))?;
    }
    outdated.bundle(workspace, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str) -> &'static Bundle {
        static ALL: [Bundle; 2] = BUNDLES;
        ALL.iter().find(|bundle| bundle.name == name).expect("a bundle")
    }

    /// Returns the value of a key in a configuration of Trunk.
    fn value<'a>(config: &'a str, key: &str) -> Option<&'a str> {
        let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")))?;
        Some(line.trim_matches('"'))
    }

    #[test]
    fn inputs_exist_and_trunk_is_configured_alike() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, config) in [("cruddur", "Trunk.toml"), ("inspector", "crates/inspector/Trunk.toml")] {
            let bundle = bundle(name);
            for input in COMMON_INPUTS.iter().chain(bundle.inputs) {
                assert!(root.join(input).exists(), "{input}");
            }
            let text = fs::read_to_string(root.join(config)).unwrap();
            let folder = Path::new(config).parent().unwrap();
            let path = |key| {
                let path = folder.join(value(&text, key).unwrap());
                path.to_string_lossy().replace("inspector/../", "")
            };
            assert_eq!(path("dist"), bundle.output);
            assert_eq!(path("target"), bundle.html);
            assert_eq!(value(&text, "public_url").unwrap_or("/"), bundle.public_url);
        }
    }

    #[test]
    fn a_change_in_one_page_does_not_rebuild_the_other() {
        assert!(!bundle("inspector").inputs.contains(&"frontend") && !bundle("inspector").inputs.contains(&"shared"));
        assert!(!bundle("cruddur").inputs.contains(&"crates/inspector"));
    }
}
