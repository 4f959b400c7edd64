//! Build tools: found, or installed in the versions pinned here.

mod find;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{process, workspace::Workspace};
use find::{Found, look};

/// Trunk, the newest that the pinned toolchain compiles.
const TRUNK_VERSION: &str = "0.21.14";
/// The command line of wasm-bindgen, in the version of the library in Cargo.lock.
pub(crate) const WASM_BINDGEN_VERSION: &str = "0.2.129";
/// The npm package with `wasm-opt`.
pub(crate) const BINARYEN_VERSION: &str = "132";
/// The oldest `wasm-opt` that accepts the output of rustc.
const WASM_OPT_AT_LEAST: u32 = 120;

/// The compiler's target for pages.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A program that cargo installs.
struct CargoTool {
    package: &'static str,
    version: &'static str,
    programs: &'static [&'static str],
}

const TRUNK: CargoTool = CargoTool { package: "trunk", version: TRUNK_VERSION, programs: &["trunk"] };
const WASM_BINDGEN: CargoTool = CargoTool {
    package: "wasm-bindgen-cli",
    version: WASM_BINDGEN_VERSION,
    programs: &["wasm-bindgen", "wasm-bindgen-test-runner"],
};

const GECKODRIVER: CargoTool = CargoTool { package: "geckodriver", version: "0.36.0", programs: &["geckodriver"] };

/// The folders of tools that are not on `PATH`, or are on it after another version.
pub(crate) struct Toolbox {
    folders: Vec<PathBuf>,
}

impl Toolbox {
    /// Returns a command for `program`, with the tools on its `PATH`.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let path = process::path_with(&self.folders)?;
        let program = process::find_in(&path, program).with_context(|| format!("{program} is not installed"))?;
        let mut command = Command::new(program);
        command.env("PATH", path);
        Ok(command)
    }

    /// Puts the tools on the `PATH` of `command`.
    pub(crate) fn lend(&self, command: &mut Command) -> Result<()> {
        command.env("PATH", process::path_with(&self.folders)?);
        Ok(())
    }
}

/// Finds the tools of the tests and of the development loop, and installs missing ones: the WASM target, Trunk, the command line
/// of wasm-bindgen, and `wasm-opt`. `cargo xtask run` and `cargo xtask build` need neither Trunk nor the command line.
///
/// # Errors
///
/// A tool that cannot be installed, with the command that installs it. A missing `wasm-opt` is only reported.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Toolbox> {
    check_wasm_bindgen(workspace)?;
    wasm_target(workspace)?;
    let mut folders = Vec::new();
    for tool in [&TRUNK, &WASM_BINDGEN] {
        folders.extend(cargo_tool(workspace, tool)?);
    }
    let wasm_opt = wasm_opt()?;
    folders.extend(wasm_opt.as_deref().and_then(Path::parent).map(Path::to_owned));
    Ok(Toolbox { folders })
}

/// Checks that the lock file has the version of wasm-bindgen whose command line is installed.
pub(crate) fn check_wasm_bindgen(workspace: &Workspace) -> Result<()> {
    let locked = workspace.locked_version("wasm-bindgen")?;
    ensure!(
        locked == WASM_BINDGEN_VERSION,
        "Cargo.lock has wasm-bindgen {locked}, but xtask/src/tools/mod.rs pins its command line to \
         {WASM_BINDGEN_VERSION}: the two must be equal"
    );
    Ok(())
}

/// Installs the standard library for pages if it is missing.
pub(crate) fn wasm_target(workspace: &Workspace) -> Result<()> {
    let installed = || -> Result<bool> {
        let mut rustc = Command::new("rustc");
        let sysroot = process::output(rustc.args(["--print", "sysroot"]).current_dir(&workspace.root))?;
        Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).join("lib").is_dir())
    };
    if installed()? {
        return Ok(());
    }
    let command = format!("rustup target add {WASM_TARGET}");
    println!("installing the target {WASM_TARGET}: {command}");
    process::run(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(&workspace.root))
        .with_context(|| {
            format!("the target {WASM_TARGET} is missing and could not be installed; to install it: {command}")
        })?;
    ensure!(installed()?, "the target {WASM_TARGET} is still missing after `{command}`");
    Ok(())
}

/// Returns the WebDriver server of Firefox, which is installed if it is missing.
pub(crate) fn geckodriver(workspace: &Workspace) -> Result<PathBuf> {
    let folder = cargo_tool(workspace, &GECKODRIVER)?;
    let name = GECKODRIVER.programs[0];
    let program = match folder {
        Some(folder) => process::find_in(folder.as_os_str(), name),
        None => process::find(name),
    };
    program.with_context(|| format!("{name} is not installed"))
}

/// Installs `tool` if it is missing. Returns its folder, or `None` if that is on `PATH`.
fn cargo_tool(workspace: &Workspace, tool: &CargoTool) -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = look(tool.programs, tool.version, &path);
    if matches!(on_path, Found::Right(_)) {
        return Ok(None);
    }
    let own_root = cache()?.join(format!("{}-{}", tool.package, tool.version));
    for folder in [own_root.join("bin")].into_iter().chain(cargo_bins()) {
        if let Found::Right(folder) = look(tool.programs, tool.version, folder.as_os_str()) {
            return Ok(Some(folder));
        }
    }
    // Another version on PATH belongs to the user and is not replaced; this one is then installed into a separate folder.
    let root = match &on_path {
        Found::Other(version) => {
            println!("{} {version} is installed, but {} is required", tool.package, tool.version);
            Some(own_root.as_path())
        }
        _ => None,
    };
    install(workspace, tool, root)?;
    let candidates = root.map(|root| root.join("bin")).into_iter().chain(cargo_bins()).chain(env::split_paths(&path));
    candidates
        .filter_map(|folder| match look(tool.programs, tool.version, folder.as_os_str()) {
            Found::Right(folder) => Some(folder),
            _ => None,
        })
        .next()
        .map(Some)
        .with_context(|| format!("{} {} was installed, but is not found", tool.package, tool.version))
}

/// Installs a tool with cargo-binstall if that is installed, otherwise from source.
fn install(workspace: &Workspace, tool: &CargoTool, root: Option<&Path>) -> Result<()> {
    let wanted = format!("{}@{}", tool.package, tool.version);
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.cargo(arguments);
        if let Some(root) = root {
            command.arg("--root").arg(root);
        }
        command.arg(&wanted);
        command
    };
    if process::find("cargo-binstall").is_some() {
        let mut binstall = cargo(&["binstall", "--no-confirm"]);
        println!("installing {wanted}: {}", process::show(&binstall));
        match process::run(&mut binstall) {
            Ok(()) => return Ok(()),
            Err(error) => println!("{error:#}; building it from source instead"),
        }
    }
    let mut from_source = cargo(&["install", "--locked"]);
    let by_hand = process::show(&from_source);
    println!("installing {wanted}, which takes some minutes: {by_hand}");
    from_source
        .env("CARGO_TARGET_DIR", workspace.target.join("tools"))
        // A build tool runs for seconds; optimizing it takes longer than that saves.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(&mut from_source)
        .with_context(|| format!("{wanted} is missing and could not be installed; to install it: {by_hand}"))
}

/// Returns the path of `wasm-opt`, which is installed with npm if it is missing. `None`, with a message, if that fails.
pub(crate) fn wasm_opt() -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usable = |path: &std::ffi::OsStr| {
        let (folder, version) = find::version("wasm-opt", path)?;
        if version.parse::<u32>().ok()? < WASM_OPT_AT_LEAST {
            return None;
        }
        process::find_in(folder.as_os_str(), "wasm-opt")
    };
    if let Some(program) = usable(&path) {
        return Ok(Some(program));
    }
    let prefix = cache()?.join(format!("binaryen-{BINARYEN_VERSION}"));
    let bin = prefix.join("node_modules").join(".bin");
    if let Some(program) = usable(bin.as_os_str()) {
        return Ok(Some(program));
    }
    let package = format!("binaryen@{BINARYEN_VERSION}");
    let problem = match process::find("npm") {
        None => anyhow!("npm is not installed"),
        Some(npm) => {
            fs::create_dir_all(&prefix)?;
            let mut npm = Command::new(npm);
            npm.args(["install", "--no-audit", "--no-fund"])
                // Without a network the default number of retries takes more than a minute.
                .args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--prefix"])
                .arg(&prefix)
                .arg(&package);
            println!("installing wasm-opt: {}", process::show(&npm));
            match process::run(&mut npm) {
                Ok(()) => match usable(bin.as_os_str()) {
                    Some(program) => return Ok(Some(program)),
                    None => anyhow!("{package} was installed, but its wasm-opt does not run"),
                },
                Err(error) => error,
            }
        }
    };
    println!("pages are larger without wasm-opt ({problem:#}); to install it: npm install --global {package}");
    Ok(None)
}

/// Returns the folders into which `cargo install` may install programs.
fn cargo_bins() -> impl Iterator<Item = PathBuf> {
    let install_root = env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from);
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    install_root.into_iter().chain(home).map(|root| root.join("bin"))
}

/// Returns the folder of tools that are not installed for the user.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The specification says that a relative path there is invalid.
        Some(folder) if folder.is_absolute() => folder,
        _ => match env::home_dir() {
            Some(home) => home.join(".cache"),
            None => bail!("neither XDG_CACHE_HOME nor a home folder is known"),
        },
    };
    Ok(base.join("throughline").join("tools"))
}
