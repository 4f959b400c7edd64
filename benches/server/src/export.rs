//! Export of the spans to a client that discards them, by the exporter of `opentelemetry-otlp` or by `throughline-export`.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use prost::encoding::{WireType, decode_key, decode_varint};
use throughline_export::EncodingSpanProcessor;

/// The size of the queue, large enough that no span is dropped: a dropped span would be cheap.
const QUEUE_SPANS: usize = 262_144;
/// No limit in bytes.
const QUEUE_BYTES: usize = usize::MAX;

/// The span processor that creates batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// The batch processor of the SDK.
    Sdk,
    /// `throughline-export`.
    Encoding,
}

impl Batches {
    /// Returns its name in headings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sdk => "the SDK's batch processor",
            Self::Encoding => "throughline-export",
        }
    }

    /// Returns a tracer provider whose spans are sent to `posts`.
    ///
    /// # Errors
    /// Returns an error if the exporter or its thread cannot be created.
    pub fn provider(self, posts: Posts) -> Result<SdkTracerProvider> {
        let builder = SdkTracerProvider::builder();
        Ok(match self {
            Self::Sdk => {
                let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE_SPANS).build();
                let processor = BatchSpanProcessor::builder(exporter(posts)?).with_batch_config(batches).build();
                builder.with_span_processor(processor).build()
            }
            Self::Encoding => {
                let processor = EncodingSpanProcessor::builder()
                    .client(posts)
                    .max_queue_size(QUEUE_SPANS)
                    .max_queue_bytes(QUEUE_BYTES)
                    .build()?;
                builder.with_span_processor(processor).build()
            }
        })
    }
}

impl FromStr for Batches {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "sdk" => Ok(Self::Sdk),
            "encoding" => Ok(Self::Encoding),
            _ => bail!("unknown value `{name}`; expected sdk or encoding"),
        }
    }
}

fn exporter(client: impl HttpClient + 'static) -> Result<SpanExporter, ExporterBuildError> {
    SpanExporter::builder().with_http().with_http_client(client).build()
}

/// An HTTP client that counts the posted spans, discards them and returns 200.
#[derive(Clone, Debug, Default)]
pub struct Posts {
    spans: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Posts {
    /// Returns the number of spans so far.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Returns the size of the bodies so far in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl HttpClient for Posts {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let body = request.into_body();
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.spans.fetch_add(count(&body)?, Ordering::Relaxed);
        Ok(Response::new(Bytes::new()))
    }
}

/// Returns the number of spans in an `ExportTraceServiceRequest`. They are skipped, because decoding them would take
/// longer than the measured code.
fn count(mut request: &[u8]) -> Result<u64> {
    let mut spans = 0;
    while let Some((_, mut resource_spans)) = field(&mut request)? {
        while let Some((number, mut scope_spans)) = field(&mut resource_spans)? {
            while number == 2
                && let Some((number, _)) = field(&mut scope_spans)?
            {
                spans += u64::from(number == 2);
            }
        }
    }
    Ok(spans)
}

/// Reads the next field, which must be length-delimited.
fn field<'a>(message: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>> {
    if message.is_empty() {
        return Ok(None);
    }
    let (number, WireType::LengthDelimited) = decode_key(message)? else { bail!("a field is not length-delimited") };
    let length = usize::try_from(decode_varint(message)?)?;
    let value = message.get(..length).context("a field is truncated")?;
    message.advance(length);
    Ok(Some((number, value)))
}

/// A metric exporter that discards everything.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl PushMetricExporter for Discard {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
