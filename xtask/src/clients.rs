//! Installs the Python and npm packages of the tests with SDKs of other languages, in the versions of their lock files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    chromium::{apt, is_root},
    process,
    workspace::Workspace,
};

const SOURCES: &str = "e2e/clients";
/// The files of the JavaScript client. They are copied, because Node resolves modules from the folder of the program.
const JS_FILES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "send.mjs"];

/// Installs missing packages below `target/clients` and returns that folder.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("clients");
    let sources = workspace.root.join(SOURCES);
    python(&sources.join("python/requirements.txt"), &folder)?;
    javascript(&sources.join("js"), &folder.join("js"))?;
    Ok(folder)
}

fn python(requirements: &Path, folder: &Path) -> Result<()> {
    let required = read(requirements)?;
    let (venv, installed) = (folder.join("python"), folder.join("python.installed"));
    if venv.join("bin/python").exists() && fs::read(&installed).is_ok_and(|installed| installed == required) {
        return Ok(());
    }
    let python =
        process::find("python3").context("python3 is not installed; one of the clients is written in Python")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let create_venv = || process::run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&venv));
    if create_venv().is_err() {
        // Debian packages the venv module separately.
        if !is_root() {
            bail!("python3 cannot create a virtual environment; on Debian: apt-get install python3-venv");
        }
        process::run(apt().arg("update"))?;
        process::run(apt().args(["install", "-y", "--no-install-recommends", "python3-venv"]))?;
        create_venv()?;
    }
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    process::run(pip.arg(requirements))?;
    fs::write(&installed, required).with_context(|| format!("cannot write {}", installed.display()))
}

fn javascript(sources: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for name in JS_FILES {
        let (from, to) = (sources.join(name), folder.join(name));
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let (required, installed) = (read(&sources.join("package-lock.json"))?, folder.join("installed"));
    if fs::read(&installed).is_ok_and(|installed| installed == required) {
        return Ok(());
    }
    let npm = process::find("npm").context("npm is not installed; one of the clients is written in JavaScript")?;
    process::run(Command::new(npm).args(["ci", "--no-audit", "--no-fund", "--no-progress"]).current_dir(folder))?;
    fs::write(&installed, required).with_context(|| format!("cannot write {}", installed.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
