//! The server that the doctor checks.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use throughline_self_check::Finding;

use crate::{addresses::Addresses, healthcheck, settings::Settings};

/// A running server, or one that was started for the check and is stopped at its end.
pub(super) struct Server {
    /// The address of pages and the API.
    pub(super) pages: SocketAddr,
    /// The address of the OTLP/HTTP receiver for other programs.
    pub(super) receiver: SocketAddr,
    /// Whether the server was started for the check.
    pub(super) is_ours: bool,
    started: Option<Started>,
}

/// A process that is killed when it is dropped. Its data directory is removed afterwards.
struct Started {
    child: Child,
    _data_dir: TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        // best effort: this fails only if the process has already ended.
        let _ = self.child.kill();
        // best effort: as above.
        let _ = self.child.wait();
    }
}

impl Server {
    /// Returns the server that listens on the addresses of the settings, or starts one for the check.
    pub(super) fn find_or_start(settings: &Settings) -> anyhow::Result<Self> {
        if settings.listen.port() != 0 && healthcheck::run(settings.listen).is_ok() {
            let pages = healthcheck::reachable(settings.listen);
            return Ok(Self {
                pages,
                receiver: healthcheck::reachable(settings.receivers.otlp_listen),
                is_ours: false,
                started: None,
            });
        }
        Self::start(settings)
    }

    /// Starts a server with the same environment, but with free ports, a temporary data directory, and without sinks.
    fn start(settings: &Settings) -> anyhow::Result<Self> {
        let data_dir = tempfile::Builder::new()
            .prefix("throughline-doctor-")
            .tempdir()
            .context("cannot create a temporary directory")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", "--inspector-access", "open"]);
        command
            .args(["--grpc-listen", "off", "--self-check", "off", "--print-addresses", "json", "--data-dir"])
            .arg(data_dir.path());
        if !settings.base_path.is_empty() {
            command.args(["--base-path", &settings.base_path]);
        }
        for origin in &settings.allowed_origins {
            command.args(["--allow-origin", origin]);
        }
        for shared in [
            "THROUGHLINE_CONFIG",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "HONEYCOMB_API_KEY",
            "THROUGHLINE_SINKS",
            "THROUGHLINE_SINK_HEADERS",
            "THROUGHLINE_OTLP_TOKEN",
            "THROUGHLINE_PORT_FILE",
            "FRONTEND_URL",
        ] {
            command.env_remove(shared);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut started = Started { child: child.context("cannot start the server")?, _data_dir: data_dir };
        let stdout = started.child.stdout.take().context("the server has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the server exited before it printed its addresses");
        }
        let addresses: Addresses = serde_json::from_str(&line)
            .context("the server's first line of output is not a JSON object with its addresses")?;
        let (pages, receiver) = (socket_address(&addresses.listen)?, socket_address(&addresses.otlp_http)?);
        Ok(Self { pages, receiver, is_ours: true, started: Some(started) })
    }

    pub(super) fn describe(&self) -> Finding {
        Finding::good(
            "server",
            match &self.started {
                None => format!("a server is running on {}", self.pages),
                Some(_) => "no server is running; one was started for this check".to_owned(),
            },
        )
    }
}

/// Returns the socket address of a base URL that a server printed.
fn socket_address(base: &str) -> anyhow::Result<SocketAddr> {
    let address = base.strip_prefix("http://").unwrap_or(base);
    address.parse().with_context(|| format!("`{base}` is not the URL of a socket address"))
}
