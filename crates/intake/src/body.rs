//! Reads request bodies in bounded time and memory: sizes are limited on the wire and after decompression.

mod inflate;

use self::inflate::Inflater;
use crate::{config::BodyLimits, refusal::Refusal, stats::Counters};
use axum::body::{Body, Bytes, HttpBody as _};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::{
    io::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::{Duration, Instant},
};

/// The unit in which memory is reserved.
const PAGE_BYTES: usize = 1024;
const SMALLEST_BUFFER: usize = 4 * 1024;
/// The maximum number of zstd decoders at one receiver; each keeps a window of up to 8 MiB.
const ZSTD_DECODERS: usize = 8;
/// How much of a refused body is still read, and for how long. Many clients write the whole request before they read
/// the response, and never see it if the connection is closed first.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        Self::named(headers, &header::CONTENT_ENCODING)
    }

    /// Reads the compression from the header of this name. HTTP and gRPC use different headers.
    pub(crate) fn named(headers: &HeaderMap, name: &header::HeaderName) -> Result<Self, Refusal> {
        let mut encodings = headers.get_all(name).iter();
        let encoding = encodings.next().map_or(Ok(""), |value| value.to_str()).map_err(|_| Refusal::ContentEncoding)?;
        match encoding.trim().to_ascii_lowercase().as_str() {
            _ if encodings.next().is_some() => Err(Refusal::ContentEncoding),
            "" | "identity" => Ok(Self::None),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Refusal::ContentEncoding),
        }
    }

    /// Returns the number of compressed bytes that are processed before the task yields: deflate expands at most 1032
    /// times, and 4 bytes of zstd may expand to 128 KiB.
    const fn step_bytes(self) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Gzip => 4 * 1024,
            Self::Zstd => 256,
        }
    }
}

/// The memory for all bodies at one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pages: Arc<Semaphore>,
    zstd: Arc<Semaphore>,
}

impl Memory {
    pub(crate) fn new(limits: &BodyLimits) -> Self {
        let bytes = limits.total_bytes.max(limits.inflated_bytes).max(SMALLEST_BUFFER);
        Self {
            pages: Arc::new(Semaphore::new((bytes / PAGE_BYTES + 1).min(Semaphore::MAX_PERMITS))),
            zstd: Arc::new(Semaphore::new(ZSTD_DECODERS)),
        }
    }
}

/// A whole decompressed body. Its memory is reserved until it is dropped.
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

/// Reads a body, and decompresses it as its headers declare.
pub(crate) async fn read(
    body: &mut Body,
    headers: &HeaderMap,
    limits: &BodyLimits,
    memory: &Memory,
    counters: &Counters,
) -> Result<Buffered, Refusal> {
    read_as(body, Compression::of(headers)?, headers, limits, memory, counters).await
}

/// Reads a body with this compression.
pub(crate) async fn read_as(
    body: &mut Body,
    compression: Compression,
    headers: &HeaderMap,
    limits: &BodyLimits,
    memory: &Memory,
    counters: &Counters,
) -> Result<Buffered, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.wire_bytes as u64) {
        return Err(Refusal::TooLarge { limit_bytes: limits.wire_bytes, inflated: false });
    }
    let buffer = Buffer::new(limits.inflated_bytes, memory);
    let inflater = Inflater::new(compression, buffer, memory)?;
    let read = tokio::time::timeout(limits.timeout, receive(body, compression, limits.wire_bytes, inflater, counters));
    let buffer = read.await.map_err(|_| Refusal::Slow)??;
    counters.inflated_bytes.fetch_add(buffer.bytes.len() as u64, Relaxed);
    Ok(Buffered { bytes: buffer.bytes, _memory: buffer.held })
}

async fn receive(
    body: &mut Body,
    compression: Compression,
    wire_limit: usize,
    mut inflater: Inflater,
    counters: &Counters,
) -> Result<Buffer, Refusal> {
    let mut wire_bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Malformed("the body is incomplete".to_owned()))?;
        // Frames without data are trailers, which OTLP does not use.
        let Ok(chunk) = frame.into_data() else { continue };
        counters.wire_bytes.fetch_add(chunk.len() as u64, Relaxed);
        wire_bytes += chunk.len();
        if wire_bytes > wire_limit {
            return Err(Refusal::TooLarge { limit_bytes: wire_limit, inflated: false });
        }
        for step in chunk.chunks(compression.step_bytes()) {
            inflater.write(step)?;
            if compression != Compression::None {
                tokio::task::yield_now().await;
            }
        }
    }
    inflater.finish(wire_bytes)
}

/// Decompresses a complete body.
pub(crate) async fn inflate(
    bytes: &[u8],
    compression: Compression,
    limits: &BodyLimits,
    memory: &Memory,
) -> Result<Buffered, Refusal> {
    let mut inflater = Inflater::new(compression, Buffer::new(limits.inflated_bytes, memory), memory)?;
    for step in bytes.chunks(compression.step_bytes()) {
        inflater.write(step)?;
        tokio::task::yield_now().await;
    }
    let buffer = inflater.finish(bytes.len())?;
    Ok(Buffered { bytes: buffer.bytes, _memory: buffer.held })
}

/// Decompresses a complete body in chunks of `piece` bytes, without yielding.
#[cfg(feature = "fuzzing")]
pub(crate) fn inflate_in_pieces(
    bytes: &[u8],
    compression: Compression,
    limits: &BodyLimits,
    memory: &Memory,
    piece: usize,
) -> Option<Vec<u8>> {
    let mut inflater = Inflater::new(compression, Buffer::new(limits.inflated_bytes, memory), memory).ok()?;
    for piece in bytes.chunks(piece) {
        inflater.write(piece).ok()?;
    }
    inflater.finish(bytes.len()).ok().map(|buffer| buffer.bytes)
}

/// Reads and discards the rest of a body in the background for a while, so that a client that is still writing sees the
/// response.
pub(crate) fn drain(mut body: Body, headers: &HeaderMap) {
    // A client with `Expect: 100-continue` has not sent the body and waits for the response.
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let until = Instant::now() + DRAIN_TIME;
        let mut drained = 0;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until, body.frame()).await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAIN_BYTES || Instant::now() >= until {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
}

/// A buffer that grows up to its limit, as far as the receiver's memory allows.
struct Buffer {
    bytes: Vec<u8>,
    limit: usize,
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
    /// Why a write failed. It is kept here because an `io::Error` could carry it only with an allocation and a
    /// downcast.
    full: Option<Refusal>,
}

impl Buffer {
    fn new(limit: usize, memory: &Memory) -> Self {
        Self { bytes: Vec::new(), limit, memory: memory.clone(), held: None, full: None }
    }

    /// Takes the content out. The buffer itself cannot be moved out of a decoder, which writes to it once more on drop.
    fn take(&mut self) -> Self {
        Self {
            bytes: std::mem::take(&mut self.bytes),
            limit: 0,
            memory: self.memory.clone(),
            held: self.held.take(),
            full: None,
        }
    }

    fn refusal(&mut self, encoding_name: &str, error: &io::Error) -> Refusal {
        self.full.take().unwrap_or_else(|| Refusal::Malformed(format!("the body is not {encoding_name}: {error}")))
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
        let permit = Arc::clone(&self.memory.pages).try_acquire_many_owned(missing).map_err(busy)?;
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

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 0).unwrap()
    }

    async fn inflate(body: Vec<u8>, encoding: &'static str) -> Result<Buffered, Refusal> {
        let (memory, counters) = (Memory::new(&LIMITS), Counters::default());
        read(&mut Body::from(body), &headers(encoding), &LIMITS, &memory, &counters).await
    }

    #[tokio::test]
    async fn compressed_bodies_are_decompressed() {
        let bytes = vec![7; 10_000];
        assert_eq!(inflate(bytes.clone(), "identity").await.unwrap().bytes(), bytes);
        for (encoding, compressed) in [("gzip", gzip(&bytes)), ("zstd", zstd(&bytes))] {
            assert_eq!(inflate(compressed, encoding).await.unwrap().bytes(), bytes);
            assert_eq!(inflate(Vec::new(), encoding).await.unwrap().bytes(), b"");
        }
    }

    #[tokio::test]
    async fn two_members_or_frames_are_one_body() {
        let body = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(body, "gzip").await.unwrap().bytes(), b"one two");
        let body = [zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(inflate(body, "zstd").await.unwrap().bytes(), b"one two");
    }

    #[tokio::test]
    async fn a_frame_with_a_too_large_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        // Without a content size, the frame declares its window size.
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"{}").unwrap();
        let refusal = inflate(encoder.finish().unwrap(), "zstd").await.unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal}");
    }

    #[tokio::test]
    async fn the_number_of_zstd_decoders_is_limited() {
        let memory = Memory::new(&LIMITS);
        let open = || Inflater::new(Compression::Zstd, Buffer::new(10, &memory), &memory);
        let held: Vec<_> = (0..ZSTD_DECODERS).map(|_| open().unwrap()).collect();
        assert!(matches!(open(), Err(Refusal::Busy(_))));
        drop(held);
        assert!(open().is_ok());
    }

    #[tokio::test]
    async fn the_limits_are_exact() {
        assert!(inflate(vec![0; 20_000], "identity").await.is_ok());
        let refusal = inflate(vec![0; 20_001], "identity").await.unwrap_err();
        assert!(matches!(refusal, Refusal::TooLarge { limit_bytes: 20_000, inflated: false }), "{refusal}");
        assert!(inflate(gzip(&vec![0; 50_000]), "gzip").await.is_ok());
        assert!(inflate(zstd(&vec![0; 50_000]), "zstd").await.is_ok());
        for (encoding, compressed) in [("gzip", gzip(&vec![0; 50_001])), ("zstd", zstd(&vec![0; 50_001]))] {
            let refusal = inflate(compressed, encoding).await.unwrap_err();
            assert!(matches!(refusal, Refusal::TooLarge { limit_bytes: 50_000, inflated: true }), "{refusal}");
        }
    }

    #[tokio::test]
    async fn malformed_compression_is_refused() {
        for (encoding, whole) in [("gzip", gzip(&[7; 10_000])), ("zstd", zstd(&[7; 10_000]))] {
            let refusal = inflate(whole[..whole.len() - 1].to_vec(), encoding).await.unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal}");
            assert!(matches!(inflate(b"{}".to_vec(), encoding).await, Err(Refusal::Malformed(_))));
        }
        let mut damaged = gzip(&[7; 10_000]);
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        assert!(matches!(inflate(damaged, "gzip").await, Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_buffer_never_exceeds_its_limit_and_its_reserved_memory() {
        let memory = Memory::new(&LIMITS);
        let before = memory.pages.available_permits();
        let mut buffer = Buffer::new(LIMITS.inflated_bytes, &memory);
        while buffer.write_all(&[0; 1_000]).is_ok() {
            assert!(buffer.bytes.capacity() <= LIMITS.inflated_bytes);
            assert!((before - memory.pages.available_permits()) * PAGE_BYTES >= buffer.bytes.capacity());
        }
        assert_eq!(buffer.bytes.len(), 50_000);
        drop(buffer);
        assert_eq!(memory.pages.available_permits(), before);
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let memory = Memory::new(&LIMITS);
        let counters = Counters::default();
        let body = || Body::from(gzip(&vec![0; 50_000]));
        let first = read(&mut body(), &headers("gzip"), &LIMITS, &memory, &counters).await.unwrap();
        let second = read(&mut body(), &headers("gzip"), &LIMITS, &memory, &counters).await;
        let third = read(&mut body(), &headers("gzip"), &LIMITS, &memory, &counters).await;
        assert!(matches!(second.and(third), Err(Refusal::Busy(_))));
        drop(first);
        assert!(read(&mut body(), &headers("gzip"), &LIMITS, &memory, &counters).await.is_ok());
    }

    #[test]
    fn only_supported_content_encodings_are_accepted() {
        assert_eq!(Compression::of(&HeaderMap::new()).unwrap(), Compression::None);
        assert_eq!(Compression::of(&headers("GZIP")).unwrap(), Compression::Gzip);
        assert_eq!(Compression::of(&headers("zstd")).unwrap(), Compression::Zstd);
        for other in ["br", "deflate", "gzip, gzip"] {
            assert!(matches!(Compression::of(&headers(other)), Err(Refusal::ContentEncoding)), "{other}");
        }
        let mut twice = headers("gzip");
        twice.append(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        assert!(Compression::of(&twice).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_stay_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..2_000), header: bool) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            for (encoding, start) in [("gzip", &gzip(b"")[..10]), ("zstd", &zstd(b"")[..4])] {
                let mut body = if header { start.to_vec() } else { Vec::new() };
                body.extend(&bytes);
                let inflated = runtime.block_on(inflate(body, encoding));
                prop_assert!(inflated.map_or(0, |body| body.bytes().len()) <= LIMITS.inflated_bytes);
            }
        }
    }
}
