//! How a processor is made.

use std::{io, sync::Arc, thread, time::Duration};

use opentelemetry_http::HttpClient;
use thiserror::Error;

use crate::{
    endpoint::{Compression, ConfigError, Endpoint, address, header},
    environment::Environment,
    processor::EncodingSpanProcessor,
    queue::Queue,
    request::Poster,
    settings::Settings,
    worker,
};

/// How long a request may take with the client that the builder makes, as the OTLP specification has it.
#[cfg(feature = "reqwest")]
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes an [`EncodingSpanProcessor`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    client: Option<Arc<dyn HttpClient>>,
    endpoint: Endpoint,
    timeout: Option<Duration>,
    settings: Settings,
}

/// Why there is no processor.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No client was given, and none can be made without the Cargo feature.
    #[error("no HTTP client: call `client`, or enable the feature `reqwest` of throughline-export")]
    NoClient,
    /// The client cannot be made.
    #[cfg(feature = "reqwest")]
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
    /// A thread cannot be started.
    #[error("the exporter's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

impl Builder {
    /// The defaults, and `OTEL_BSP_*`.
    pub(crate) fn new() -> Self {
        Self { client: None, endpoint: Endpoint::default(), timeout: None, settings: Settings::from_env() }
    }

    /// The same with `OTEL_EXPORTER_OTLP_*`.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let Environment { endpoint, timeout } = Environment::read()?;
        Ok(Self { endpoint, timeout, ..Self::new() })
    }

    /// The client that posts: any [`HttpClient`] that does its work where its future is polled, such as
    /// `reqwest::blocking::Client`. It is used on a thread of the processor, outside of any asynchronous runtime. It must not follow
    /// redirects, and its own timeout bounds each request. Default, with the Cargo feature `reqwest`: one that is made for it.
    pub fn client(mut self, client: impl HttpClient + 'static) -> Self {
        self.client = Some(Arc::new(client));
        self
    }

    /// Where batches are posted: the whole address, with `/v1/traces`. Default: `http://localhost:4318/v1/traces`.
    ///
    /// # Errors
    /// [`ConfigError::Endpoint`].
    pub fn endpoint(mut self, endpoint: &str) -> Result<Self, ConfigError> {
        self.endpoint.uri = address("endpoint", endpoint)?;
        Ok(self)
    }

    /// One more header of each request, such as the key of an upstream; it replaces one of the same name.
    ///
    /// # Errors
    /// [`ConfigError::Headers`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let (name, value) = header("header", 1, name, value.as_bytes())?;
        self.endpoint.headers.insert(name, value);
        Ok(self)
    }

    /// How long one request may take. Default: 10 s. Only for the client that the builder makes: one that is given has a timeout of
    /// its own.
    #[cfg(feature = "reqwest")]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Compresses bodies. Default: no.
    pub const fn compression(mut self, compression: Option<Compression>) -> Self {
        self.endpoint.compression = compression;
        self
    }

    /// For how long a batch is tried again after it was full. Default: 5 minutes. With zero a batch is tried once.
    pub const fn retry_for(mut self, length: Duration) -> Self {
        self.settings.retry_for = length;
        self
    }

    /// How long a span waits for company, at most.
    pub const fn scheduled_delay(mut self, delay: Duration) -> Self {
        self.settings.scheduled_delay = delay;
        self
    }

    /// How many spans go in one request, at most; 0 is taken for 1. Fewer go where they take more than a MiB or half of
    /// `max_queue_bytes`, and no more than `max_queue_size`.
    pub const fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.settings.max_export_batch_size = spans;
        self
    }

    /// How many spans wait or are on their way, at most; with 0 all are dropped.
    pub const fn max_queue_size(mut self, spans: usize) -> Self {
        self.settings.max_queue_size = spans;
        self
    }

    /// How many bytes the encoded spans take that wait or are on their way, at most.
    pub const fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_queue_bytes = bytes;
        self
    }

    /// Starts the processor.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<EncodingSpanProcessor, BuildError> {
        #[cfg(not(feature = "gzip"))]
        if let Some(Compression::Gzip) = self.endpoint.compression {
            return Err(ConfigError::NoGzip.into());
        }
        let client = match self.client {
            Some(client) => client,
            None => made(self.timeout)?,
        };
        let poster = Poster::new(client, self.endpoint);
        let queue = Arc::new(Queue::new(self.settings));
        let source = Arc::default();
        let processor = EncodingSpanProcessor::new(Arc::clone(&queue), Arc::clone(&source));
        thread::Builder::new()
            .name("throughline-export".to_owned())
            .spawn(move || worker::run(&queue, &source, &poster))
            .map_err(BuildError::Thread)?;
        Ok(processor)
    }
}

#[cfg(not(feature = "reqwest"))]
fn made(_: Option<Duration>) -> Result<Arc<dyn HttpClient>, BuildError> {
    Err(BuildError::NoClient)
}

/// Made on a thread of its own, because a blocking client must not be made where futures run.
#[cfg(feature = "reqwest")]
fn made(timeout: Option<Duration>) -> Result<Arc<dyn HttpClient>, BuildError> {
    let make = move || {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been quicker, which is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        reqwest::blocking::Client::builder()
            .timeout(timeout.unwrap_or(TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .build()
    };
    let thread =
        thread::Builder::new().name("throughline-export".to_owned()).spawn(make).map_err(BuildError::Thread)?;
    let client = thread.join().expect("a client is made without a panic").map_err(BuildError::Client)?;
    Ok(Arc::new(client))
}
