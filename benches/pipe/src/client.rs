//! A client that costs next to nothing: whole requests made beforehand, one connection a thread.

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

/// Every so many batches one trace id is kept, to be asked for.
const SAMPLE_BATCHES: u64 = 2;

/// Requests, and some of the traces that are in them.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) traces: Vec<TraceId>,
}

impl Prepared {
    /// Requests of that many spans in all, compressed; every core makes its share.
    pub(crate) fn new(spans: u64, seed: u64) -> Result<Self> {
        let batches = spans / BATCH_SPANS as u64;
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let makers: Vec<_> = (0..cores)
            .map(|core| {
                let share = batches / cores + u64::from(core < batches % cores);
                thread::spawn(move || Self::share(share, seed ^ (core << 32)))
            })
            .collect();
        let mut shares = Vec::new();
        for maker in makers {
            let Ok(share) = maker.join() else { bail!("a maker of requests panicked") };
            shares.push(share?);
        }
        let mut all = Self::default();
        for share in &mut shares {
            all.traces.append(&mut share.traces);
        }
        // In turn, so that times go up.
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

/// A whole request with these spans, gzip.
fn compressed(spans: &[Span]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&encode_traces(spans, Encoding::Protobuf))?;
    Ok(request(&encoder.finish()?, "content-encoding: gzip\r\n"))
}

/// The same without compression.
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

/// One connection that is kept.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("no connection to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new() })
    }

    /// Sends a request and waits for its answer: whether it was taken, or has to be sent again.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.get_mut().write_all(request)?;
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let status = status.with_context(|| format!("`{status_line}` is no status line"))?;
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
                ensure!(body.is_empty(), "some spans were not taken: {}", String::from_utf8_lossy(&body));
                Ok(true)
            }
            429 | 503 => Ok(false),
            status => bail!("the receiver answers {status}: {}", String::from_utf8_lossy(&body)),
        }
    }

    fn line(&mut self) -> Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        ensure!(!self.line.is_empty(), "the connection was closed");
        Ok(self.line.trim_end())
    }
}
