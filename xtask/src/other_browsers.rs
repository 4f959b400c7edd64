//! Firefox and WebKitGTK, for the smoke test in browsers other than Chromium.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{chromium, fingerprint::entries, process, tools, workspace::Workspace};

/// Debian's packages.
const PACKAGES: [&str; 4] = ["firefox-esr", "webkit2gtk-driver", "xauth", "xvfb"];

/// The paths that are passed to the tests.
#[derive(Debug)]
pub(crate) struct OtherBrowsers {
    geckodriver: PathBuf,
    webkitdriver: PathBuf,
    minibrowser: PathBuf,
}

impl OtherBrowsers {
    /// Finds the browsers and their drivers, and installs missing ones with apt and cargo.
    ///
    /// # Errors
    ///
    /// One is missing and cannot be installed: no test is skipped.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        let geckodriver = tools::geckodriver(workspace)?;
        let (webkitdriver, minibrowser) = match packaged() {
            Ok(found) => found,
            Err(_) => {
                chromium::install(&PACKAGES)?;
                packaged()?
            }
        };
        Ok(Self { geckodriver, webkitdriver, minibrowser })
    }

    /// Passes the paths to `command`.
    pub(crate) fn lend(&self, command: &mut Command) {
        command
            .env("THROUGHLINE_E2E_GECKODRIVER", &self.geckodriver)
            .env("THROUGHLINE_E2E_WEBKITDRIVER", &self.webkitdriver)
            .env("THROUGHLINE_E2E_MINIBROWSER", &self.minibrowser);
    }
}

/// Returns WebKit's driver and browser, if all of [`PACKAGES`] are installed.
fn packaged() -> Result<(PathBuf, PathBuf)> {
    for program in ["firefox", "xvfb-run", "xauth"] {
        process::find(program).with_context(|| format!("{program} is not installed"))?;
    }
    let driver = process::find("WebKitWebDriver").context("WebKitWebDriver is not installed")?;
    let browser = find_minibrowser(Path::new("/usr/lib")).context("WebKitGTK's MiniBrowser is not installed")?;
    Ok((driver, browser))
}

/// Finds `lib/<architecture>/webkit2gtk-<version>/MiniBrowser`, of the newest version.
fn find_minibrowser(lib: &Path) -> Option<PathBuf> {
    let folders = entries(lib).ok()?.into_iter().filter(|folder| folder.is_dir());
    let versions = folders
        .flat_map(|folder| entries(&folder).unwrap_or_else(|_| Vec::new()))
        .filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("webkit2gtk-")));
    versions.map(|folder| folder.join("MiniBrowser")).filter(|file| fs::metadata(file).is_ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_minibrowser_is_found() {
        let lib = tempfile::tempdir().unwrap();
        assert_eq!(find_minibrowser(lib.path()), None);
        for version in ["4.0", "4.1"] {
            let folder = lib.path().join(format!("x86_64-linux-gnu/webkit2gtk-{version}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("MiniBrowser"), "").unwrap();
        }
        let newest = lib.path().join("x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser");
        assert_eq!(find_minibrowser(lib.path()), Some(newest));
    }
}
