//! The aggregate of a trace's spans in the trace's row. It does not depend on the order in which the spans arrive.

use std::borrow::Cow;

use throughline_context::{SpanId, keys};
use throughline_otlp::{Span, Value, measured_offset};
use throughline_timing::MeasuredOffset;

use crate::{
    Bands,
    slowest::Slowest,
    terms::Term,
    varint::{Broken, Reader, put, put_signed},
};

/// `http.route` (semantic conventions, HTTP spans).
const HTTP_ROUTE: &str = "http.route";
/// The maximum number of services in a trace's row: those with the earliest start.
const MAX_SERVICES: usize = 64;
/// The maximum number of different texts by which a trace can be found.
const MAX_TERMS: usize = 1024;

/// The aggregate of the spans of a trace. Times are Unix nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fold {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) head: Head,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
    pub(crate) user: Option<User>,
    pub(crate) bands: Option<Bands>,
    /// The best offset between the clocks of page and server that a request measured.
    pub(crate) clock: Option<MeasuredOffset>,
    pub(crate) slowest: Slowest,
    /// Each service with the start of its first span, ordered by start.
    pub(crate) services: Vec<(i64, Term)>,
    /// The terms of names, services and users, in ascending order.
    pub(crate) terms: Vec<Term>,
}

/// The span that represents the trace: the earliest root, or the earliest span if there is no root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) is_root: bool,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) span_id: SpanId,
    pub(crate) name: Term,
    pub(crate) service: Term,
}

/// The user of the earliest span that has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) start_ns: i64,
    pub(crate) span_id: SpanId,
    pub(crate) name: Term,
}

/// The terms of a span that are kept in its trace's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanTerms {
    pub(crate) name: Term,
    pub(crate) service: Term,
    pub(crate) user: Option<Term>,
    pub(crate) route: Option<Term>,
}

impl Fold {
    /// Creates the aggregate of one span.
    pub(crate) fn of(span: &Span, terms: SpanTerms) -> Self {
        let (start_ns, end_ns) = (column_ns(span.start_ns), column_ns(span.end_ns));
        let mut fold = Self {
            start_ns,
            end_ns,
            head: head(span, terms),
            span_count: 0,
            error_count: 0,
            user: None,
            bands: None,
            clock: None,
            slowest: Slowest::default(),
            services: Vec::with_capacity(2),
            terms: Vec::with_capacity(8),
        };
        fold.add(span, terms);
        fold
    }

    /// Adds a span.
    pub(crate) fn add(&mut self, span: &Span, terms: SpanTerms) {
        let head = head(span, terms);
        self.start_ns = self.start_ns.min(head.start_ns);
        self.end_ns = self.end_ns.max(head.end_ns);
        if head.order() < self.head.order() {
            self.head = head;
        }
        self.span_count += 1;
        self.error_count += u64::from(span.is_error());
        let user = terms.user.map(|name| User { start_ns: head.start_ns, span_id: head.span_id, name });
        self.user = either(self.user, user, |a, b| if b.order() < a.order() { b } else { a });
        self.bands = either(self.bands, bands(span), sum);
        self.clock = either(self.clock, measured_offset(span), MeasuredOffset::better);
        self.slowest.add(span, terms.route);
        self.note_service(head.start_ns, terms.service);
        self.note_term(terms.name);
        self.note_term(terms.service);
        terms.user.into_iter().for_each(|user| self.note_term(user));
    }

    fn note_service(&mut self, start_ns: i64, service: Term) {
        match self.services.iter().position(|(_, known)| *known == service) {
            Some(at) if self.services[at].0 <= start_ns => return,
            Some(at) => drop(self.services.remove(at)),
            None => {}
        }
        let entry = (start_ns, service);
        let at = self.services.partition_point(|known| *known < entry);
        self.services.insert(at, entry);
        self.services.truncate(MAX_SERVICES);
    }

    fn note_term(&mut self, term: Term) {
        if let Err(at) = self.terms.binary_search(&term)
            && self.terms.len() < MAX_TERMS
        {
            self.terms.insert(at, term);
        }
    }

    /// Returns the duration of the root, or the time from the first start to the last end; never negative.
    pub(crate) fn duration_ns(&self) -> i64 {
        let (start_ns, end_ns) =
            if self.head.is_root { (self.head.start_ns, self.head.end_ns) } else { (self.start_ns, self.end_ns) };
        end_ns.saturating_sub(start_ns).max(0)
    }

    /// Encodes the fields that have no column: all but start, duration and counts.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + 8 * self.terms.len());
        let clock_error_ns = self.clock.and_then(|clock| clock.error_ns);
        let bits = u8::from(self.head.is_root)
            | (u8::from(self.user.is_some()) << 1)
            | (u8::from(self.bands.is_some()) << 2)
            | (u8::from(self.clock.is_some()) << 3)
            | (u8::from(clock_error_ns.is_some()) << 4);
        bytes.push(bits);
        put_signed(&mut bytes, self.end_ns.wrapping_sub(self.start_ns));
        put_signed(&mut bytes, self.head.start_ns.wrapping_sub(self.start_ns));
        put_signed(&mut bytes, self.head.end_ns.wrapping_sub(self.head.start_ns));
        bytes.extend_from_slice(&self.head.span_id.to_bytes());
        put_signed(&mut bytes, self.head.name);
        put_signed(&mut bytes, self.head.service);
        if let Some(user) = self.user {
            put_signed(&mut bytes, user.start_ns.wrapping_sub(self.start_ns));
            bytes.extend_from_slice(&user.span_id.to_bytes());
            put_signed(&mut bytes, user.name);
        }
        if let Some(bands) = self.bands {
            for ms in [bands.network_ms, bands.uplink_ms, bands.downlink_ms, bands.error_ms, bands.server_ms] {
                bytes.extend_from_slice(&ms.to_le_bytes());
            }
        }
        if let Some(clock) = self.clock {
            put_signed(&mut bytes, clock.offset_ns);
        }
        if let Some(error_ns) = clock_error_ns {
            put(&mut bytes, error_ns);
        }
        self.slowest.write(&mut bytes);
        put(&mut bytes, self.services.len() as u64);
        for (first_ns, service) in &self.services {
            put_signed(&mut bytes, first_ns.wrapping_sub(self.start_ns));
            put_signed(&mut bytes, *service);
        }
        let mut last = 0;
        for term in &self.terms {
            put_signed(&mut bytes, term.wrapping_sub(last));
            last = *term;
        }
        bytes
    }

    /// Decodes the bytes that [`Fold::to_bytes`] wrote, with the values of the columns.
    pub(crate) fn from_bytes(bytes: &[u8], columns: Columns) -> Result<Self, Broken> {
        let mut reader = Reader(bytes);
        let bits = reader.byte()?;
        let start_ns = columns.start_ns;
        let end_ns = start_ns.wrapping_add(reader.signed()?);
        let head_start_ns = start_ns.wrapping_add(reader.signed()?);
        let head = Head {
            is_root: bits & 1 != 0,
            start_ns: head_start_ns,
            end_ns: head_start_ns.wrapping_add(reader.signed()?),
            span_id: span_id(&mut reader)?,
            name: reader.signed()?,
            service: reader.signed()?,
        };
        let user = if bits & 2 == 0 {
            None
        } else {
            Some(User {
                start_ns: start_ns.wrapping_add(reader.signed()?),
                span_id: span_id(&mut reader)?,
                name: reader.signed()?,
            })
        };
        let bands = if bits & 4 == 0 {
            None
        } else {
            let mut ms = || reader.array().map(f64::from_le_bytes);
            Some(Bands { network_ms: ms()?, uplink_ms: ms()?, downlink_ms: ms()?, error_ms: ms()?, server_ms: ms()? })
        };
        let offset_ns = if bits & 8 == 0 { None } else { Some(reader.signed()?) };
        let error_ns = if bits & 16 == 0 { None } else { Some(reader.number()?) };
        let clock = offset_ns.map(|offset_ns| MeasuredOffset { offset_ns, error_ns });
        let slowest = Slowest::read(&mut reader)?;
        let count = reader.count()?;
        let mut service = || Ok((start_ns.wrapping_add(reader.signed()?), reader.signed()?));
        let services = (0..count).map(|_| service()).collect::<Result<_, _>>()?;
        let (mut terms, mut last) = (Vec::new(), 0_i64);
        while !reader.0.is_empty() {
            last = last.wrapping_add(reader.signed()?);
            terms.push(last);
        }
        let Columns { span_count, error_count, .. } = columns;
        Ok(Self { start_ns, end_ns, head, span_count, error_count, user, bands, clock, slowest, services, terms })
    }
}

/// The columns of a trace's row that are part of its fold. The duration also has a column, but follows from the other fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) start_ns: i64,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
}

fn span_id(reader: &mut Reader<'_>) -> Result<SpanId, Broken> {
    SpanId::from_bytes(reader.array()?).ok_or(Broken)
}

fn head(span: &Span, terms: SpanTerms) -> Head {
    Head {
        is_root: span.parent_span_id.is_none(),
        start_ns: column_ns(span.start_ns),
        end_ns: column_ns(span.end_ns),
        span_id: span.span_id,
        name: terms.name,
        service: terms.service,
    }
}

impl Head {
    fn order(&self) -> (bool, i64, SpanId) {
        (!self.is_root, self.start_ns, self.span_id)
    }
}

impl User {
    fn order(&self) -> (i64, SpanId) {
        (self.start_ns, self.span_id)
    }
}

/// Converts a time to `SQLite`'s integer; a time after the year 2262 is clamped.
pub(crate) fn column_ns(time_ns: u64) -> i64 {
    i64::try_from(time_ns).unwrap_or(i64::MAX)
}

/// Returns the user of a span as text, from the first of [`keys::USER_IDS`] that has a value.
pub(crate) fn user(span: &Span) -> Option<Cow<'_, str>> {
    keys::USER_IDS.iter().find_map(|key| match span.attribute(key)? {
        Value::String(name) if !name.is_empty() => Some(Cow::Borrowed(name.as_str())),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    })
}

/// Returns the `http.route` of a span.
pub(crate) fn route(span: &Span) -> Option<&str> {
    span.attribute(HTTP_ROUTE)?.as_str()
}

/// Returns the network times of a span; `None` if the network was not measured. A missing part counts as 0.
fn bands(span: &Span) -> Option<Bands> {
    let ms = |key| span.attribute(key).and_then(Value::as_f64).filter(|ms| ms.is_finite());
    Some(Bands {
        network_ms: ms(keys::NETWORK_TOTAL_MS)?,
        uplink_ms: ms(keys::NETWORK_UPLINK_MS).unwrap_or(0.0),
        downlink_ms: ms(keys::NETWORK_DOWNLINK_MS).unwrap_or(0.0),
        error_ms: ms(keys::NETWORK_ERROR_MS).unwrap_or(0.0),
        server_ms: ms(keys::SERVER_DURATION_MS).unwrap_or(0.0),
    })
}

fn sum(a: Bands, b: Bands) -> Bands {
    Bands {
        network_ms: a.network_ms + b.network_ms,
        uplink_ms: a.uplink_ms + b.uplink_ms,
        downlink_ms: a.downlink_ms + b.downlink_ms,
        error_ms: a.error_ms + b.error_ms,
        server_ms: a.server_ms + b.server_ms,
    }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };
    use throughline_context::TraceId;
    use throughline_otlp::{KeyValue, Resource, Scope, Status, StatusCode, clocked};
    use throughline_timing::align;

    fn span() -> impl Strategy<Value = Span> {
        let texts = (option::of("[a-c]"), option::of("[a-c]"), option::of((-5..5_i64, option::of(0..3_i64))));
        (any::<bool>(), (0..4_u64, 0..8_u64), any::<bool>(), texts, option::of(0..1000_i64)).prop_map(
            |(root, (start_ns, end_ns), error, (user, route, clock), network)| {
                let mut span = Span::new(
                    TraceId::from_bytes([1; 16]).unwrap(),
                    SpanId::from_bytes([1; 8]).unwrap(),
                    Arc::new(Resource::default()),
                    Arc::new(Scope::default()),
                );
                span.parent_span_id = (!root).then_some(span.span_id);
                (span.start_ns, span.end_ns) = (start_ns, end_ns);
                if error {
                    span.status = Status { code: StatusCode::Error, message: String::new() };
                }
                if let Some(user) = user {
                    span.attributes.push(KeyValue::new(keys::APP_USER_ID, user));
                }
                if let Some(route) = route {
                    span.attributes.push(KeyValue::new(HTTP_ROUTE, route));
                }
                if let Some((offset_ms, error_ms)) = clock {
                    span.attributes.push(KeyValue::new(keys::CLOCK_OFFSET_MS, offset_ms));
                    span.attributes.extend(error_ms.map(|error_ms| KeyValue::new(keys::CLOCK_ERROR_MS, error_ms)));
                }
                if let Some(network) = network {
                    span.attributes.push(KeyValue::new(keys::NETWORK_TOTAL_MS, network));
                }
                span
            },
        )
    }

    #[test]
    fn user_id_takes_precedence_over_app_user_id() {
        let of = |attributes: Vec<KeyValue>| {
            let mut span = Span::new(
                TraceId::from_bytes([1; 16]).unwrap(),
                SpanId::from_bytes([1; 8]).unwrap(),
                Arc::default(),
                Arc::default(),
            );
            span.attributes = attributes;
            user(&span).map(Cow::into_owned)
        };
        let (ours, theirs) = (KeyValue::new(keys::APP_USER_ID, "yuki"), KeyValue::new("user.id", "u-4711"));
        assert_eq!(of(vec![ours.clone(), theirs.clone()]).as_deref(), Some("u-4711"));
        assert_eq!(of(vec![theirs]).as_deref(), Some("u-4711"));
        assert_eq!(of(vec![ours.clone()]).as_deref(), Some("yuki"));
        // An empty value is skipped.
        assert_eq!(of(vec![KeyValue::new("user.id", ""), ours]).as_deref(), Some("yuki"));
        assert_eq!(of(vec![KeyValue::new("user.id", 7)]).as_deref(), Some("7"));
        assert_eq!(of(vec![KeyValue::new("user.name", "Yuki")]), None);
    }

    /// Generates spans with different ids, and the same spans in their order of arrival.
    fn trace() -> impl Strategy<Value = (Vec<Span>, Vec<Span>)> {
        vec(span(), 1..8).prop_flat_map(|mut spans| {
            for (number, span) in (1..).zip(&mut spans) {
                span.span_id = SpanId::from_bytes([number; 8]).unwrap();
                span.name = number.to_string();
            }
            (Just(spans.clone()), Just(spans).prop_shuffle())
        })
    }

    /// Derives terms from a span whose name is a number and whose user and route are letters.
    fn terms(span: &Span) -> SpanTerms {
        let user = user(span).map(|user| i64::from(user.as_bytes()[0]));
        let route = route(span).map(|route| i64::from(route.as_bytes()[0]));
        SpanTerms { name: span.name.parse().unwrap(), service: 1_000 + i64::from(span.kind.number()), user, route }
    }

    fn fold(spans: &[Span]) -> Fold {
        let mut fold = Fold::of(&spans[0], terms(&spans[0]));
        spans[1..].iter().for_each(|span| fold.add(span, terms(span)));
        fold
    }

    /// Encodes and decodes a fold, as the file does.
    fn stored(fold: &Fold) -> Fold {
        let Fold { start_ns, span_count, error_count, .. } = *fold;
        Fold::from_bytes(&fold.to_bytes(), Columns { start_ns, span_count, error_count }).unwrap()
    }

    proptest! {
        #[test]
        fn the_order_and_grouping_of_spans_do_not_matter(
            (spans, shuffled) in trace(),
            at in any::<prop::sample::Index>(),
        ) {
            let whole = fold(&spans);
            prop_assert_eq!(&fold(&shuffled), &whole);
            prop_assert_eq!(&stored(&whole), &whole);
            let (before, after) = shuffled.split_at(1 + at.index(shuffled.len()));
            let mut joined = stored(&fold(before));
            after.iter().for_each(|span| joined.add(span, terms(span)));
            prop_assert_eq!(joined, whole);
        }

        #[test]
        fn a_fold_is_the_aggregate_of_its_spans((spans, _) in trace()) {
            let fold = fold(&spans);
            prop_assert_eq!(fold.span_count, spans.len() as u64);
            let errors = spans.iter().filter(|span| span.is_error()).count();
            prop_assert_eq!(fold.error_count, errors as u64);
            let by_start: BTreeMap<_, _> = spans
                .iter()
                .map(|span| ((span.start_ns, span.span_id), span))
                .collect();
            let first = by_start.values().next().unwrap();
            let root = by_start.values().find(|span| span.parent_span_id.is_none());
            prop_assert_eq!(fold.head.is_root, root.is_some());
            prop_assert_eq!(fold.head.name, terms(root.unwrap_or(first)).name);
            let last_end = spans.iter().map(|span| span.end_ns).max().unwrap();
            let duration_ns = match root {
                Some(root) => root.duration_ns(),
                None => last_end.saturating_sub(first.start_ns),
            };
            prop_assert_eq!(fold.duration_ns(), column_ns(duration_ns));
            let named = by_start.values().find_map(|span| terms(span).user);
            prop_assert_eq!(fold.user.map(|user| user.name), named);
            let clocked: Vec<_> = spans.iter().map(clocked).collect();
            prop_assert_eq!(fold.clock, align(&clocked).page, "the same as aligning all spans");
            for route in [None, Some(97), Some(98), Some(99)] {
                let lasted = spans.iter().filter(|span| match route {
                    None => span.parent_span_id.is_none(),
                    route => terms(span).route == route,
                });
                let longest = lasted.map(Span::duration_ns).max();
                let noted = match route {
                    None => fold.slowest.root_ns,
                    Some(route) => fold.slowest.routes.iter().find(|(_, of)| *of == route).map(|(ns, _)| *ns),
                };
                prop_assert_eq!(noted, longest);
            }
            let total: i64 = spans
                .iter()
                .filter_map(|span| span.attribute(keys::NETWORK_TOTAL_MS)?.as_i64())
                .sum();
            prop_assert_eq!(fold.bands.unwrap_or_default().network_ms, total as f64);
            let all: BTreeSet<_> = spans.iter().map(terms).flat_map(|of| [of.name, of.service].into_iter().chain(of.user)).collect();
            prop_assert!(fold.terms.iter().eq(&all));
        }

        #[test]
        fn decoding_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let columns = Columns { start_ns: i64::MAX, span_count: 1, error_count: 0 };
            let _ = Fold::from_bytes(&bytes, columns);
        }
    }

    #[test]
    fn times_too_large_for_sqlite_are_clamped() {
        assert_eq!(column_ns(u64::MAX), i64::MAX);
        assert_eq!(column_ns(7), 7);
    }

    #[test]
    fn services_and_terms_are_bounded() {
        let mut span = Span::new(
            TraceId::from_bytes([1; 16]).unwrap(),
            SpanId::from_bytes([1; 8]).unwrap(),
            Arc::new(Resource::default()),
            Arc::new(Scope::default()),
        );
        let of = |number| SpanTerms { name: number, service: 10_000 + number, user: None, route: None };
        span.start_ns = 5_000;
        let mut fold = Fold::of(&span, of(0));
        for number in 1..5_000 {
            span.start_ns -= 1;
            fold.add(&span, of(number));
        }
        assert_eq!((fold.services.len(), fold.terms.len()), (MAX_SERVICES, MAX_TERMS));
        assert_eq!(fold.services[0], (1, 14_999), "the earliest services are kept");
    }
}
