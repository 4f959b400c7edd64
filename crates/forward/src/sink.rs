//! What a sink is to the outbox.

use std::{fmt, future::Future, time::Duration};

use throughline_otlp::{DataPoint, Encoding, LogRecord, Signal, Span, encode};

/// Records of one signal, in the order of commits; at least one.
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
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.len(),
            Self::Logs(records) => records.len(),
            Self::DataPoints(points) => points.len(),
        }
    }

    /// Whether there are none, which a sink never gets.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Spans(_) => Signal::Traces,
            Self::Logs(_) => Signal::Logs,
            Self::DataPoints(_) => Signal::Metrics,
        }
    }

    /// They as the body of an OTLP request, not compressed.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        match self {
            Self::Spans(spans) => encode(spans, encoding),
            Self::Logs(records) => encode(records, encoding),
            Self::DataPoints(points) => encode(points, encoding),
        }
    }
}

/// What a sink says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// All of it was taken.
    Taken,
    /// It was taken but for some records, and must not be sent again. They are quarantined, and stay in the store.
    TakenInPart {
        /// How many records were not taken; 0 for a warning.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// Some record in it will never be taken. It is sent again in halves until that record is found, which is then quarantined.
    Refused {
        /// Why, without secrets.
        reason: String,
    },
    /// It may be taken later: it is sent again, with backoff, for ever.
    RetryLater {
        /// Why, without secrets.
        reason: String,
        /// How long to wait at least.
        after: Option<Duration>,
    },
    /// Records of this signal are not taken at present. Spans are treated as with [`Answer::RetryLater`]; others are kept, and
    /// offered again after [`ForwardConfig::absent_probe`](crate::ForwardConfig::absent_probe).
    Absent {
        /// Why, without secrets.
        reason: String,
        /// How long to wait at least.
        after: Option<Duration>,
    },
    /// Nothing is taken until somebody changes something, such as a key. It is reported as an error, and tried again after
    /// [`ForwardConfig::auth_probe`](crate::ForwardConfig::auth_probe).
    Stopped {
        /// Why, without secrets.
        reason: String,
    },
}

/// Somewhere that records are delivered to: an OTLP upstream ([`OtlpSink`](crate::OtlpSink)), or anything else.
///
/// The outbox reads batches in the order of commits, has each made into a request once, sends it until there is an answer about
/// it, and then notes how far it has come. After a crash a batch may be sent again; the receiver knows repetitions by their ids.
///
/// ```
/// use std::{future, sync::Mutex};
///
/// use throughline_forward::{Answer, Delivery, ForwardConfig, Records, Sink, Sources, spawn_sink};
/// use throughline_otlp::{Encoding, Signal};
///
/// /// Keeps bodies of spans as OTLP/JSON.
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
///         future::ready(Answer::Taken)
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
    /// What is sent. It is kept until there is an answer about it.
    type Request: Send + Sync + 'static;

    /// Where records of this signal are delivered to, as people may see it: without user, password and query. `None` if they are
    /// not delivered; they then stay where they are.
    fn endpoint(&self, signal: Signal) -> Option<String>;

    /// Makes a request of these records. It is called where blocking is allowed.
    ///
    /// # Errors
    /// Why it cannot be made of so many, or of this one: as if it were [refused](Answer::Refused).
    fn request(&self, records: Records<'_>) -> Result<Self::Request, String>;

    /// Sends it once, within a bounded time.
    fn send(&self, signal: Signal, request: &Self::Request) -> impl Future<Output = Answer> + Send;
}
