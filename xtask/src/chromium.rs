//! Non-Rust dependencies of the browser tests: Chromium, chromedriver, and libfaketime, which shifts a program's clock.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{fingerprint::entries, process};

/// The Debian packages.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "faketime"];

/// The paths that are passed to the tests.
#[derive(Debug)]
pub(crate) struct TestTools {
    /// The WebDriver server of Chromium.
    pub(crate) chromedriver: PathBuf,
    /// libfaketime, the library to preload.
    pub(crate) faketime: PathBuf,
}

/// Finds the tools, and installs them with apt if it can. A tool that is still missing is an error: no test is skipped.
pub(crate) fn ensure() -> Result<TestTools> {
    if let Ok(tools) = locate() {
        return Ok(tools);
    }
    install(&PACKAGES).context(
        "cannot install the browser tests' programs; if they are installed elsewhere, set THROUGHLINE_E2E_CHROMEDRIVER and \
         THROUGHLINE_E2E_FAKETIME to the paths of chromedriver and libfaketime",
    )?;
    locate().context("a program is still missing after its package was installed")
}

/// Installs Debian packages.
///
/// # Errors
///
/// Returns an error with the command to run if apt does not exist or this user cannot install packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if process::find("apt-get").is_none() {
        bail!("the browser tests require these programs, named as in Debian: {}; install them", packages.join(", "));
    }
    if !is_root() {
        bail!("the browser tests require Debian packages: sudo apt-get update && sudo {install}");
    }
    println!("installing packages for the browser tests: {install}");
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

pub(crate) fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn locate() -> Result<TestTools> {
    let chromedriver = match named("THROUGHLINE_E2E_CHROMEDRIVER")? {
        Some(path) => path,
        None => process::find("chromedriver").context("chromedriver is not installed")?,
    };
    if ["chromium", "chromium-browser", "google-chrome", "chrome"].into_iter().all(|name| process::find(name).is_none())
        && cfg!(target_os = "linux")
    {
        bail!("chromium is not installed");
    }
    let faketime = match named("THROUGHLINE_E2E_FAKETIME")? {
        Some(path) => path,
        None => find_faketime(Path::new("/usr/lib")).context("libfaketime is not installed")?,
    };
    Ok(TestTools { chromedriver, faketime })
}

/// Returns the path in an environment variable, which must exist.
fn named(variable: &str) -> Result<Option<PathBuf>> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(value);
    if !path.exists() {
        bail!("{variable} is set to {}, which does not exist", path.display());
    }
    Ok(Some(path))
}

/// Finds `lib/faketime/…` or `lib/<architecture>/faketime/…`. The server is multi-threaded, so it requires that variant
/// of the library.
fn find_faketime(lib: &Path) -> Option<PathBuf> {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let direct = lib.join(LIBRARY);
    if direct.exists() {
        return Some(direct);
    }
    entries(lib).ok()?.into_iter().map(|folder| folder.join(LIBRARY)).find(|file| fs::metadata(file).is_ok())
}

pub(crate) fn is_root() -> bool {
    // The standard library has no function for the user's id.
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faketime_is_found_in_the_folder_of_an_architecture() {
        let lib = tempfile::tempdir().unwrap();
        assert_eq!(find_faketime(lib.path()), None);
        let folder = lib.path().join("aarch64-linux-gnu/faketime");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("libfaketime.so.1"), "").unwrap();
        assert_eq!(find_faketime(lib.path()), None);
        fs::write(folder.join("libfaketimeMT.so.1"), "").unwrap();
        assert_eq!(find_faketime(lib.path()), Some(folder.join("libfaketimeMT.so.1")));
    }
}
