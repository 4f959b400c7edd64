//! The model of a trace that the page draws: tree, services, times, network.

use std::collections::HashMap;

use throughline_context::keys;
use throughline_inspector_api::{AttributeValue, Span, SpanKind, StatusCode, Trace, Warning};

use crate::{
    band::{self, Figures, Segment},
    log::Logs,
    timeline::Window,
    tree::Tree,
};

/// The clock in which times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The clock that recorded each time.
    Raw,
    /// The clock of the trace's root.
    Aligned,
}

/// The network timing drawn inside a fetch span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// The phases of the request.
    pub segments: Vec<Segment>,
    /// The figures, if the server sent its times.
    pub figures: Option<Figures>,
}

/// A trace and everything derived from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The trace id, 32 hex digits.
    pub trace_id: String,
    /// The spans, in the order of the response.
    pub spans: Vec<Span>,
    /// The tree of the spans.
    pub tree: Tree,
    /// The spans from top to bottom with nothing folded.
    pub order: Vec<u32>,
    /// The position of each span in `order`.
    pub rank: Vec<usize>,
    /// The services, in order of first appearance.
    pub services: Vec<String>,
    /// The index of each span's service.
    pub service_of: Vec<usize>,
    /// The network timing of each span.
    pub network: Vec<Network>,
    /// The sum of the measured network times, in milliseconds, if there is any.
    pub network_ms: Option<f64>,
    /// The log records of the trace.
    pub logs: Logs,
    /// The number of failed spans.
    pub errors: usize,
    /// `user.id`, or else `app.user_id`, if a span has one.
    pub user: Option<String>,
    by_id: HashMap<String, usize>,
}

impl Model {
    /// Builds the model of `trace`.
    #[must_use]
    pub fn new(trace: Trace) -> Self {
        let Trace { trace_id, spans, logs } = trace;
        let tree = Tree::new(spans.iter().map(|span| (span.span_id.as_str(), span.parent_span_id.as_deref())));
        let order: Vec<u32> = tree.rows(|_| false).iter().map(|row| row.span).collect();
        let mut rank = vec![0; spans.len()];
        for (place, span) in order.iter().enumerate() {
            rank[*span as usize] = place;
        }
        let mut by_id = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            by_id.entry(span.span_id.clone()).or_insert(index);
        }
        let logs = Logs::new(logs, &spans, &by_id, root_of(&tree, &spans));
        let mut services: Vec<String> = Vec::new();
        let service_of = spans
            .iter()
            .map(|span| {
                services.iter().position(|service| *service == span.service).unwrap_or_else(|| {
                    services.push(span.service.clone());
                    services.len() - 1
                })
            })
            .collect();
        let network: Vec<Network> = spans
            .iter()
            .map(|span| match span.kind {
                SpanKind::Client => {
                    Network { segments: band::segments(&span.attributes), figures: band::figures(&span.attributes) }
                }
                _ => Network::default(),
            })
            .collect();
        let network_ms =
            network.iter().filter_map(|network| Some(network.figures.as_ref()?.total_ms)).reduce(|a, b| a + b);
        // As in the list: the user of the earliest span that has one.
        let users = spans.iter().filter_map(|span| Some((span.start_ns, &span.span_id, user_of(span)?)));
        let user = users.min_by_key(|(start_ns, span_id, _)| (*start_ns, *span_id)).map(|(_, _, user)| user);
        let errors = spans.iter().filter(|span| is_error(span)).count();
        Self {
            trace_id,
            spans,
            tree,
            order,
            rank,
            services,
            service_of,
            network,
            network_ms,
            logs,
            errors,
            user,
            by_id,
        }
    }

    /// Returns the span that names the trace: the first root without a parent id, or else the first root.
    #[must_use]
    pub fn root(&self) -> Option<&Span> {
        root_of(&self.tree, &self.spans).and_then(|root| self.spans.get(root))
    }

    /// Returns the start and the end of a span, in Unix nanoseconds.
    #[must_use]
    pub fn times(&self, span: usize, clock: Clock) -> (i64, i64) {
        self.spans.get(span).map_or((0, 0), |span| times(span, clock))
    }

    /// Returns the time from the first start to the last end.
    #[must_use]
    pub fn window(&self, clock: Clock) -> Window {
        Window::around(self.spans.iter().map(|span| times(span, clock)))
    }

    /// Returns the index of a span.
    #[must_use]
    pub fn position(&self, span_id: &str) -> Option<usize> {
        self.by_id.get(span_id).copied()
    }

    /// Returns the warnings about a span, as sentences.
    #[must_use]
    pub fn warnings(&self, span: usize) -> Vec<&'static str> {
        let Some(span) = self.spans.get(span) else { return Vec::new() };
        let mut words: Vec<&'static str> = span.warnings.iter().copied().map(warning_words).collect();
        if self.spans.iter().filter(|other| other.span_id == span.span_id).count() > 1 {
            words.push("Duplicate: another span of this trace has the same id.");
        }
        words
    }
}

fn root_of(tree: &Tree, spans: &[Span]) -> Option<usize> {
    let roots = || tree.roots().iter().map(|root| *root as usize);
    let has_no_parent = |root: &usize| spans.get(*root).is_some_and(|span| span.parent_span_id.is_none());
    roots().find(has_no_parent).or_else(|| roots().next())
}

/// Returns the user of a span as text, from [`keys::USER_IDS`].
fn user_of(span: &Span) -> Option<String> {
    keys::USER_IDS.iter().find_map(|key| match &span.attributes.iter().find(|attribute| attribute.key == *key)?.value {
        AttributeValue::String(user) if !user.is_empty() => Some(user.clone()),
        AttributeValue::Int(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Returns the start and the end of a span, in Unix nanoseconds; the end is never before the start.
#[must_use]
pub fn times(span: &Span, clock: Clock) -> (i64, i64) {
    let align = match clock {
        Clock::Raw => 0,
        Clock::Aligned => span.align_ns,
    };
    let start = i64::try_from(span.start_ns).unwrap_or(i64::MAX).saturating_add(align);
    (start, start.saturating_add_unsigned(span.duration_ns))
}

/// Returns whether a span failed.
#[must_use]
pub fn is_error(span: &Span) -> bool {
    span.status == StatusCode::Error
}

/// Returns a warning as a sentence.
#[must_use]
pub const fn warning_words(warning: Warning) -> &'static str {
    match warning {
        Warning::Orphan => "Orphan: the parent span has not arrived.",
        Warning::ClockInconsistent => {
            "Clock inconsistent: the span ends before it starts, or its end is far from the time it was received."
        }
        Warning::UnverifiedJoin => "Unverified join: after alignment, the span does not fit inside its fetch span.",
    }
}

/// Returns the name of a span kind.
#[must_use]
pub const fn kind_words(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use throughline_inspector_api::Attribute;

    pub(crate) fn span(id: &str, parent: Option<&str>, start_ns: u64, duration_ns: u64) -> Span {
        Span {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            span_id: id.into(),
            parent_span_id: parent.map(Into::into),
            name: id.into(),
            kind: SpanKind::Internal,
            service: "web".into(),
            start_ns,
            duration_ns,
            align_ns: 0,
            status: StatusCode::Unset,
            status_message: String::new(),
            attributes: Vec::new(),
            resource: Vec::new(),
            scope: String::new(),
            events: Vec::new(),
            links: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn model(spans: Vec<Span>) -> Model {
        Model::new(Trace { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(), spans, logs: Vec::new() })
    }

    #[test]
    fn services_are_in_the_order_of_their_first_span() {
        let mut spans = vec![
            span("a", None, 0, 9),
            span("b", Some("a"), 1, 5),
            span("c", Some("b"), 2, 1),
            span("d", Some("a"), 3, 1),
        ];
        spans[1].service = "api".into();
        spans[2].service = "sqlite".into();
        spans[3].service = "api".into();
        let model = model(spans);
        assert_eq!(model.services, ["web", "api", "sqlite"]);
        assert_eq!(model.service_of, [0, 1, 2, 1]);
    }

    #[test]
    fn the_user_is_that_of_the_earliest_span_and_user_id_wins() {
        let user = |key: &str, value| vec![Attribute { key: key.into(), value }];
        let text = |text: &str| AttributeValue::String(text.into());
        let mut spans = vec![span("a", None, 2, 9), span("b", Some("a"), 1, 5), span("c", Some("b"), 0, 1)];
        spans[0].attributes = user("user.id", text("late"));
        spans[1].attributes = [user(keys::APP_USER_ID, text("yuki")), user("user.id", text("u-4711"))].concat();
        assert_eq!(model(spans.clone()).user.as_deref(), Some("u-4711"));
        spans[1].attributes = [user("user.id", text("")), user(keys::APP_USER_ID, text("yuki"))].concat();
        assert_eq!(model(spans.clone()).user.as_deref(), Some("yuki"));
        spans[2].attributes = user("user.id", AttributeValue::Int(7));
        assert_eq!(model(spans).user.as_deref(), Some("7"));
    }

    #[test]
    fn alignment_moves_the_window() {
        let mut spans = vec![span("a", None, 1_000_000, 80_000), span("b", Some("a"), 9_000_000, 10_000)];
        spans[1].align_ns = -7_980_000;
        let model = model(spans);
        assert_eq!(model.window(Clock::Raw).width_ns(), 8_010_000);
        assert_eq!(model.window(Clock::Aligned).width_ns(), 80_000);
        assert_eq!(model.times(1, Clock::Aligned), (1_020_000, 1_030_000));
    }

    #[test]
    fn an_orphan_does_not_name_a_trace_that_has_a_root() {
        let model = model(vec![span("a", Some("gone"), 0, 1), span("b", None, 5, 1)]);
        assert_eq!(model.root().map(|span| span.name.as_str()), Some("b"));
    }

    #[test]
    fn network_times_add_up_and_are_none_for_a_trace_without_any() {
        let mut fetch = span("a", None, 0, 100);
        fetch.kind = SpanKind::Client;
        for (key, value) in [
            (keys::NETWORK_TOTAL_MS, 40.0),
            (keys::NETWORK_UPLINK_MS, 20.0),
            (keys::NETWORK_DOWNLINK_MS, 20.0),
            (keys::NETWORK_ERROR_MS, 1.0),
        ] {
            fetch.attributes.push(Attribute { key: key.into(), value: AttributeValue::Double(value) });
        }
        let mut other = fetch.clone();
        other.span_id = "b".into();
        assert_eq!(model(vec![fetch, other]).network_ms, Some(80.0));
        assert_eq!(model(vec![span("a", None, 0, 1)]).network_ms, None);
    }

    #[test]
    fn a_duplicate_has_a_warning() {
        let model = model(vec![span("a", None, 0, 1), span("a", None, 0, 1)]);
        assert!(model.warnings(1)[0].starts_with("Duplicate"));
    }
}
