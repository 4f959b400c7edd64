//! A client with little overhead: requests are prepared in advance, and each thread has one connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};
use throughline_context::TraceId;
use throughline_otlp::{Encoding, Signal, Span, encode_traces};

use crate::load::{BATCH_SPANS, Load};

/// The number of batches of which one trace id is kept for the reads.
const SAMPLE_BATCHES: u64 = 2;

/// Prepared requests, and some of the trace ids in them.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) traces: Vec<TraceId>,
}

impl Prepared {
    /// Creates compressed requests with this number of spans in total; every core creates its share.
    pub(crate) fn new(spans: u64, seed: u64) -> Result<Self> {
        let batches = spans / BATCH_SPANS as u64;
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let share = batches / cores + u64::from(core < batches % cores);
                thread::spawn(move || Self::share(share, seed ^ (core << 32)))
            })
            .collect();
        let mut shares = Vec::new();
        for thread in threads {
            let Ok(share) = thread.join() else { bail!("a thread that prepares requests panicked") };
            shares.push(share?);
        }
        let mut all = Self::default();
        for share in &mut shares {
            all.traces.append(&mut share.traces);
        }
        // Interleaved, so that times are ascending.
        let mut shares: Vec<_> = shares.into_iter().map(|share| share.requests.into_iter()).collect();
        loop {
            let before = all.requests.len();
            all.requests.extend(shares.iter_mut().filter_map(Iterator::next));
            if all.requests.len() == before {
                return Ok(all);
            }
        }
    }

    fn share(batches: u64, seed: u64) -> Result<Self> {
        let mut load = Load::new(seed);
        let mut prepared = Self::default();
        for batch in 0..batches {
            let spans = load.batch();
            if batch % SAMPLE_BATCHES == 0 {
                prepared.traces.push(spans[BATCH_SPANS / 2].trace_id);
            }
            prepared.requests.push(compressed(&spans)?);
        }
        Ok(prepared)
    }
}

/// Returns a complete request with these spans, compressed by gzip.
fn compressed(spans: &[Span]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&encode_traces(spans, Encoding::Protobuf))?;
    Ok(request(&encoder.finish()?, "content-encoding: gzip\r\n"))
}

/// Returns a complete request with these spans, uncompressed.
pub(crate) fn plain(spans: &[Span]) -> Vec<u8> {
    request(&encode_traces(spans, Encoding::Protobuf), "")
}

fn request(body: &[u8], headers: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {}\r\n{headers}content-length: {}\r\n\r\n",
        Signal::Traces.path(),
        Encoding::Protobuf.content_type(),
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A persistent connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new() })
    }

    /// Sends a request and waits for the response. Returns true if it was accepted, false if it must be sent again.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.get_mut().write_all(request)?;
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let status = status.with_context(|| format!("`{status_line}` is not a status line"))?;
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        match status {
            200 => {
                ensure!(body.is_empty(), "some spans were rejected: {}", String::from_utf8_lossy(&body));
                Ok(true)
            }
            429 | 503 => Ok(false),
            status => bail!("the receiver responded with {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    fn line(&mut self) -> Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        ensure!(!self.line.is_empty(), "the server closed the connection");
        Ok(self.line.trim_end())
    }
}
