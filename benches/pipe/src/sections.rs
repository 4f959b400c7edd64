//! The measurements, one function per section.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    client::{self, Connection, Prepared},
    figures::{Figures, quantile_ms},
    load::{BATCH_SPANS, Load},
    reads,
    server::{Server, own_cpu_s, store_bytes},
};

/// The number of concurrent clients.
const CONNECTIONS: usize = 8;
/// The time until a client sends a request again after 429 or 503.
const RETRY: Duration = Duration::from_millis(10);
const MIB: f64 = 1024.0 * 1024.0;

/// Paths of the server and the data.
pub(crate) struct Place {
    /// The path of the server's program.
    pub(crate) server: PathBuf,
    /// The folder for the data.
    pub(crate) folder: PathBuf,
}

impl Place {
    fn data(&self) -> Result<tempfile::TempDir> {
        std::fs::create_dir_all(&self.folder)?;
        Ok(tempfile::tempdir_in(&self.folder)?)
    }
}

/// Measures the maximum rate, and start-up, size and reads afterwards.
pub(crate) fn load(place: &Place, spans: u64) -> Result<Figures> {
    let data = place.data()?;
    let prepared = Prepared::new(spans, 1)?;
    let spans = (prepared.requests.len() * BATCH_SPANS) as f64;
    let server = Server::start(&place.server, data.path())?;
    let (idle_bytes, client_before) = (server.peak_bytes()?, own_cpu_s()?);
    let (user_before, system_before) = server.cpu_s()?;
    let begin = Instant::now();
    let sent = send(server.receiver(), &prepared.requests, None)?;
    let took_s = begin.elapsed().as_secs_f64();
    let (user_s, system_s) = server.cpu_s()?;
    let (user_s, system_s) = (user_s - user_before, system_s - system_before);
    let client_s = own_cpu_s()? - client_before;
    let peak_bytes = server.peak_bytes()?;
    server.stop()?;
    let stored = store_bytes(data.path())? as f64;
    let again = Server::start(&place.server, data.path())?;
    let start_s = again.start.as_secs_f64();
    again.stop()?;
    let mut reads = reads::measure(data.path(), &prepared.traces)?;

    let mut figures = Figures::default();
    figures.note("spans", spans, "");
    figures.at_least("durable intake", spans / took_s, 100_000.0, "spans/s");
    figures.note("the server's CPU time, per span", (user_s + system_s) / spans * 1e6, "µs");
    figures.note("of that, in the kernel", system_s / spans * 1e6, "µs");
    figures.note("the client's CPU time, per span", client_s / spans * 1e6, "µs");
    figures.note("spans per second of the server's CPU time", spans / (user_s + system_s), "");
    figures.note("requests that were sent again", sent.repeated as f64, "");
    figures.at_most("on disk, per span", stored / spans, 120.0, "bytes");
    figures.at_most("peak resident memory", peak_bytes as f64 / MIB, 300.0, "MiB");
    figures.note("peak before the first span", idle_bytes as f64 / MIB, "MiB");
    figures.at_most("start-up of the server", start_s, 2.0, "s");
    figures.note("of that, opening the store", reads.open.as_secs_f64() * 1e3, "ms");
    figures.note("trace by id, p50", quantile_ms(&mut reads.traces, 0.5), "ms");
    figures.at_most("trace by id, p99", quantile_ms(&mut reads.traces, 0.99), 1.0, "ms");
    figures.at_most("the newest 50 traces, p99", quantile_ms(&mut reads.lists, 0.99), 10.0, "ms");
    Ok(figures)
}

/// Measures the time from when a batch was due to its acknowledgement, at a given rate.
pub(crate) fn pace(place: &Place, rate: u64, seconds: u64) -> Result<Figures> {
    let data = place.data()?;
    let prepared = Prepared::new(rate * seconds, 2)?;
    let server = Server::start(&place.server, data.path())?;
    let before = server.cpu_s()?;
    let every = Duration::from_secs(1).mul_f64(BATCH_SPANS as f64 / rate as f64);
    let mut sent = send(server.receiver(), &prepared.requests, Some(every))?;
    let after = server.cpu_s()?;
    let peak_bytes = server.peak_bytes()?;
    server.stop()?;

    let cores = (after.0 + after.1 - before.0 - before.1) / seconds as f64;
    let mut figures = Figures::default();
    figures.note("rate", rate as f64, "spans/s");
    figures.note("acknowledgement, p50", quantile_ms(&mut sent.times, 0.5), "ms");
    figures.at_most("acknowledgement, p99", quantile_ms(&mut sent.times, 0.99), 50.0, "ms");
    figures.note("acknowledgement, maximum", quantile_ms(&mut sent.times, 1.0), "ms");
    figures.note("the server's CPU time", cores, "cores");
    figures.at_most("peak resident memory", peak_bytes as f64 / MIB, 300.0, "MiB");
    Ok(figures)
}

/// Measures reads among a large number of spans. The spans are created while they are sent, so the rate is not measured.
pub(crate) fn large(place: &Place, spans: u64) -> Result<Figures> {
    let data = place.data()?;
    let server = Server::start(&place.server, data.path())?;
    let receiver = server.receiver();
    let left = AtomicU64::new(spans / BATCH_SPANS as u64);
    let traces = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS as u64)
            .map(|number| {
                let (left, traces) = (&left, &traces);
                scope.spawn(move || -> Result<()> {
                    let (mut load, mut connection) = (Load::new(3 ^ (number << 32)), Connection::open(receiver)?);
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        let batch = load.batch();
                        traces.lock().unwrap_or_else(PoisonError::into_inner).push(batch[0].trace_id);
                        let request = client::plain(&batch);
                        while !connection.send(&request)? {
                            thread::sleep(RETRY);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        joined(senders)
    })?;
    let peak_bytes = server.peak_bytes()?;
    server.stop()?;
    let stored = store_bytes(data.path())? as f64;
    let traces = traces.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut reads = reads::measure(data.path(), &traces)?;

    let mut figures = Figures::default();
    figures.note("spans", spans as f64, "");
    figures.at_most("trace by id, p99", quantile_ms(&mut reads.traces, 0.99), 5.0, "ms");
    figures.note("trace by id, p50", quantile_ms(&mut reads.traces, 0.5), "ms");
    figures.note("the newest 50 traces, p99", quantile_ms(&mut reads.lists, 0.99), "ms");
    figures.note("opening the store", reads.open.as_secs_f64() * 1e3, "ms");
    figures.at_most("on disk, per span", stored / spans as f64, 120.0, "bytes");
    figures.at_most("peak resident memory", peak_bytes as f64 / MIB, 300.0, "MiB");
    Ok(figures)
}

/// The result of sending.
struct Sent {
    /// The times from when a batch was due, or sent, to its acknowledgement.
    times: Vec<Duration>,
    repeated: usize,
}

/// Sends each request until it is accepted: all at once, or each when it is due.
fn send(receiver: SocketAddr, requests: &[Vec<u8>], every: Option<Duration>) -> Result<Sent> {
    let (next, repeated) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = Instant::now();
    let times = thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (next, repeated) = (&next, &repeated);
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut connection = Connection::open(receiver)?;
                    let mut times = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(request) = requests.get(index) else { return Ok(times) };
                        let due = match every {
                            Some(every) => begin + every.mul_f64(index as f64),
                            None => Instant::now(),
                        };
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        while !connection.send(request)? {
                            repeated.fetch_add(1, Ordering::Relaxed);
                            thread::sleep(RETRY);
                        }
                        times.push(due.elapsed());
                    }
                })
            })
            .collect();
        joined(senders)
    })?;
    ensure!(!times.is_empty(), "there are no requests to send");
    Ok(Sent { times: times.concat(), repeated: repeated.into_inner() })
}

fn joined<T>(threads: Vec<thread::ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let results = threads.into_iter().map(|thread| match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("a client panicked"),
    });
    results.collect()
}

/// Returns an error if the program to measure does not exist.
pub(crate) fn check(server: &Path) -> Result<()> {
    ensure!(server.is_file(), "{} does not exist; `cargo xtask bench pipe` builds it", server.display());
    Ok(())
}
