//! Spans, what they hold, and where they come from.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{
    Record, Signal,
    value::{self, KeyValue, Value},
};

/// The name of a service that does not give its name (resource semantic conventions).
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// Who made a span or a log record: the program, its instance, its machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// `service.name` and so on.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
    /// The schema that the attributes follow; may be empty.
    pub schema_url: String,
}

impl Resource {
    /// The first attribute with that key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// `service.name`, or [`UNKNOWN_SERVICE`] if it is absent, empty or no text.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.attribute("service.name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(UNKNOWN_SERVICE)
    }
}

/// The library that made a span or a log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name; empty if unknown.
    pub name: String,
    /// Its version; empty if unknown.
    pub version: String,
    /// What else is known about it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
    /// The schema that its records follow; may be empty.
    pub schema_url: String,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// The sender did not say, or said something unknown.
    #[default]
    Unspecified,
    /// Work inside one program.
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is made.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is worked on.
    Consumer,
}

impl SpanKind {
    /// Every kind; its place is its number on the wire.
    pub const ALL: [Self; 6] =
        [Self::Unspecified, Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer];

    /// The number on the wire (`Span.SpanKind`).
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The kind with that number; [`SpanKind::Unspecified`] for a number that is not known.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        from_number(&Self::ALL, number).unwrap_or(Self::Unspecified)
    }

    /// `unspecified`, `internal`, `server`, `client`, `producer`, `consumer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// How it ended, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// Nothing was said, which mostly means well.
    #[default]
    Unset,
    /// Somebody vouches that it went well.
    Ok,
    /// It went wrong.
    Error,
}

impl StatusCode {
    /// Every code; its place is its number on the wire.
    pub const ALL: [Self; 3] = [Self::Unset, Self::Ok, Self::Error];

    /// The number on the wire (`Status.StatusCode`).
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The code with that number; [`StatusCode::Unset`] for a number that is not known.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        from_number(&Self::ALL, number).unwrap_or(Self::Unset)
    }

    /// `unset`, `ok`, `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// The one of `all` in the place `number`.
fn from_number<T: Copy>(all: &[T], number: i32) -> Option<T> {
    all.get(usize::try_from(number).ok()?).copied()
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In one word.
    pub code: StatusCode,
    /// In the sender's words; may be empty.
    pub message: String,
}

/// Something that happened while a span lasted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// When, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What, such as `exception`.
    pub name: String,
    /// More about it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
}

/// Another span that has to do with this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// Its `tracestate`; may be empty.
    pub trace_state: String,
    /// Its flags, as of [`Span::flags`].
    pub flags: u32,
    /// What it has to do with this one.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
}

impl Link {
    /// A link to this span, with nothing more said about it.
    #[must_use]
    pub const fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Self {
            trace_id,
            span_id,
            trace_state: String::new(),
            flags: 0,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
        }
    }
}

/// One piece of work: `Span` of `opentelemetry/proto/trace/v1/trace.proto`.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace to which it belongs.
    pub trace_id: TraceId,
    /// Its own id, unique in the trace.
    pub span_id: SpanId,
    /// The span that caused it; none for a root.
    pub parent_span_id: Option<SpanId>,
    /// `tracestate` as it was sent, unchecked; may be empty.
    pub trace_state: String,
    /// W3C trace flags in the lower 8 bits; bits 8 and 9 say whether the parent is remote (`SpanFlags`).
    pub flags: u32,
    /// What it is; should have few different values.
    pub name: String,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch, by the sender's clock.
    pub start_ns: u64,
    /// When it ended, likewise. It may lie before the beginning: clocks are what they are.
    pub end_ns: u64,
    /// What is known about it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    pub dropped_attributes_count: u32,
    /// What happened while it lasted.
    pub events: Vec<Event>,
    /// How many events the sender left out.
    pub dropped_events_count: u32,
    /// Other spans that have to do with it.
    pub links: Vec<Link>,
    /// How many links were left out, by the sender or because their ids were not valid.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: Status,
    /// Who made it.
    pub resource: Arc<Resource>,
    /// The library that made it.
    pub scope: Arc<Scope>,
}

impl Span {
    /// An unnamed span of no duration at the epoch, with these ids and nothing else.
    #[must_use]
    pub fn new(trace_id: TraceId, span_id: SpanId, resource: Arc<Resource>, scope: Arc<Scope>) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: None,
            trace_state: String::new(),
            flags: 0,
            name: String::new(),
            kind: SpanKind::default(),
            start_ns: 0,
            end_ns: 0,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: Status::default(),
            resource,
            scope,
        }
    }

    /// The first attribute with that key; the resource's are not looked at.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// [`Resource::service_name`] of its resource.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    /// How long it lasted, in nanoseconds; 0 if it ended before it began.
    #[must_use]
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Whether its status is [`StatusCode::Error`].
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status.code == StatusCode::Error
    }
}

impl Record for Span {
    const SIGNAL: Signal = Signal::Traces;

    fn title(&self) -> &str {
        &self.name
    }

    fn source(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.resource, &self.scope)
    }

    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn parts_mut(&mut self) -> (&mut Arc<Resource>, &mut Arc<Scope>, &mut Vec<KeyValue>) {
        (&mut self.resource, &mut self.scope, &mut self.attributes)
    }
}
