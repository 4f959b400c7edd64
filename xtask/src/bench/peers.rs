//! Other tracers, installed by npm and bundled by esbuild.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// A tracer to compare with.
pub(super) struct Peer {
    /// The name of its entry file.
    pub(super) name: &'static str,
    /// Its name in the tables.
    pub(super) title: &'static str,
    /// The npm package whose version is shown.
    package: &'static str,
}

/// The other tracers, from small to large.
pub(super) const PEERS: [Peer; 8] = [
    Peer { name: "dash0", title: "Dash0", package: "@dash0/sdk-web" },
    Peer { name: "otel", title: "OpenTelemetry JS", package: "@opentelemetry/sdk-trace-web" },
    Peer {
        name: "browser-sdk",
        title: "OpenTelemetry browser-sdk, events, fetch",
        package: "@opentelemetry/browser-sdk",
    },
    Peer { name: "otel-zone", title: "OpenTelemetry JS, zone.js", package: "@opentelemetry/sdk-trace-web" },
    Peer { name: "sentry", title: "Sentry, tracing", package: "@sentry/browser" },
    Peer { name: "honeycomb", title: "Honeycomb", package: "@honeycombio/opentelemetry-web" },
    Peer { name: "datadog", title: "Datadog RUM", package: "@datadog/browser-rum" },
    Peer { name: "faro", title: "Grafana Faro, tracing", package: "@grafana/faro-web-sdk" },
];

/// The installed npm packages of the lock file.
pub(super) struct Peers {
    folder: PathBuf,
    manifest: Value,
}

impl Peers {
    /// Installs the packages if the lock file has changed; a copy of the installed lock file is kept in `state`.
    pub(super) fn install(workspace: &Workspace, state: &Path) -> Result<Self> {
        let folder = workspace.root.join("benches/browser/peers");
        let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("cannot read {name} of the peers"));
        let manifest =
            serde_json::from_slice(&read("package.json")?).context("cannot parse package.json of the peers")?;
        let lock = read("package-lock.json")?;
        let installed = state.join("peers.lock");
        let esbuild = folder.join("node_modules/.bin/esbuild");
        if !esbuild.exists() || fs::read(&installed).is_ok_and(|installed| installed != lock) || !installed.exists() {
            let npm =
                process::find("npm").context("npm is not installed; it is required to install the other tracers")?;
            let mut npm = Command::new(npm);
            npm.args(["ci", "--no-audit", "--no-fund", "--no-progress"]).current_dir(&folder);
            process::run(&mut npm)?;
            fs::write(&installed, &lock).with_context(|| format!("cannot write {}", installed.display()))?;
        }
        Ok(Self { folder, manifest })
    }

    /// Returns the version of `peer` in package.json.
    pub(super) fn version(&self, peer: &Peer) -> &str {
        self.manifest["dependencies"][peer.package].as_str().unwrap_or("?")
    }

    /// Bundles `peer` into one minified module at `output`.
    pub(super) fn bundle(&self, peer: &Peer, output: &Path) -> Result<()> {
        let entry = self.folder.join("src").join(format!("{}.js", peer.name));
        self.esbuild(&entry, output, &["--bundle"])
    }

    /// Minifies `input` to `output`.
    pub(super) fn minify(&self, input: &Path, output: &Path) -> Result<()> {
        self.esbuild(input, output, &[])
    }

    fn esbuild(&self, input: &Path, output: &Path, arguments: &[&str]) -> Result<()> {
        let mut esbuild = Command::new(self.folder.join("node_modules/.bin/esbuild"));
        let mut outfile = std::ffi::OsString::from("--outfile=");
        outfile.push(output);
        esbuild.arg(input).arg(outfile).args(arguments);
        esbuild.args(["--minify", "--format=esm", "--legal-comments=none", "--log-level=warning"]);
        process::run(esbuild.current_dir(&self.folder))
    }
}
