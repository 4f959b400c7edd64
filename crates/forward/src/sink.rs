//! The interface between a sink and the outbox.

use std::{fmt, future::Future, time::Duration};

use throughline_otlp::{DataPoint, Encoding, LogRecord, Signal, Span, encode};

/// Records of one signal, in commit order; at least one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Records<'a> {
    /// Spans.
    Spans(&'a [Span]),
    /// Log records.
    Logs(&'a [LogRecord]),
    /// Data points.
    DataPoints(&'a [DataPoint]),
}

impl Records<'_> {
    /// Returns the number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.len(),
            Self::Logs(records) => records.len(),
            Self::DataPoints(points) => points.len(),
        }
    }

    /// Returns whether there are no records. A sink always gets at least one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the signal of the records.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Spans(_) => Signal::Traces,
            Self::Logs(_) => Signal::Logs,
            Self::DataPoints(_) => Signal::Metrics,
        }
    }

    /// Encodes the records as the body of an OTLP request, without compression.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        match self {
            Self::Spans(spans) => encode(spans, encoding),
            Self::Logs(records) => encode(records, encoding),
            Self::DataPoints(points) => encode(points, encoding),
        }
    }
}

/// The response of a sink to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// All records were accepted.
    Accepted,
    /// Some records were rejected, and the request must not be sent again. The rejected records are quarantined, and stay in the
    /// store.
    PartiallyAccepted {
        /// The number of rejected records; 0 for a warning.
        rejected: u64,
        /// The reason.
        message: String,
    },
    /// The request was rejected because of a record in it. It is halved and sent again until that record is found, which is then
    /// quarantined.
    Rejected {
        /// The reason, without secrets.
        reason: String,
    },
    /// The request failed and may succeed later: it is sent again, with backoff, without a limit.
    RetryLater {
        /// The reason, without secrets.
        reason: String,
        /// The minimum time to wait.
        after: Option<Duration>,
    },
    /// The sink does not support this signal. Spans are treated as with [`Answer::RetryLater`]; other records are kept, and sent
    /// again after [`ForwardConfig::absent_probe`](crate::ForwardConfig::absent_probe).
    Unsupported {
        /// The reason, without secrets.
        reason: String,
        /// The minimum time to wait.
        after: Option<Duration>,
    },
    /// The sink accepts nothing until an operator intervenes, for example with a new key. It is reported as an error, and the
    /// request is sent again after [`ForwardConfig::auth_probe`](crate::ForwardConfig::auth_probe).
    Stopped {
        /// The reason, without secrets.
        reason: String,
    },
}

/// A destination of records: an OTLP upstream ([`OtlpSink`](crate::OtlpSink)), or any other.
///
/// The outbox reads batches in commit order, converts each into a request once, sends it until it is accepted or rejected, and then
/// advances the cursor. After a crash, a batch may be sent again; the destination can detect repetitions by their ids.
///
/// ```
/// use std::{future, sync::Mutex};
///
/// use throughline_forward::{Answer, Delivery, ForwardConfig, Records, Sink, Sources, spawn_sink};
/// use throughline_otlp::{Encoding, Signal};
///
/// /// A sink that keeps the bodies of spans as OTLP/JSON.
/// #[derive(Debug, Default)]
/// struct Memory {
///     bodies: Mutex<Vec<String>>,
/// }
///
/// impl Sink for Memory {
///     type Request = String;
///
///     fn endpoint(&self, signal: Signal) -> Option<String> {
///         (signal == Signal::Traces).then(|| "memory".to_owned())
///     }
///
///     fn request(&self, records: Records<'_>) -> Result<String, String> {
///         String::from_utf8(records.encode(Encoding::Json)).map_err(|error| error.to_string())
///     }
///
///     fn send(&self, _: Signal, body: &String) -> impl Future<Output = Answer> + Send {
///         self.bodies.lock().unwrap().push(body.clone());
///         future::ready(Answer::Accepted)
///     }
/// }
///
/// # async fn run(sources: Sources) -> Result<(), Box<dyn std::error::Error>> {
/// let delivery = Delivery::new("memory".parse()?).with_max_records(100);
/// let forwarder = spawn_sink(sources, delivery, Memory::default(), ForwardConfig::default());
/// forwarder.shutdown().await;
/// # Ok(()) }
/// ```
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// The request that is sent. It is kept until it is accepted or rejected.
    type Request: Send + Sync + 'static;

    /// Returns the destination of a signal for display, without user, password and query. `None` if records of this signal are not
    /// delivered.
    fn endpoint(&self, signal: Signal) -> Option<String>;

    /// Converts records into a request. It is called on a thread for blocking operations.
    ///
    /// # Errors
    /// The reason that these records cannot be sent in one request. It has the same effect as [`Answer::Rejected`].
    fn request(&self, records: Records<'_>) -> Result<Self::Request, String>;

    /// Sends a request once, within a bounded time.
    fn send(&self, signal: Signal, request: &Self::Request) -> impl Future<Output = Answer> + Send;
}
