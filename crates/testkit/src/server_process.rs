//! The real server as a child process, on free ports and with its own data directory.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context, bail};
use serde::Deserialize;

/// Options for starting a server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Arguments in addition to the ports and the data directory.
    pub args: Vec<String>,
    /// Environment variables; of the test's own environment, the server inherits only `PATH`.
    pub env: Vec<(String, String)>,
    /// The offset of its wall clock in seconds, and the path of libfaketime, which shifts it; the monotonic clock is
    /// unchanged.
    pub clock_skew: Option<(i64, PathBuf)>,
}

/// The addresses that a server reports when it starts, as base URLs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Addresses {
    /// The address of pages, API and inspector.
    pub listen: String,
    /// The inspector's page, with the access token if the server generated one.
    pub inspector: String,
    /// The OTLP/HTTP receiver for programs.
    pub otlp_http: String,
    /// The OTLP/gRPC receiver, if it is enabled.
    pub otlp_grpc: Option<String>,
}

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    addresses: Addresses,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts `binary` with its data in `data_dir` and waits until it reports its addresses. The program is `throughline`,
    /// or an application that embeds it: it accepts the same flags, including `--print-addresses json`.
    ///
    /// # Errors
    /// Returns an error if the program cannot be started or exits before it listens; its output is part of the error.
    pub fn start(binary: &Path, data_dir: &Path, options: &ServerOptions) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", "--print-addresses", "json"])
            // Not an argument, so that a test can override it.
            .env("THROUGHLINE_GRPC_LISTEN", "127.0.0.1:0")
            .arg("--data-dir")
            .arg(data_dir)
            .args(&options.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The store must contain only records that the test sent itself.
        command.env("THROUGHLINE_SELF_CHECK", "off");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some((seconds, library)) = &options.clock_skew {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME", format!("{seconds:+}s"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let output = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().context("standard error is not piped")?;
        let stdout = child.stdout.take().context("standard output is not piped")?;
        let mut readers = vec![copy(stderr, Arc::clone(&output))];

        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let addresses: Addresses = match serde_json::from_str(&line) {
            Ok(addresses) => addresses,
            Err(error) => {
                if !line.is_empty() {
                    // It runs, but printed something other than addresses.
                    child.kill()?;
                }
                let status = child.wait()?;
                for reader in readers {
                    // A panic of the thread would have been printed.
                    drop(reader.join());
                }
                bail!("the server printed no addresses ({error}) and exited with {status}: {line}{}", text(&output));
            }
        };
        note(&output, line.trim_end());
        readers.push(copy(stdout, Arc::clone(&output)));
        Ok(Self { child, addresses, output, readers })
    }

    /// Returns the addresses that the server reported.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns the id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address of pages, API and inspector.
    ///
    /// # Panics
    /// Panics if the server reported anything but `http://` and a socket address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        socket_address(&self.addresses.listen)
    }

    /// Returns the base URL of pages, API and inspector, `http://127.0.0.1:port`.
    #[must_use]
    pub fn base(&self) -> String {
        self.addresses.listen.clone()
    }

    /// Returns the address of the OTLP/HTTP receiver for programs.
    ///
    /// # Panics
    /// Panics under the same condition as [`ServerProcess::addr`].
    #[must_use]
    pub fn otlp_addr(&self) -> SocketAddr {
        socket_address(&self.addresses.otlp_http)
    }

    /// Returns the base URL of the OTLP/HTTP receiver for programs, `http://127.0.0.1:port`.
    #[must_use]
    pub fn otlp_base(&self) -> String {
        self.addresses.otlp_http.clone()
    }

    /// Returns the base URL of the OTLP/gRPC receiver, `http://127.0.0.1:port`, if it is enabled.
    #[must_use]
    pub fn grpc_base(&self) -> Option<String> {
        self.addresses.otlp_grpc.clone()
    }

    /// Returns the output so far.
    #[must_use]
    pub fn output(&self) -> String {
        text(&self.output)
    }

    /// Returns its peak resident memory in bytes; `None` if the system does not report it.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Kills the process (SIGKILL).
    ///
    /// # Errors
    /// Returns an error if it cannot be killed or waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM and waits until the process has exited.
    ///
    /// # Errors
    /// Returns an error if the signal cannot be sent.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(sent.success(), "cannot send SIGTERM to process {pid}");
        Ok(self.child.wait()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // best effort: it may have exited already
        let _ = self.child.kill();
        // best effort: it may have been waited for already
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            // best effort: if a reader panicked, only part of the output is shown
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- output of the server ---\n{}", text(&self.output));
        }
    }
}

fn socket_address(base: &str) -> SocketAddr {
    let address = base.strip_prefix("http://").and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("the server reported `{base}`, which is not the URL of a socket address"))
}

fn copy(source: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            note(&output, &line);
        }
    })
}

fn note(output: &Mutex<String>, line: &str) {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.push_str(line);
    output.push('\n');
}

fn text(output: &Mutex<String>) -> String {
    output.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
