//! State kept in the address bar: the filter of the list and the view of a trace.

use throughline_inspector_api::TraceSummary;

/// The filter of the list of traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Search text; empty for any.
    pub text: String,
    /// Only traces with an error.
    pub errors: bool,
    /// The shortest duration of a trace, in milliseconds.
    pub min_ms: Option<f64>,
}

impl Filter {
    /// Reads the filter from the query parameters. An invalid parameter is ignored.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            text: get("text").map_or_else(String::new, |text| text.trim().to_owned()),
            errors: get("error").is_some_and(|value| value == "true"),
            min_ms: get("min_ms").and_then(|value| value.parse().ok()).filter(|ms: &f64| ms.is_finite() && *ms > 0.0),
        }
    }

    /// Returns the query string with its `?`; empty if nothing is filtered.
    ///
    /// The page and the API use the same parameter names.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = Query::default();
        if !self.text.is_empty() {
            query.push("text", &self.text);
        }
        if self.errors {
            query.push("error", "true");
        }
        if let Some(ms) = self.min_ms {
            query.push("min_ms", &ms.to_string());
        }
        query.text
    }

    /// Returns whether the filter matches every trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a trace matches the filter; `None` if its summary cannot decide, because the text is also
    /// searched in the names of its spans.
    #[must_use]
    pub fn admits(&self, summary: &TraceSummary) -> Option<bool> {
        if self.errors && summary.error_count == 0
            || self.min_ms.is_some_and(|ms| (summary.duration_ns as f64) < ms * 1e6)
        {
            return Some(false);
        }
        let needle = self.text.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&needle);
        let found = has(&summary.root_name)
            || summary.services.iter().any(|service| has(service))
            || summary.user.as_deref().is_some_and(has)
            || summary.trace_id.starts_with(&needle);
        found.then_some(true)
    }

    /// Returns the API path of one page of the list.
    #[must_use]
    pub fn api(&self, limit: u32, before: Option<&str>) -> String {
        let mut query = Query { text: self.query() };
        query.push("limit", &limit.to_string());
        if let Some(before) = before {
            query.push("before", before);
        }
        format!("/api/traces{}", query.text)
    }
}

/// The view of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The selected span, 16 hex digits.
    pub span: Option<String>,
    /// Whether times are shown as recorded instead of aligned.
    pub raw: bool,
    /// The visible range, as offsets from the start of the trace in nanoseconds; `None` for the whole trace.
    pub range_ns: Option<(u64, u64)>,
}

impl View {
    /// Reads the view from the query parameters. An invalid parameter is ignored.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let ns = |key: &str| get(key).and_then(|value| ms_to_ns(&value));
        Self {
            span: get("span").filter(|span| span.len() == 16 && span.bytes().all(|byte| byte.is_ascii_hexdigit())),
            raw: get("t").is_some_and(|value| value == "raw"),
            range_ns: ns("from").zip(ns("to")).filter(|(from, to)| from < to),
        }
    }

    /// Returns the query string with its `?`; empty for the default view. `from` and `to` are in milliseconds.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = Query::default();
        if let Some(span) = &self.span {
            query.push("span", span);
        }
        if self.raw {
            query.push("t", "raw");
        }
        if let Some((from, to)) = self.range_ns {
            query.push("from", &ns_to_ms(from));
            query.push("to", &ns_to_ms(to));
        }
        query.text
    }
}

/// Returns whether `id` is a trace id: 32 hex digits, not all zero.
#[must_use]
pub fn is_trace_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0')
}

/// A query string under construction.
#[derive(Default)]
struct Query {
    text: String,
}

impl Query {
    fn push(&mut self, key: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '?' } else { '&' });
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(&encode(value));
    }
}

/// Percent-encodes every character that RFC 3986 does not list as unreserved.
#[must_use]
pub fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// Formats nanoseconds as exact decimal milliseconds: `12.345678`.
fn ns_to_ms(ns: u64) -> String {
    let (whole, rest) = (ns / 1_000_000, ns % 1_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:06}").trim_end_matches('0').to_owned() }
}

fn ms_to_ns(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 6 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let rest: u64 = format!("{rest:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a query parameter the way `URLSearchParams` does in the browser.
    fn get<'a>(query: &'a str) -> impl Fn(&str) -> Option<String> + 'a {
        move |key| {
            query.trim_start_matches('?').split('&').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                if name != key {
                    return None;
                }
                let mut bytes = Vec::new();
                let mut rest = value.as_bytes();
                while let Some((&byte, tail)) = rest.split_first() {
                    if byte == b'%' {
                        bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                        rest = &tail[2..];
                    } else {
                        bytes.push(byte);
                        rest = tail;
                    }
                }
                Some(String::from_utf8(bytes).unwrap())
            })
        }
    }

    #[test]
    fn default_views_have_no_query() {
        assert_eq!(Filter::default().query(), "");
        assert_eq!(View::default().query(), "");
        assert_eq!(Filter::default().api(50, None), "/api/traces?limit=50");
        assert_eq!(Filter::default().api(50, Some("7-a")), "/api/traces?limit=50&before=7-a");
    }

    #[test]
    fn invalid_parameters_are_ignored() {
        let view = View::read(get("?span=xyz&t=sideways&from=9&to=3"));
        assert_eq!(view, View::default());
        assert_eq!(Filter::read(get("?min_ms=-3&error=perhaps")), Filter::default());
        assert_eq!(Filter::read(get("?min_ms=inf")), Filter::default());
    }

    #[test]
    fn a_filter_that_a_summary_cannot_decide_is_left_open() {
        let summary = TraceSummary {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            root_name: "submit Crud".into(),
            root_service: "web".into(),
            has_root: true,
            start_ns: 1,
            duration_ns: 84_000_000,
            span_count: 7,
            error_count: 0,
            services: vec!["web".into(), "api".into()],
            user: Some("andrewbrown".into()),
            bands: None,
        };
        let filter = |text: &str, errors, min_ms| Filter { text: text.into(), errors, min_ms }.admits(&summary);
        for text in ["", "CRUD", "api", "andrew", "4bf9"] {
            assert_eq!(filter(text, false, Some(84.0)), Some(true), "{text}");
        }
        assert_eq!(filter("INSERT", false, None), None);
        assert_eq!(filter("INSERT", true, None), Some(false));
        assert_eq!(filter("", false, Some(84.1)), Some(false));
    }

    #[test]
    fn only_32_hex_digits_are_a_trace_id() {
        assert!(is_trace_id("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(!is_trace_id("00000000000000000000000000000000"));
        assert!(!is_trace_id("4bf92f3577b34da6a3ce929d0e0e473"));
        assert!(!is_trace_id("zbf92f3577b34da6a3ce929d0e0e4736"));
    }

    proptest! {
        #[test]
        fn a_view_round_trips_through_its_query(span in prop::option::of("[0-9a-f]{16}"), raw: bool, from in 0_u64..1 << 50, width in prop::option::of(1_u64..1 << 50)) {
            let view = View { span, raw, range_ns: width.map(|width| (from, from + width)) };
            let query = view.query();
            prop_assert_eq!(View::read(get(&query)), view);
        }

        #[test]
        fn a_filter_round_trips_through_its_query(text in "\\PC{0,20}", errors: bool, min_ms in prop::option::of(0.001_f64..1e9)) {
            let filter = Filter { text: text.trim().to_owned(), errors, min_ms };
            let query = filter.query();
            prop_assert!(query.is_ascii());
            prop_assert_eq!(Filter::read(get(&query)), filter);
        }
    }
}
