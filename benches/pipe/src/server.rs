//! The measured server, as a separate process, and its resource usage.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use throughline_testkit::{ServerOptions, ServerProcess};

/// The unit of CPU time in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    process: ServerProcess,
    /// The time from its start until it listens.
    pub(crate) start: Duration,
}

impl Server {
    pub(crate) fn start(binary: &Path, data: &Path) -> Result<Self> {
        let begin = Instant::now();
        let options =
            ServerOptions { env: vec![("THROUGHLINE_LOG".to_owned(), "warn".to_owned())], ..Default::default() };
        let process = ServerProcess::start(binary, data, &options)?;
        Ok(Self { process, start: begin.elapsed() })
    }

    /// Returns the address of the OTLP/HTTP receiver for programs.
    pub(crate) fn receiver(&self) -> SocketAddr {
        self.process.otlp_addr()
    }

    /// Returns its CPU time so far in seconds, in user mode and in the kernel.
    pub(crate) fn cpu_s(&self) -> Result<(f64, f64)> {
        cpu_s(&format!("/proc/{}/stat", self.process.id()))
    }

    /// Returns its peak resident memory in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/…/status has no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Stops the server with SIGTERM.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.process.stop()?;
        anyhow::ensure!(status.success(), "the server exited with {status}: {}", self.process.output());
        Ok(())
    }
}

/// Returns this program's CPU time so far in seconds.
pub(crate) fn own_cpu_s() -> Result<f64> {
    let (user, system) = cpu_s("/proc/self/stat")?;
    Ok(user + system)
}

fn cpu_s(path: &str) -> Result<(f64, f64)> {
    let stat =
        fs::read_to_string(path).with_context(|| format!("cannot read {path}; this benchmark requires Linux"))?;
    // The name of the program may contain spaces; the fields after it do not. utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(") ").with_context(|| format!("{path} has an unknown format"))?;
    let mut ticks = rest.split(' ').skip(11);
    let mut seconds = |name| -> Result<f64> {
        let ticks = ticks.next().with_context(|| format!("{path} has no {name}"))?;
        Ok(ticks.parse::<f64>()? / TICKS_PER_SECOND)
    };
    Ok((seconds("utime")?, seconds("stime")?))
}

/// Returns the total size of the store's files in bytes.
pub(crate) fn store_bytes(data: &Path) -> Result<u64> {
    let files: Vec<PathBuf> =
        ["traces.db", "traces.db-wal"].iter().map(|name| data.join(name)).filter(|file| file.exists()).collect();
    files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum()
}
