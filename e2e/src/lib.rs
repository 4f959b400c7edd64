//! What the end-to-end tests share: a server, a Chromium, and the server's own API to look at what came of it.

pub mod api;
mod browser;

use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;
pub use throughline_testkit::{DelayProxy, FakeHoneycomb, ServerOptions, ServerProcess};

pub use api::{Api, SpanExt, eventually, outline};
pub use browser::{Browser, Theme};

/// The server under test and its data.
#[derive(Debug)]
pub struct Site {
    /// The process.
    pub server: ServerProcess,
    /// Its API.
    pub api: Api,
    data: TempDir,
}

impl Site {
    /// Starts the server that `THROUGHLINE_E2E_BIN` names.
    ///
    /// # Errors
    /// The variable is not set, or the server does not start.
    pub fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        // The client is built without TLS of its own choosing; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = required("THROUGHLINE_E2E_BIN")?;
        let data = TempDir::new()?;
        let server = ServerProcess::start(&binary, data.path(), options)?;
        let api = Api::new(server.base())?;
        Ok(Self { server, api, data })
    }

    /// Where its data is.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }
}

/// A path that `cargo xtask test` puts into the environment.
///
/// # Errors
/// It is not there: a test that cannot run fails, it does not pass.
pub fn required(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; run the end-to-end tests with `cargo xtask test`"))
}
