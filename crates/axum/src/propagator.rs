//! [`TraceContextPropagator`]: trace context and baggage, for every instrumentation of the process.

use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context,
    baggage::{BaggageExt, KeyValueMetadata},
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt, TraceFlags as OtelTraceFlags, TraceState as OtelTraceState},
};
use throughline_context::{Baggage, Entry, SpanId, TraceFlags, TraceId, TraceParent, TraceState};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// W3C Trace Context level 2 and W3C Baggage as a propagator of OpenTelemetry.
///
/// Set as the global one, it makes every instrumentation of the process conform: whatever the server layer, an HTTP client or a
/// gRPC library reads and writes goes by the rules of [`throughline_context`].
///
/// - All headers of a name are read, as far as the [`Extractor`] hands them out by `get_all`. More than one `traceparent` is none.
/// - `tracestate` headers are one list, in their order, and a malformed list is dropped whole. What is sent on keeps order and
///   members even where opentelemetry's own type refuses a key that the specification allows.
/// - The random flag is carried through spans that are not sampled, where the SDK drops it. A trace that begins in this process
///   has it set, because both the SDK's ids and those for AWS X-Ray end in random bytes.
/// - Baggage never exceeds 64 members or 8192 bytes; a member is sent whole, with its properties, or not at all.
///
/// ```
/// opentelemetry::global::set_text_map_propagator(throughline_axum::TraceContextPropagator::new());
/// ```
#[derive(Clone, Debug)]
pub struct TraceContextPropagator {
    fields: [String; 3],
}

impl TraceContextPropagator {
    /// The propagator; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self { fields: [TRACEPARENT, TRACESTATE, BAGGAGE].map(str::to_owned) }
    }
}

impl Default for TraceContextPropagator {
    fn default() -> Self {
        Self::new()
    }
}

impl TextMapPropagator for TraceContextPropagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        if let Some(parent) = trace_parent(context) {
            injector.set(TRACEPARENT, parent.to_string());
            let state = trace_state(context);
            if !state.is_empty() {
                injector.set(TRACESTATE, state.to_string());
            }
        }
        let baggage = baggage(context);
        if !baggage.is_empty() {
            injector.set(BAGGAGE, baggage.to_string());
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let all = |name| extractor.get_all(name).unwrap_or_default().into_iter().map(str::as_bytes);
        extract(context, all(TRACEPARENT), || all(TRACESTATE), all(BAGGAGE)).context
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

/// What came with a request.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The caller's span and its baggage, as far as there are any, above what was there before.
    pub(crate) context: Context,
    /// The caller's span; `None` where no valid `traceparent` came.
    pub(crate) parent_id: Option<SpanId>,
}

/// What [`TraceContextPropagator`] does, straight from the bytes of the headers.
pub(crate) fn from_headers(context: &Context, headers: &HeaderMap) -> Incoming {
    static STATE: HeaderName = HeaderName::from_static(TRACESTATE);
    static BAGGAGES: HeaderName = HeaderName::from_static(BAGGAGE);
    let (mut parents, mut has_state, mut has_baggage) = ([None, None], false, false);
    // One walk, because a request has few headers, and each look-up of a name hashes it.
    for (name, value) in headers {
        match name.as_str() {
            TRACEPARENT => parents = [Some(value.as_bytes()), parents[0]],
            TRACESTATE => has_state = true,
            BAGGAGE => has_baggage = true,
            _ => {}
        }
    }
    let all = |is_there: bool, name| {
        let values = is_there.then(|| headers.get_all(name).iter());
        values.into_iter().flatten().map(http::HeaderValue::as_bytes)
    };
    extract(context, parents.into_iter().flatten(), || all(has_state, &STATE), all(has_baggage, &BAGGAGES))
}

fn extract<'a, S>(
    context: &Context,
    parents: impl Iterator<Item = &'a [u8]>,
    states: impl FnOnce() -> S,
    baggage: impl Iterator<Item = &'a [u8]>,
) -> Incoming
where
    S: Iterator<Item = &'a [u8]>,
{
    let mut incoming = Incoming { context: context.clone(), parent_id: None };
    if let Some(parent) = TraceParent::from_headers(parents) {
        // A malformed list is dropped, and the rest of the context kept.
        let state = TraceState::parse_headers(states()).unwrap_or_default();
        incoming.context = with_remote_parent(&incoming.context, parent, state);
        incoming.parent_id = Some(parent.parent_id);
    }
    let baggage = Baggage::parse_headers(baggage);
    if !baggage.is_empty() {
        incoming.context = incoming.context.with_baggage(baggage.entries().iter().map(|entry| {
            let properties = entry.properties().iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
            KeyValueMetadata::new(entry.key().to_owned(), entry.value().to_owned(), properties.as_str())
        }));
    }
    incoming
}

/// What opentelemetry's own types cannot say of a remote parent.
#[derive(Debug)]
struct Unheld {
    trace_id: opentelemetry::TraceId,
    /// As it came. A span that is not sampled loses it in the SDK.
    random: bool,
    /// As it came, where [`OtelTraceState`] refuses some of it.
    state: Option<TraceState>,
}

pub(crate) fn with_remote_parent(context: &Context, parent: TraceParent, state: TraceState) -> Context {
    let (held, complete) = held(&state);
    let context = context.with_remote_span_context(span_context(parent, held));
    let random = parent.flags.is_random();
    if random && complete {
        // All is said: a trace without a note counts as random.
        return context;
    }
    context.with_value(Unheld {
        trace_id: opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes()),
        random,
        state: (!complete).then_some(state),
    })
}

fn span_context(parent: TraceParent, state: OtelTraceState) -> SpanContext {
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(parent.trace_id.to_bytes()),
        opentelemetry::SpanId::from_bytes(parent.parent_id.to_bytes()),
        OtelTraceFlags::new(parent.flags.bits()),
        true,
        state,
    )
}

/// The span that a request from `context` comes from, as it is told to others; `None` outside any span.
pub(crate) fn trace_parent(context: &Context) -> Option<TraceParent> {
    let span = context.span();
    let span = span.span_context();
    let trace_id = TraceId::from_bytes(span.trace_id().to_bytes())?;
    let parent_id = SpanId::from_bytes(span.span_id().to_bytes())?;
    let flags = TraceFlags::new(span.trace_flags().to_u8());
    let random = match unheld(context) {
        Some(unheld) => unheld.random,
        // Nothing was noted: the flag came along, or the trace began here.
        None => flags.is_random() || !span.is_remote(),
    };
    let sampled = TraceFlags::NONE.with_sampled(flags.is_sampled());
    Some(TraceParent::new(trace_id, parent_id, if random { sampled | TraceFlags::RANDOM } else { sampled }))
}

/// What was noted of the trace of the current span.
fn unheld(context: &Context) -> Option<&Unheld> {
    context.get::<Unheld>().filter(|unheld| unheld.trace_id == context.span().span_context().trace_id())
}

/// The list to send on. Whatever a sampler or the application put into it stands first, as it does in opentelemetry's.
fn trace_state(context: &Context) -> TraceState {
    let current = context.span().span_context().trace_state().header();
    // An application can put into it what is no valid member. Others would drop the whole list for it, as is done here.
    let Ok(current) = TraceState::parse_headers([current.as_bytes()]) else { return TraceState::default() };
    match unheld(context).and_then(|unheld| unheld.state.as_ref()) {
        Some(received) => merge(received, &current),
        None => current,
    }
}

/// As much of `state` as opentelemetry's type takes, and whether that is all: it refuses a system id of 14 characters.
fn held(state: &TraceState) -> (OtelTraceState, bool) {
    if state.is_empty() {
        return (OtelTraceState::NONE, true);
    }
    match OtelTraceState::from_key_value(state.iter()) {
        Ok(held) => (held, true),
        Err(_) => {
            let members = state.iter().filter(|member| is_held(*member));
            (OtelTraceState::from_key_value(members).unwrap_or_default(), false)
        }
    }
}

fn is_held(member: (&str, &str)) -> bool {
    OtelTraceState::from_key_value([member]).is_ok()
}

/// What was received, with the changes that `current`, the part of it that opentelemetry could hold, has gone through: removed
/// members go, new and changed ones stand first.
fn merge(received: &TraceState, current: &TraceState) -> TraceState {
    let kept = received.iter().filter(|member| !is_held(*member) || current.get(member.0).is_some());
    let kept: Vec<_> = kept.map(|(key, value)| format!("{key}={value}")).collect();
    let mut merged = TraceState::parse_headers(kept.iter().map(String::as_bytes)).unwrap_or_default();
    let changed: Vec<_> = current.iter().filter(|(key, value)| received.get(key) != Some(value)).collect();
    for (key, value) in changed.into_iter().rev() {
        // Both were read from a valid list.
        let _ = merged.insert_first(key, value);
    }
    merged
}

/// The baggage to send on. By key, because opentelemetry keeps no order: so it is the same ones that find no room each time.
fn baggage(context: &Context) -> Baggage {
    let mut members: Vec<_> = context.baggage().iter().collect();
    members.sort_unstable_by_key(|(key, _)| key.as_str());
    let mut baggage = Baggage::default();
    for (key, (value, properties)) in members {
        let entry = Entry::new(key.as_str(), value.as_str())
            .and_then(|entry| entry.with_properties(properties.as_str()))
            .and_then(|entry| baggage.push(entry));
        if let Err(error) = entry {
            tracing::debug!(target: "throughline::http", key = key.as_str(), %error, "a baggage member is not sent");
        }
    }
    baggage
}

/// Sets headers by name; whatever stood there goes.
#[cfg(feature = "client")]
pub(crate) struct Headers<'h>(pub(crate) &'h mut HeaderMap);

#[cfg(feature = "client")]
impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_maybe_shared(bytes::Bytes::from(value))) {
            self.0.insert(name, value);
        }
    }
}
