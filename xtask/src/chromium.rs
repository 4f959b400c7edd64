//! What the browser tests need besides Rust: Chromium, its driver, and a library that shifts a program's clock.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{process, fingerprint::entries};

/// Debian's packages.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "faketime"];

/// The paths that the tests are told.
#[derive(Debug)]
pub(crate) struct TestTools {
    /// The WebDriver server of Chromium.
    pub(crate) chromedriver: PathBuf,
    /// The library to preload.
    pub(crate) faketime: PathBuf,
}

/// Finds everything, and installs it where apt may. Anything missing after that is an error: no test is skipped.
pub(crate) fn ensure() -> Result<TestTools> {
    if let Ok(tools) = locate() {
        return Ok(tools);
    }
    let install = format!("apt-get install -y --no-install-recommends {}", PACKAGES.join(" "));
    if process::find("apt-get").is_none() {
        return locate().context(
            "the browser tests need Chromium, chromedriver of the same version and libfaketime: install them, and name \
             the paths of the latter two in THROUGHLINE_E2E_CHROMEDRIVER and THROUGHLINE_E2E_FAKETIME",
        );
    }
    if !is_root() {
        return locate()
            .with_context(|| format!("the browser tests need Debian packages: sudo apt-get update && sudo {install}"));
    }
    self::install(&PACKAGES)?;
    locate().with_context(|| format!("still missing after `{install}`"))
}

/// Installs Debian packages.
///
/// # Errors
///
/// There is no apt, or this user may not install packages: the error has the command.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if process::find("apt-get").is_none() {
        bail!("the browser tests need the Debian packages {}, or the same from elsewhere", packages.join(", "));
    }
    if !is_root() {
        bail!("the browser tests need Debian packages: sudo apt-get update && sudo {install}");
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

/// The path that an environment variable names, which has to exist.
fn named(variable: &str) -> Result<Option<PathBuf>> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(value);
    if !path.exists() {
        bail!("{variable} names {}, which does not exist", path.display());
    }
    Ok(Some(path))
}

/// `lib/faketime/…` or `lib/<architecture>/faketime/…`. The server has threads, so it takes the library made for them.
fn find_faketime(lib: &Path) -> Option<PathBuf> {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let direct = lib.join(LIBRARY);
    if direct.exists() {
        return Some(direct);
    }
    entries(lib).ok()?.into_iter().map(|folder| folder.join(LIBRARY)).find(|file| fs::metadata(file).is_ok())
}

pub(crate) fn is_root() -> bool {
    // The standard library does not tell the user's id.
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faketime_is_found_below_the_architecture() {
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
