//! The server that is measured, as a process of its own, and what the system says about it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use throughline_testkit::{ServerOptions, ServerProcess};

/// The kernel counts processor time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    process: ServerProcess,
    /// From its start until it listened.
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

    /// The OTLP receiver.
    pub(crate) fn receiver(&self) -> SocketAddr {
        self.process.trusted_addr()
    }

    /// Processor time so far, seconds: of the program, of the kernel for it.
    pub(crate) fn cpu_s(&self) -> Result<(f64, f64)> {
        cpu_s(&format!("/proc/{}/stat", self.process.id()))
    }

    /// The most memory that it ever had, bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.process.stop()?;
        anyhow::ensure!(status.success(), "the server ended with {status}: {}", self.process.output());
        Ok(())
    }
}

/// This program's processor time so far, seconds.
pub(crate) fn own_cpu_s() -> Result<f64> {
    let (user, system) = cpu_s("/proc/self/stat")?;
    Ok(user + system)
}

fn cpu_s(path: &str) -> Result<(f64, f64)> {
    let stat = fs::read_to_string(path).with_context(|| format!("cannot read {path}; this takes Linux"))?;
    // The name of the program may have spaces; what follows it has none. utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(") ").context("no stat")?;
    let mut ticks = rest.split(' ').skip(11);
    let mut seconds = |name| -> Result<f64> {
        let ticks = ticks.next().with_context(|| format!("no {name}"))?;
        Ok(ticks.parse::<f64>()? / TICKS_PER_SECOND)
    };
    Ok((seconds("utime")?, seconds("stime")?))
}

/// The bytes of the store's files.
pub(crate) fn store_bytes(data: &Path) -> Result<u64> {
    let files: Vec<PathBuf> =
        ["traces.db", "traces.db-wal"].iter().map(|name| data.join(name)).filter(|file| file.exists()).collect();
    files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum()
}
