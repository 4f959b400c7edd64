//! Requests per second over loopback sockets, with enough in flight to keep all CPUs busy.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cpu_time::ProcessTime;
use throughline_bench_server::{set_up::SetUp, subject::Subject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use crate::stats::Spread;

/// The number of connections, each with one request in flight.
const CONNECTIONS: usize = 64;

/// The requested resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Three numbers, from a handler that does nothing.
    Numbers,
    /// Fifty rows of a database.
    Feed,
}

impl Target {
    fn request(self) -> Vec<u8> {
        let path = match self {
            Self::Numbers => "/api/users/7?page=2",
            Self::Feed => "/api/activities?page=2",
        };
        format!(
            "GET {path} HTTP/1.1\r\nhost: app.example:8080\r\n\
            user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0\r\n\
            accept: application/json\r\naccept-encoding: gzip, deflate, br, zstd\r\n\
            traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03\r\n\r\n"
        )
        .into_bytes()
    }

    /// Returns the end of the body.
    const fn end(self) -> &'static [u8] {
        match self {
            Self::Numbers => b"[7,7,42]",
            Self::Feed => b"\"likes\":1}]",
        }
    }
}

/// The rate of responses.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rate {
    /// Responses per second of wall-clock time.
    pub(crate) per_second: f64,
    /// Responses per second of CPU time, of client, server and exporter, as a share of the bare router's in the same
    /// round. As all CPUs are busy, this is the share that wall-clock time would show on an otherwise idle machine.
    pub(crate) of_bare: Spread,
}

/// The result of one measurement.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    per_cpu_second: f64,
}

pub(crate) fn measure(
    set_up: &SetUp,
    subjects: &[Subject],
    target: Target,
    rounds: usize,
    length_ms: u64,
) -> Result<Vec<Rate>> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let addresses = subjects.iter().map(|subject| {
        let app = set_up.app(*subject).into_make_service_with_connect_info::<SocketAddr>();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    });
    let addresses = addresses.collect::<Result<Vec<SocketAddr>>>()?;
    let length = Duration::from_millis(length_ms);
    let mut rates = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        eprintln!("loopback, {target:?}: round {} of {rounds}", round + 1);
        for index in 0..addresses.len() {
            let index = (index + round) % addresses.len();
            if let (Some(address), Some(rates)) = (addresses.get(index), rates.get_mut(index)) {
                rates.push(runtime.block_on(rate(*address, target, length))?);
                set_up.flush()?;
            }
        }
    }
    let bare = rates.first().context("there are no layers to measure")?.clone();
    let summary = |rates: Vec<Measured>| Rate {
        of_bare: Spread::of(
            rates.iter().zip(&bare).map(|(rate, bare)| rate.per_cpu_second / bare.per_cpu_second).collect(),
        ),
        per_second: Spread::of(rates.iter().map(|rate| rate.per_second).collect()).median,
    };
    Ok(rates.into_iter().map(summary).collect())
}

async fn rate(address: SocketAddr, target: Target, length: Duration) -> Result<Measured> {
    let (responses, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server under test")?;
        stream.set_nodelay(true)?;
        clients.push(tokio::spawn(send_requests(stream, target, Arc::clone(&responses), Arc::clone(&is_over))));
    }
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    tokio::time::sleep(length).await;
    let count = responses.load(Ordering::Relaxed);
    let (elapsed, cpu) = (start.elapsed(), cpu.elapsed());
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    let per_second_of = |time: Duration| count as f64 / time.as_secs_f64();
    Ok(Measured { per_second: per_second_of(elapsed), per_cpu_second: per_second_of(cpu) })
}

async fn send_requests(
    mut stream: TcpStream,
    target: Target,
    responses: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> Result<()> {
    let (request, end) = (target.request(), target.end());
    let mut buffer = vec![0; 16_384];
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(&request).await?;
        let mut length = 0;
        while !buffer[..length].ends_with(end) {
            let read = stream.read(buffer.get_mut(length..).context("the response is too long")?).await?;
            anyhow::ensure!(read > 0, "the server closed the connection");
            length += read;
        }
        responses.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
