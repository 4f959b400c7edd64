//! What becomes of the spans: they are posted to nobody, by the exporter of `opentelemetry-otlp` or by `throughline-export`.

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

/// So that the queue never overflows: a span that is dropped would be cheap.
const QUEUE_SPANS: usize = 262_144;
/// They take the whole of it.
const QUEUE_BYTES: usize = usize::MAX;

/// How spans come to the exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// By the batch processor of the SDK.
    Sdk,
    /// By `throughline-export`.
    Encoding,
}

impl Batches {
    /// As headings have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sdk => "the SDK's batch processor",
            Self::Encoding => "throughline-export",
        }
    }

    /// A provider whose spans come to `posts`.
    ///
    /// # Errors
    /// When the exporter or its thread cannot be made.
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
            _ => bail!("sdk or encoding"),
        }
    }
}

fn exporter(client: impl HttpClient + 'static) -> Result<SpanExporter, ExporterBuildError> {
    SpanExporter::builder().with_http().with_http_client(client).build()
}

/// Counts what is posted, and answers 200.
#[derive(Clone, Debug, Default)]
pub struct Posts {
    spans: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Posts {
    /// Spans so far.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Their bytes, with all that is around them.
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

/// How many spans an `ExportTraceServiceRequest` has. They are skipped, not read: that would take longer than what is measured.
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

/// The next field, which has to be one with a length.
fn field<'a>(message: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>> {
    if message.is_empty() {
        return Ok(None);
    }
    let (number, WireType::LengthDelimited) = decode_key(message)? else { bail!("no field with a length") };
    let length = usize::try_from(decode_varint(message)?)?;
    let value = message.get(..length).context("cut short")?;
    message.advance(length);
    Ok(Some((number, value)))
}

/// Takes metrics and does nothing with them.
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
