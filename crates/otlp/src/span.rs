//! Spans, with their events, links, resources and scopes.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId};

use crate::{
    Record, Signal,
    value::{self, KeyValue, Value},
};

/// The name of a service without `service.name` (resource semantic conventions).
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// The source of a record: the program, its instance and its host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// The attributes, such as `service.name`.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// The schema URL of the attributes; may be empty.
    pub schema_url: String,
}

impl Resource {
    /// Returns the value of the first attribute with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// Returns `service.name`, or [`UNKNOWN_SERVICE`] if it is absent, empty or not text.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.attribute("service.name")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(UNKNOWN_SERVICE)
    }
}

/// The instrumentation library that created a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The name; empty if unknown.
    pub name: String,
    /// The version; empty if unknown.
    pub version: String,
    /// Further attributes.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// The schema URL of its records; may be empty.
    pub schema_url: String,
}

/// The kind of a span: its role in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Not specified by the sender, or unknown.
    #[default]
    Unspecified,
    /// Work inside one program.
    Internal,
    /// The handling of a request.
    Server,
    /// A request to another service.
    Client,
    /// The sending of a message.
    Producer,
    /// The processing of a message.
    Consumer,
}

impl SpanKind {
    /// All kinds; the index of a kind is its number on the wire.
    pub const ALL: [Self; 6] =
        [Self::Unspecified, Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer];

    /// Returns the number on the wire (`Span.SpanKind`).
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the kind with this number; [`SpanKind::Unspecified`] for an unknown number.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        from_number(&Self::ALL, number).unwrap_or(Self::Unspecified)
    }

    /// Returns `unspecified`, `internal`, `server`, `client`, `producer` or `consumer`.
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

/// The status code of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// Not set, which usually means success.
    #[default]
    Unset,
    /// Explicitly marked as successful.
    Ok,
    /// The operation failed.
    Error,
}

impl StatusCode {
    /// All codes; the index of a code is its number on the wire.
    pub const ALL: [Self; 3] = [Self::Unset, Self::Ok, Self::Error];

    /// Returns the number on the wire (`Status.StatusCode`).
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the code with this number; [`StatusCode::Unset`] for an unknown number.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        from_number(&Self::ALL, number).unwrap_or(Self::Unset)
    }

    /// Returns `unset`, `ok` or `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Returns the element of `all` at the index `number`.
fn from_number<T: Copy>(all: &[T], number: i32) -> Option<T> {
    all.get(usize::try_from(number).ok()?).copied()
}

/// The status of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The status code.
    pub code: StatusCode,
    /// The message of the sender; may be empty.
    pub message: String,
}

/// An event during a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// When it happened, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The name, such as `exception`.
    pub name: String,
    /// The attributes.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A link to a related span.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The trace id of the linked span.
    pub trace_id: TraceId,
    /// The span id of the linked span.
    pub span_id: SpanId,
    /// The `tracestate` of the linked span; may be empty.
    pub trace_state: String,
    /// The flags of the linked span; see [`Span::flags`].
    pub flags: u32,
    /// The attributes of the link.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
}

impl Link {
    /// Creates a link to the span with these ids, without attributes.
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

/// A span: `Span` of `opentelemetry/proto/trace/v1/trace.proto`.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The id of the span, unique in the trace.
    pub span_id: SpanId,
    /// The id of the parent span; `None` for a root span.
    pub parent_span_id: Option<SpanId>,
    /// The `tracestate` as sent, not validated; may be empty.
    pub trace_state: String,
    /// The W3C trace flags in the lower 8 bits; bits 8 and 9 state whether the parent is remote (`SpanFlags`).
    pub flags: u32,
    /// The name, which should have low cardinality.
    pub name: String,
    /// The kind: the role in a call.
    pub kind: SpanKind,
    /// When the span began, in nanoseconds since the Unix epoch, by the sender's clock.
    pub start_ns: u64,
    /// When the span ended, in nanoseconds since the Unix epoch, by the sender's clock. It may be before the start,
    /// since clocks are adjusted.
    pub end_ns: u64,
    /// The attributes.
    pub attributes: Vec<KeyValue>,
    /// The number of attributes that the sender dropped.
    pub dropped_attributes_count: u32,
    /// The events during the span.
    pub events: Vec<Event>,
    /// The number of events that the sender dropped.
    pub dropped_events_count: u32,
    /// The links to related spans.
    pub links: Vec<Link>,
    /// The number of links that were dropped, by the sender or because their ids were invalid.
    pub dropped_links_count: u32,
    /// The status.
    pub status: Status,
    /// The source of the span.
    pub resource: Arc<Resource>,
    /// The instrumentation library.
    pub scope: Arc<Scope>,
}

impl Span {
    /// Creates a span with these ids; all other fields are empty or 0.
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

    /// Returns the value of the first attribute of the span itself with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// Returns the service name of the resource; see [`Resource::service_name`].
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    /// Returns the duration in nanoseconds; 0 if the span ended before it began.
    #[must_use]
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Returns whether the status is [`StatusCode::Error`].
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
