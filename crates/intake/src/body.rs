//! Reading a body: capped as it arrives and as it is decompressed, in bounded time and memory.

use crate::{config::BodyLimits, refusal::Refusal, stats::Counters};
use axum::body::{Body, Bytes};
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::{
    io::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The unit in which memory is set aside.
const PAGE_BYTES: usize = 1024;
/// What is decompressed without giving other tasks a turn. Deflate expands at most 1032 times.
const STEP_BYTES: usize = 4 * 1024;
const SMALLEST_BUFFER: usize = 4 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

impl Compression {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let encoding = encodings.next().map_or(Ok(""), |value| value.to_str()).map_err(|_| Refusal::ContentEncoding)?;
        match encoding.trim().to_ascii_lowercase().as_str() {
            _ if encodings.next().is_some() => Err(Refusal::ContentEncoding),
            "" | "identity" => Ok(Self::None),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            _ => Err(Refusal::ContentEncoding),
        }
    }
}

/// The memory that all bodies at one door may take together.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new(limits: &BodyLimits) -> Self {
        let bytes = limits.total_bytes.max(limits.inflated_bytes).max(SMALLEST_BUFFER);
        Self(Arc::new(Semaphore::new((bytes / PAGE_BYTES + 1).min(Semaphore::MAX_PERMITS))))
    }
}

/// A whole body, decompressed. Its memory is set aside for as long as this lives.
#[derive(Debug)]
pub(crate) struct Buffered {
    bytes: Vec<u8>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Buffered {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads and decompresses a body.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    limits: &BodyLimits,
    memory: &Memory,
    counters: &Counters,
) -> Result<Buffered, Refusal> {
    let compression = Compression::of(headers)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.wire_bytes as u64) {
        return Err(Refusal::TooLarge { limit_bytes: limits.wire_bytes, inflated: false });
    }
    let buffer =
        Buffer { bytes: Vec::new(), limit: limits.inflated_bytes, memory: memory.clone(), held: None, full: None };
    let read = tokio::time::timeout(limits.timeout, receive(body, compression, limits.wire_bytes, buffer, counters));
    let buffer = read.await.map_err(|_| Refusal::Slow)??;
    counters.inflated_bytes.fetch_add(buffer.bytes.len() as u64, Relaxed);
    Ok(Buffered { bytes: buffer.bytes, _memory: buffer.held })
}

async fn receive(
    mut body: Body,
    compression: Compression,
    wire_limit: usize,
    buffer: Buffer,
    counters: &Counters,
) -> Result<Buffer, Refusal> {
    let mut inflater = match compression {
        Compression::None => Inflater::None(buffer),
        Compression::Gzip => Inflater::Gzip(Box::new(MultiGzDecoder::new(buffer))),
    };
    let mut wire_bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Malformed("the body broke off".to_owned()))?;
        let chunk: Bytes = frame.into_data().unwrap_or_default();
        counters.wire_bytes.fetch_add(chunk.len() as u64, Relaxed);
        wire_bytes += chunk.len();
        if wire_bytes > wire_limit {
            return Err(Refusal::TooLarge { limit_bytes: wire_limit, inflated: false });
        }
        for step in chunk.chunks(STEP_BYTES) {
            inflater.write(step)?;
            if compression == Compression::Gzip {
                tokio::task::yield_now().await;
            }
        }
    }
    inflater.finish(wire_bytes)
}

enum Inflater {
    None(Buffer),
    Gzip(Box<MultiGzDecoder<Buffer>>),
}

impl Inflater {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (written, buffer) = match self {
            Self::None(buffer) => (buffer.write_all(bytes), buffer),
            Self::Gzip(decoder) => (decoder.write_all(bytes), decoder.get_mut()),
        };
        written.map_err(|error| buffer.refusal(&error))
    }

    fn finish(self, wire_bytes: usize) -> Result<Buffer, Refusal> {
        match self {
            Self::None(buffer) => Ok(buffer),
            // Nothing at all is an empty request, compressed or not.
            Self::Gzip(mut decoder) if wire_bytes == 0 => Ok(decoder.get_mut().take()),
            Self::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(decoder.get_mut().take()),
                Err(error) => Err(decoder.get_mut().refusal(&error)),
            },
        }
    }
}

/// Grows up to its limit and no further than the door's memory allows.
struct Buffer {
    bytes: Vec<u8>,
    limit: usize,
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
    /// Why it did not take more: an `io::Error` could carry it, but only through an allocation and a cast.
    full: Option<Refusal>,
}

impl Buffer {
    /// What is in it. Dropping a decoder writes to what it writes to once more, so that cannot be moved out.
    fn take(&mut self) -> Self {
        Self {
            bytes: std::mem::take(&mut self.bytes),
            limit: 0,
            memory: self.memory.clone(),
            held: self.held.take(),
            full: None,
        }
    }

    fn refusal(&mut self, error: &io::Error) -> Refusal {
        self.full.take().unwrap_or_else(|| Refusal::Malformed(format!("the body is not gzip: {error}")))
    }

    fn reserve(&mut self, length: usize) -> Result<(), Refusal> {
        if length > self.limit {
            return Err(Refusal::TooLarge { limit_bytes: self.limit, inflated: true });
        }
        if length <= self.bytes.capacity() {
            return Ok(());
        }
        let capacity =
            length.max(self.bytes.capacity().saturating_mul(2)).clamp(SMALLEST_BUFFER.min(self.limit), self.limit);
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = capacity.div_ceil(PAGE_BYTES).saturating_sub(held);
        let busy = |_: TryAcquireError| Refusal::Busy("too many requests at once");
        let missing = u32::try_from(missing).map_err(|_| Refusal::Busy("too many requests at once"))?;
        let permit = Arc::clone(&self.memory.0).try_acquire_many_owned(missing).map_err(busy)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full.is_none() {
            self.full = self.reserve(self.bytes.len().saturating_add(bytes.len())).err();
        }
        if self.full.is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression as Level, write::GzEncoder};
    use proptest::prelude::*;
    use std::time::Duration;

    const LIMITS: BodyLimits = BodyLimits {
        wire_bytes: 20_000,
        inflated_bytes: 50_000,
        timeout: Duration::from_secs(30),
        total_bytes: 100_000,
    };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, http::HeaderValue::from_static(encoding))])
    }

    async fn inflate(body: Vec<u8>, encoding: &'static str) -> Result<Buffered, Refusal> {
        read(Body::from(body), &headers(encoding), &LIMITS, &Memory::new(&LIMITS), &Counters::default()).await
    }

    #[tokio::test]
    async fn what_was_sent() {
        let bytes = vec![7; 10_000];
        assert_eq!(inflate(bytes.clone(), "identity").await.unwrap().bytes(), bytes);
        assert_eq!(inflate(gzip(&bytes), "gzip").await.unwrap().bytes(), bytes);
        assert_eq!(inflate(Vec::new(), "gzip").await.unwrap().bytes(), b"");
    }

    #[tokio::test]
    async fn two_gzip_members_are_one_body() {
        let body = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(body, "gzip").await.unwrap().bytes(), b"one two");
    }

    #[tokio::test]
    async fn the_limits_are_exact() {
        assert!(inflate(vec![0; 20_000], "identity").await.is_ok());
        let refusal = inflate(vec![0; 20_001], "identity").await.unwrap_err();
        assert!(matches!(refusal, Refusal::TooLarge { limit_bytes: 20_000, inflated: false }), "{refusal}");
        assert!(inflate(gzip(&vec![0; 50_000]), "gzip").await.is_ok());
        let refusal = inflate(gzip(&vec![0; 50_001]), "gzip").await.unwrap_err();
        assert!(matches!(refusal, Refusal::TooLarge { limit_bytes: 50_000, inflated: true }), "{refusal}");
    }

    #[tokio::test]
    async fn broken_gzip() {
        let whole = gzip(&[7; 10_000]);
        let refusal = inflate(whole[..whole.len() - 1].to_vec(), "gzip").await.unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal}");
        let mut damaged = whole.clone();
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        assert!(matches!(inflate(damaged, "gzip").await, Err(Refusal::Malformed(_))));
        assert!(matches!(inflate(b"{}".to_vec(), "gzip").await, Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_buffer_never_holds_more_than_its_limit_and_what_was_set_aside() {
        let memory = Memory::new(&LIMITS);
        let before = memory.0.available_permits();
        let mut buffer =
            Buffer { bytes: Vec::new(), limit: LIMITS.inflated_bytes, memory: memory.clone(), held: None, full: None };
        while buffer.write_all(&[0; 1_000]).is_ok() {
            assert!(buffer.bytes.capacity() <= LIMITS.inflated_bytes);
            assert!((before - memory.0.available_permits()) * PAGE_BYTES >= buffer.bytes.capacity());
        }
        assert_eq!(buffer.bytes.len(), 50_000);
        drop(buffer);
        assert_eq!(memory.0.available_permits(), before);
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let memory = Memory::new(&LIMITS);
        let counters = Counters::default();
        let body = || Body::from(gzip(&vec![0; 50_000]));
        let first = read(body(), &headers("gzip"), &LIMITS, &memory, &counters).await.unwrap();
        let second = read(body(), &headers("gzip"), &LIMITS, &memory, &counters).await;
        let third = read(body(), &headers("gzip"), &LIMITS, &memory, &counters).await;
        assert!(matches!(second.and(third), Err(Refusal::Busy(_))));
        drop(first);
        assert!(read(body(), &headers("gzip"), &LIMITS, &memory, &counters).await.is_ok());
    }

    #[test]
    fn encodings() {
        assert_eq!(Compression::of(&HeaderMap::new()).unwrap(), Compression::None);
        assert_eq!(Compression::of(&headers("GZIP")).unwrap(), Compression::Gzip);
        for other in ["br", "zstd", "deflate", "gzip, gzip"] {
            assert!(matches!(Compression::of(&headers(other)), Err(Refusal::ContentEncoding)), "{other}");
        }
        let mut twice = headers("gzip");
        twice.append(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        assert!(Compression::of(&twice).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..2_000), header: bool) {
            let mut body = if header { gzip(b"")[..10].to_vec() } else { Vec::new() };
            body.extend(bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let inflated = runtime.block_on(inflate(body, "gzip"));
            prop_assert!(inflated.map_or(0, |body| body.bytes().len()) <= LIMITS.inflated_bytes);
        }
    }
}
