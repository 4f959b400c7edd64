//! The real server as a child process, on ports and in a directory of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context, bail};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Arguments beyond the ports and the data directory.
    pub args: Vec<String>,
    /// Environment variables; the test's own environment does not reach the server, but for `PATH`.
    pub env: Vec<(String, String)>,
    /// How far its wall clock is off, in seconds, and the library that makes it so (libfaketime); the monotonic clock is
    /// left alone.
    pub clock_off: Option<(i64, PathBuf)>,
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    addr: SocketAddr,
    trusted_addr: SocketAddr,
    grpc_addr: Option<SocketAddr>,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts `binary` with its data in `data_dir` and waits until it says where it listens.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it listens; its output is part of the error.
    pub fn start(binary: &Path, data_dir: &Path, options: &ServerOptions) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--trusted-listen", "127.0.0.1:0"])
            // Not an argument, so that a test may say something else.
            .env("THROUGHLINE_GRPC_LISTEN", "127.0.0.1:0")
            .arg("--data-dir")
            .arg(data_dir)
            .args(&options.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // What a test finds in the store, it has sent itself.
        command.env("THROUGHLINE_SELF_CHECK", "off");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some((seconds, library)) = &options.clock_off {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME", format!("{seconds:+}s"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", binary.display()))?;
        let output = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().context("no standard error")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut readers = vec![copy(stderr, Arc::clone(&output))];

        let mut lines = BufReader::new(stdout).lines();
        let (mut addr, mut trusted_addr, mut grpc_addr) = (None, None, None);
        while addr.is_none() || trusted_addr.is_none() {
            let Some(line) = lines.next() else {
                let status = child.wait()?;
                for reader in readers {
                    let _ = reader.join();
                }
                bail!("the server ended with {status}: {}", text(&output));
            };
            let line = line?;
            note(&output, &line);
            let found = line.split_once("http://").and_then(|(_, rest)| {
                rest.split([' ', '/']).next().and_then(|address| address.parse::<SocketAddr>().ok())
            });
            match line.split_whitespace().next() {
                Some("Cruddur") => addr = found,
                Some("gRPC") => grpc_addr = found,
                Some("OTLP") => trusted_addr = found,
                _ => {}
            }
        }
        let (Some(addr), Some(trusted_addr)) = (addr, trusted_addr) else {
            bail!("the server did not say where it listens")
        };
        let rest = Arc::clone(&output);
        readers.push(std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                note(&rest, &line);
            }
        }));
        Ok(Self { child, addr, trusted_addr, grpc_addr, output, readers })
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where pages and API are.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The trusted door.
    #[must_use]
    pub const fn trusted_addr(&self) -> SocketAddr {
        self.trusted_addr
    }

    /// `http://127.0.0.1:port` of the trusted door.
    #[must_use]
    pub fn trusted_base(&self) -> String {
        format!("http://{}", self.trusted_addr)
    }

    /// `http://127.0.0.1:port` of the trusted door for gRPC, if there is one.
    #[must_use]
    pub fn grpc_base(&self) -> Option<String> {
        self.grpc_addr.map(|addr| format!("http://{addr}"))
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        text(&self.output)
    }

    /// The most memory that it ever had resident, in bytes; `None` where the system does not say.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Takes the process away without a word (SIGKILL).
    ///
    /// # Errors
    /// It cannot be killed or waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, as an operator would (SIGTERM), and waits for its end.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(sent.success(), "the signal could not be sent");
        Ok(self.child.wait()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // best effort: it may have ended already
        let _ = self.child.kill();
        // best effort: it may have been waited for already
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            // best effort: one that panicked leaves less output to show
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- output of the server ---\n{}", text(&self.output));
        }
    }
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
