//! The sink for OTLP/HTTP.

use crate::{
    Answer, ForwardConfig, OtlpSink, Records, Sink,
    upstream::{ClientError, Upstream},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{future::Future, io::Write as _};
use throughline_otlp::{Encoding, Signal};

/// An OTLP upstream, with an endpoint for each forwarded signal.
#[derive(Debug)]
pub(crate) struct Otlp {
    traces: Upstream,
    logs: Option<Upstream>,
    metrics: Option<Upstream>,
    max_bytes: usize,
}

impl Otlp {
    pub(crate) fn new(sink: &OtlpSink, config: &ForwardConfig) -> Result<Self, ClientError> {
        let to = |endpoint| Upstream::new(sink, endpoint, config);
        Ok(Self {
            traces: to(&sink.endpoint)?,
            logs: sink.logs_endpoint.as_ref().map(to).transpose()?,
            metrics: sink.metrics_endpoint.as_ref().map(to).transpose()?,
            max_bytes: sink.max_bytes,
        })
    }

    fn upstream(&self, signal: Signal) -> Option<&Upstream> {
        match signal {
            Signal::Traces => Some(&self.traces),
            Signal::Logs => self.logs.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
        }
    }
}

impl Sink for Otlp {
    type Request = Bytes;

    fn endpoint(&self, signal: Signal) -> Option<String> {
        self.upstream(signal).map(Upstream::shown_endpoint)
    }

    /// Encodes a body within the size limit; a single record may exceed it.
    fn request(&self, records: Records<'_>) -> Result<Bytes, String> {
        let body = records.encode(Encoding::Protobuf);
        if records.len() > 1 && body.len() > self.max_bytes {
            return Err("the request exceeds the size limit".to_owned());
        }
        Ok(gzip(&body))
    }

    fn send(&self, signal: Signal, body: &Bytes) -> impl Future<Output = Answer> + Send {
        let upstream = self.upstream(signal).expect("a signal without an endpoint is not delivered");
        upstream.send(body.clone())
    }
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).expect("writing to a vector does not fail");
    encoder.finish().expect("writing to a vector does not fail").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_compressed_body_can_be_decompressed() {
        let body = vec![7; 100_000];
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(gzip(&body).as_ref()).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, body);
    }
}
