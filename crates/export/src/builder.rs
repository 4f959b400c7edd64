//! [`Builder`]: the settings of a processor.

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

/// The request timeout of the built-in client, as in the OTLP specification.
#[cfg(feature = "reqwest")]
const TIMEOUT: Duration = Duration::from_secs(10);

/// A builder for an [`EncodingSpanProcessor`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    client: Option<Arc<dyn HttpClient>>,
    endpoint: Endpoint,
    timeout: Option<Duration>,
    settings: Settings,
}

/// An error that prevents a processor from being built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No client was set, and the Cargo feature `reqwest` is off.
    #[error("no HTTP client: call `client`, or enable the feature `reqwest` of throughline-export")]
    NoClient,
    /// The built-in client cannot be created.
    #[cfg(feature = "reqwest")]
    #[error("cannot create the HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// The thread cannot be started.
    #[error("cannot start the exporter's thread: {0}")]
    Thread(#[source] io::Error),
}

impl Builder {
    /// Creates a builder with the defaults and `OTEL_BSP_*`.
    pub(crate) fn new() -> Self {
        Self { client: None, endpoint: Endpoint::default(), timeout: None, settings: Settings::from_env() }
    }

    /// Creates a builder that also reads `OTEL_EXPORTER_OTLP_*`.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        let Environment { endpoint, timeout } = Environment::read()?;
        Ok(Self { endpoint, timeout, ..Self::new() })
    }

    /// Sets the HTTP client: any [`HttpClient`] that does its work when its future is polled, such as
    /// `reqwest::blocking::Client`. It is used on a thread of the processor, outside of any asynchronous runtime. It
    /// must not follow redirects, and its own timeout limits each request. Default, with the Cargo feature `reqwest`: a
    /// built-in client.
    pub fn client(mut self, client: impl HttpClient + 'static) -> Self {
        self.client = Some(Arc::new(client));
        self
    }

    /// Sets the full URL to post batches to, including `/v1/traces`. Default: `http://localhost:4318/v1/traces`.
    ///
    /// # Errors
    /// Returns [`ConfigError::Endpoint`] if it is not an `http` or `https` URL with a host.
    pub fn endpoint(mut self, endpoint: &str) -> Result<Self, ConfigError> {
        self.endpoint.uri = address("endpoint", endpoint)?;
        Ok(self)
    }

    /// Adds a header to each request, such as an API key. It replaces a header of the same name.
    ///
    /// # Errors
    /// Returns [`ConfigError::Headers`] if the name or the value is not valid in an HTTP header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let (name, value) = header("header", 1, name, value.as_bytes())?;
        self.endpoint.headers.insert(name, value);
        Ok(self)
    }

    /// Sets the timeout of one request. Default: 10 s. Applies only to the built-in client: a client that was set has
    /// its own timeout.
    #[cfg(feature = "reqwest")]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the compression of request bodies. Default: none.
    pub const fn compression(mut self, compression: Option<Compression>) -> Self {
        self.endpoint.compression = compression;
        self
    }

    /// Sets how long a batch is retried after it was complete. Default: 5 minutes. With zero, a batch is sent only once.
    pub const fn retry_for(mut self, length: Duration) -> Self {
        self.settings.retry_for = length;
        self
    }

    /// Sets the maximum time that a span waits for its batch to fill.
    pub const fn scheduled_delay(mut self, delay: Duration) -> Self {
        self.settings.scheduled_delay = delay;
        self
    }

    /// Sets the maximum number of spans in one request; 0 counts as 1. A batch is smaller if it reaches 1 MiB or half
    /// of `max_queue_bytes`, and never larger than `max_queue_size`.
    pub const fn max_export_batch_size(mut self, spans: usize) -> Self {
        self.settings.max_export_batch_size = spans;
        self
    }

    /// Sets the maximum number of spans that are waiting or being sent; with 0, all spans are dropped.
    pub const fn max_queue_size(mut self, spans: usize) -> Self {
        self.settings.max_queue_size = spans;
        self
    }

    /// Sets the maximum encoded size in bytes of the spans that are waiting or being sent.
    pub const fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_queue_bytes = bytes;
        self
    }

    /// Builds the processor and starts its thread.
    ///
    /// # Errors
    /// Returns a [`BuildError`] if a setting is invalid, no client is available, or the thread cannot be started.
    pub fn build(self) -> Result<EncodingSpanProcessor, BuildError> {
        #[cfg(not(feature = "gzip"))]
        if let Some(Compression::Gzip) = self.endpoint.compression {
            return Err(ConfigError::NoGzip.into());
        }
        let client = match self.client {
            Some(client) => client,
            None => default_client(self.timeout)?,
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
fn default_client(_: Option<Duration>) -> Result<Arc<dyn HttpClient>, BuildError> {
    Err(BuildError::NoClient)
}

/// Creates the built-in client, on a separate thread, because a blocking client must not be created inside an async
/// runtime.
#[cfg(feature = "reqwest")]
fn default_client(timeout: Option<Duration>) -> Result<Arc<dyn HttpClient>, BuildError> {
    let make = move || {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error means that another thread has installed a provider, which can be used.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        reqwest::blocking::Client::builder()
            .timeout(timeout.unwrap_or(TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .build()
    };
    let thread =
        thread::Builder::new().name("throughline-export".to_owned()).spawn(make).map_err(BuildError::Thread)?;
    let client = thread.join().expect("creating a client does not panic").map_err(BuildError::Client)?;
    Ok(Arc::new(client))
}
