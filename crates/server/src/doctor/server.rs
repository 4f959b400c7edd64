//! The server that is asked.

use std::{
    fs::{self, DirBuilder},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use throughline_axum::Finding;

use crate::{addresses::Addresses, healthcheck, settings::Settings};

/// A server that runs, or one that was started for this and ends with it.
pub(super) struct Server {
    /// Where pages and API are.
    pub(super) pages: SocketAddr,
    /// Where the trusted door is.
    pub(super) door: SocketAddr,
    /// Whether it was started here.
    pub(super) is_ours: bool,
    started: Option<Started>,
}

/// Stopped, and its data taken away, when it is dropped.
struct Started {
    child: Child,
    data_dir: PathBuf,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data_dir);
    }
}

impl Server {
    /// The one that listens where the settings say, or else one of our own.
    pub(super) fn find_or_start(settings: &Settings) -> anyhow::Result<Self> {
        if settings.listen.port() != 0 && healthcheck::run(settings.listen).is_ok() {
            let pages = healthcheck::reachable(settings.listen);
            return Ok(Self {
                pages,
                door: healthcheck::reachable(settings.doors.trusted_listen),
                is_ours: false,
                started: None,
            });
        }
        Self::start(settings)
    }

    /// With the same environment but for what it would share with a server of the user's: ports, data and upstream.
    fn start(settings: &Settings) -> anyhow::Result<Self> {
        let data_dir = std::env::temp_dir().join(format!("throughline-doctor-{}", uuid::Uuid::new_v4().simple()));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&data_dir).with_context(|| format!("`{}` cannot be made", data_dir.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--listen", "127.0.0.1:0", "--trusted-listen", "127.0.0.1:0", "--inspector-access", "open"]);
        command
            .args(["--grpc-listen", "off", "--self-check", "off", "--print-addresses", "json", "--data-dir"])
            .arg(&data_dir);
        if !settings.base_path.is_empty() {
            command.args(["--base-path", &settings.base_path]);
        }
        for origin in &settings.allowed_origins {
            command.args(["--allow-origin", origin]);
        }
        for shared in [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "HONEYCOMB_API_KEY",
            "THROUGHLINE_SINKS",
            "THROUGHLINE_SINK_HEADERS",
            "THROUGHLINE_TRUSTED_TOKEN",
            "THROUGHLINE_PORT_FILE",
            "FRONTEND_URL",
        ] {
            command.env_remove(shared);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.inspect_err(|_| {
            let _ = fs::remove_dir_all(&data_dir);
        });
        let mut started = Started { child: child.context("the server cannot be started")?, data_dir };
        let stdout = started.child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("it ended before it listened");
        }
        let addresses: Addresses = serde_json::from_str(&line).context("its first line is not its addresses")?;
        let (pages, door) = (socket_address(&addresses.listen)?, socket_address(&addresses.otlp_http)?);
        Ok(Self { pages, door, is_ours: true, started: Some(started) })
    }

    pub(super) fn describe(&self) -> Finding {
        Finding::good(
            "server",
            match &self.started {
                None => format!("it runs on {}", self.pages),
                Some(_) => "none runs; one was started for this check".to_owned(),
            },
        )
    }
}

/// The socket address of a base URL that a server reported.
fn socket_address(base: &str) -> anyhow::Result<SocketAddr> {
    let address = base.strip_prefix("http://").unwrap_or(base);
    address.parse().with_context(|| format!("`{base}` is not the URL of a socket address"))
}
