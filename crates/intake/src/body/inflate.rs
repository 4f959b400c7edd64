//! Streaming decompression of a body.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use flate2::write::MultiGzDecoder;
use tokio::sync::OwnedSemaphorePermit;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::{Buffer, Compression, Memory};
use crate::refusal::Refusal;

/// The maximum window size of a frame, as a power of two: 8 MiB, which every decoder should support (RFC 8878, section
/// 3.1.1.1.2).
const ZSTD_WINDOW_LOG: u32 = 23;
/// The number of bytes that are decompressed before the limit is checked.
const ZSTD_BLOCK_BYTES: usize = 16 * 1024;

/// A decompressor that writes to a [`Buffer`].
pub(super) enum Inflater {
    None(Buffer),
    Gzip(Box<MultiGzDecoder<Buffer>>),
    Zstd(Box<Zstd>),
}

/// A decompressor for consecutive zstd frames.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    block: Box<[u8]>,
    /// Whether the input so far ends at the end of a frame.
    is_complete: bool,
    buffer: Buffer,
    _permit: OwnedSemaphorePermit,
}

impl Inflater {
    pub(super) fn new(compression: Compression, buffer: Buffer, memory: &Memory) -> Result<Self, Refusal> {
        Ok(match compression {
            Compression::None => Self::None(buffer),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(buffer))),
            Compression::Zstd => Self::Zstd(Box::new(Zstd::new(buffer, memory)?)),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (written, buffer, encoding_name) = match self {
            Self::None(buffer) => (buffer.write_all(bytes), buffer, "plain"),
            Self::Gzip(decoder) => (decoder.write_all(bytes), decoder.get_mut(), "gzip"),
            Self::Zstd(zstd) => (zstd.write(bytes), &mut zstd.buffer, "zstd"),
        };
        written.map_err(|error| buffer.refusal(encoding_name, &error))
    }

    /// Returns the decompressed body. No bytes at all are an empty body in every compression.
    pub(super) fn finish(self, wire_bytes: usize) -> Result<Buffer, Refusal> {
        match self {
            Self::None(buffer) => Ok(buffer),
            Self::Gzip(mut decoder) if wire_bytes == 0 => Ok(decoder.get_mut().take()),
            Self::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(decoder.get_mut().take()),
                Err(error) => Err(decoder.get_mut().refusal("gzip", &error)),
            },
            Self::Zstd(zstd) if zstd.is_complete => Ok(zstd.buffer),
            Self::Zstd(_) => Err(Refusal::Malformed("the body is not zstd: it is truncated".to_owned())),
        }
    }
}

impl Zstd {
    fn new(buffer: Buffer, memory: &Memory) -> Result<Self, Refusal> {
        let permit = Arc::clone(&memory.zstd).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Busy("too many zstd requests at once"))?;
        let failed = |error: io::Error| {
            tracing::error!(%error, "cannot create a zstd decoder");
            Refusal::Failed
        };
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(failed)?;
        let block = vec![0; ZSTD_BLOCK_BYTES].into_boxed_slice();
        Ok(Self { decoder, block, is_complete: true, buffer, _permit: permit })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(&mut self.block[..]);
            let missing = self.decoder.run(&mut input, &mut output)?;
            let length = output.pos();
            self.is_complete = missing == 0;
            self.buffer.write_all(&self.block[..length])?;
            // If the block is full, the decoder may hold more output.
            if input.pos() == bytes.len() && length < ZSTD_BLOCK_BYTES {
                return Ok(());
            }
            if self.is_complete && input.pos() == bytes.len() {
                return Ok(());
            }
        }
    }
}
