//! A trace's row, as a sum over its spans that comes out the same in whatever order they arrive.

use throughline_otlp::{
    Span, Value,
    context::{SpanId, keys},
};

use crate::Bands;

/// How much of a name, a service or a user is kept in rows that lists are made of, in characters.
const TEXT_CHARS: usize = 512;

/// What is known of a trace from some of its spans. Times are Unix nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fold {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) head: Head,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
    pub(crate) user: Option<User>,
    pub(crate) bands: Option<Bands>,
}

/// The span that stands for the trace: a root before any other, then the earliest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) is_root: bool,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) span_id: SpanId,
    pub(crate) name: String,
    pub(crate) service: String,
}

/// The user that the earliest span names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) start_ns: i64,
    pub(crate) span_id: SpanId,
    pub(crate) name: String,
}

impl Fold {
    /// What one span says.
    pub(crate) fn of(span: &Span) -> Self {
        let (start_ns, end_ns) = (column_ns(span.start_ns), column_ns(span.end_ns));
        Self {
            start_ns,
            end_ns,
            head: Head {
                is_root: span.parent_span_id.is_none(),
                start_ns,
                end_ns,
                span_id: span.span_id,
                name: cut(&span.name),
                service: cut(span.service_name()),
            },
            span_count: 1,
            error_count: u64::from(span.is_error()),
            user: user(span).map(|name| User { start_ns, span_id: span.span_id, name }),
            bands: bands(span),
        }
    }

    /// Takes in what another knows.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
        if other.head.order() < self.head.order() {
            self.head = other.head;
        }
        self.span_count = self.span_count.saturating_add(other.span_count);
        self.error_count = self.error_count.saturating_add(other.error_count);
        self.user = either(self.user.take(), other.user, |a, b| if b.order() < a.order() { b } else { a });
        self.bands = either(self.bands, other.bands, sum);
    }

    /// The root's own duration, or from first start to last end; never negative.
    pub(crate) fn duration_ns(&self) -> i64 {
        let (start_ns, end_ns) =
            if self.head.is_root { (self.head.start_ns, self.head.end_ns) } else { (self.start_ns, self.end_ns) };
        end_ns.saturating_sub(start_ns).max(0)
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

/// A time as `SQLite` can hold it; what is beyond the year 2262 becomes that.
pub(crate) fn column_ns(time_ns: u64) -> i64 {
    i64::try_from(time_ns).unwrap_or(i64::MAX)
}

/// The beginning of a text.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

/// `app.user_id`, as text.
pub(crate) fn user(span: &Span) -> Option<String> {
    match span.attribute(keys::APP_USER_ID)? {
        Value::String(name) if !name.is_empty() => Some(cut(name)),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn bands(span: &Span) -> Option<Bands> {
    let ms = |key| span.attribute(key).and_then(Value::as_f64).filter(|ms| ms.is_finite());
    Some(Bands {
        network_ms: ms(keys::NETWORK_TOTAL_MS)?,
        uplink_ms: ms(keys::NETWORK_UPLINK_MS).unwrap_or_default(),
        downlink_ms: ms(keys::NETWORK_DOWNLINK_MS).unwrap_or_default(),
        error_ms: ms(keys::NETWORK_ERROR_MS).unwrap_or_default(),
        server_ms: ms(keys::SERVER_DURATION_MS).unwrap_or_default(),
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
    use std::{collections::BTreeMap, sync::Arc};
    use throughline_otlp::{KeyValue, Resource, Scope, Status, StatusCode, context::TraceId};

    fn span() -> impl Strategy<Value = Span> {
        (any::<bool>(), (0..4_u64, 0..8_u64), any::<bool>(), option::of("[a-c]"), option::of(0..1000_i64)).prop_map(
            |(root, (start_ns, end_ns), error, user, network)| {
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
                if let Some(network) = network {
                    span.attributes.push(KeyValue::new(keys::NETWORK_TOTAL_MS, network));
                }
                span
            },
        )
    }

    /// Spans with different ids, and their order of arrival.
    fn trace() -> impl Strategy<Value = (Vec<Span>, Vec<Span>)> {
        vec(span(), 1..8).prop_flat_map(|mut spans| {
            for (number, span) in (1..).zip(&mut spans) {
                span.span_id = SpanId::from_bytes([number; 8]).unwrap();
                span.name = number.to_string();
            }
            (Just(spans.clone()), Just(spans).prop_shuffle())
        })
    }

    fn fold(spans: &[Span]) -> Fold {
        let mut spans = spans.iter().map(Fold::of);
        let mut fold = spans.next().unwrap();
        spans.for_each(|span| fold.absorb(span));
        fold
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter((spans, shuffled) in trace(), at in any::<prop::sample::Index>()) {
            let whole = fold(&spans);
            prop_assert_eq!(&fold(&shuffled), &whole);
            let (left, right) = shuffled.split_at(at.index(shuffled.len()));
            if !left.is_empty() {
                let mut joined = fold(left);
                joined.absorb(fold(right));
                prop_assert_eq!(joined, whole);
            }
        }

        #[test]
        fn it_says_what_the_spans_say((spans, _) in trace()) {
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
            prop_assert_eq!(&fold.head.name, &root.unwrap_or(first).name);
            let last_end = spans.iter().map(|span| span.end_ns).max().unwrap();
            let duration_ns = match root {
                Some(root) => root.duration_ns(),
                None => last_end.saturating_sub(first.start_ns),
            };
            prop_assert_eq!(fold.duration_ns(), column_ns(duration_ns));
            let named = by_start.values().find_map(|span| user(span));
            prop_assert_eq!(fold.user.map(|user| user.name), named);
            let total: i64 = spans
                .iter()
                .filter_map(|span| span.attribute(keys::NETWORK_TOTAL_MS)?.as_i64())
                .sum();
            prop_assert_eq!(fold.bands.unwrap_or_default().network_ms, total as f64);
        }
    }

    #[test]
    fn times_beyond_sqlite_are_clamped() {
        assert_eq!(column_ns(u64::MAX), i64::MAX);
        assert_eq!(column_ns(7), 7);
    }
}
