//! Redaction: secrets in names and attributes are recognized by their form and removed before a record is stored.

mod text;

use std::str::FromStr;

use regex::Regex;
use throughline_otlp::{KeyValue, LogRecord, Scope, Span, Value};

/// The text that replaces a secret.
pub const REDACTED: &str = "[redacted]";

/// The maximum number of passes over a text.
const MAX_PASSES: usize = 8;

/// A rule by which secrets are recognized.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedactionRule {
    /// Credentials: bearer tokens, `authorization` headers, JSON web tokens, and the values of attributes and
    /// parameters with names such as `password`, `api_key` or `cookie`.
    Authorization,
    /// Payment card numbers: 13 to 19 digits, optionally separated by spaces or dashes, with the prefix of a known
    /// issuer and a correct check digit (Luhn).
    Card,
    /// Email addresses.
    Email,
    /// All matches of a regular expression.
    Pattern(Regex),
}

/// The error for an invalid regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalid regular expression: {0}")]
pub struct PatternError(#[source] regex::Error);

/// The error for an unknown rule name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown redaction rule `{0}`: expected authorization, card or email")]
pub struct UnknownRedactionRule(String);

impl FromStr for RedactionRule {
    type Err = UnknownRedactionRule;

    fn from_str(name: &str) -> Result<Self, UnknownRedactionRule> {
        match name {
            "authorization" => Ok(Self::Authorization),
            "card" => Ok(Self::Card),
            "email" => Ok(Self::Email),
            other => Err(UnknownRedactionRule(other.to_owned())),
        }
    }
}

impl RedactionRule {
    /// Creates a rule that removes all matches of a regular expression, in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// Returns an error if the regular expression is invalid or too large.
    pub fn pattern(text: &str) -> Result<Self, PatternError> {
        Regex::new(text).map(Self::Pattern).map_err(PatternError)
    }

    /// Returns all built-in rules: [`Self::Authorization`], [`Self::Card`] and [`Self::Email`].
    #[must_use]
    pub fn default_rules() -> Vec<Self> {
        vec![Self::Authorization, Self::Card, Self::Email]
    }
}

/// The endings of attribute keys whose values are always redacted.
const SECRET_KEYS: [&str; 12] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "refresh_token",
    "id_token",
    "private_key",
];

/// Applies redaction rules to records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    rules: Vec<RedactionRule>,
}

impl Redactor {
    pub(crate) fn new(rules: Vec<RedactionRule>) -> Self {
        Self { rules }
    }

    /// Removes secrets from a span, except from its resource and scope, which are shared and redacted separately.
    /// Increments `count` for each value that held a secret.
    pub(crate) fn span(&self, span: &mut Span, count: &mut u64) {
        self.text(&mut span.name, count);
        self.text(&mut span.status.message, count);
        self.text(&mut span.trace_state, count);
        self.attributes(&mut span.attributes, count);
        for event in &mut span.events {
            self.text(&mut event.name, count);
            self.attributes(&mut event.attributes, count);
        }
        for link in &mut span.links {
            self.text(&mut link.trace_state, count);
            self.attributes(&mut link.attributes, count);
        }
    }

    /// Removes secrets from a log record, except from its resource and scope.
    pub(crate) fn log_record(&self, record: &mut LogRecord, count: &mut u64) {
        self.text(&mut record.event_name, count);
        self.text(&mut record.severity_text, count);
        self.value(&mut record.body, count);
        self.attributes(&mut record.attributes, count);
    }

    /// Removes secrets from a scope.
    pub(crate) fn scope(&self, scope: &mut Scope, count: &mut u64) {
        self.text(&mut scope.name, count);
        self.text(&mut scope.version, count);
        self.text(&mut scope.schema_url, count);
        self.attributes(&mut scope.attributes, count);
    }

    pub(crate) fn attributes(&self, attributes: &mut [KeyValue], count: &mut u64) {
        for attribute in attributes {
            if self.is_secret(&attribute.key) && attribute.value != Value::Empty {
                let original = std::mem::replace(&mut attribute.value, Value::from(REDACTED));
                *count += u64::from(original != attribute.value);
            } else {
                self.value(&mut attribute.value, count);
            }
            self.text(&mut attribute.key, count);
        }
    }

    fn is_secret(&self, key: &str) -> bool {
        self.rules.iter().any(|rule| matches!(rule, RedactionRule::Authorization))
            && SECRET_KEYS.iter().any(|secret| {
                let tail = key.len().checked_sub(secret.len()).and_then(|start| key.get(start..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(secret))
            })
    }

    /// Removes secrets from a value. The recursion is bounded by [`throughline_otlp::MAX_VALUE_DEPTH`].
    fn value(&self, value: &mut Value, count: &mut u64) {
        match value {
            Value::String(text) => self.text(text, count),
            Value::Bytes(bytes) => {
                if let Ok(text) = str::from_utf8(bytes)
                    && let Some(redacted) = self.redacted(text)
                {
                    *bytes = redacted.into_bytes();
                    *count += 1;
                }
            }
            // A card number may be sent as an integer.
            Value::Int(number) => {
                if self.redacted(&number.to_string()).is_some() {
                    *value = Value::from(REDACTED);
                    *count += 1;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value, count)),
            Value::Map(entries) => self.attributes(entries, count),
            Value::Empty | Value::Bool(_) | Value::Double(_) => {}
        }
    }

    fn text(&self, text: &mut String, count: &mut u64) {
        if let Some(redacted) = self.redacted(text) {
            *text = redacted;
            *count += 1;
        }
    }

    /// Returns the text without secrets, or `None` if it had none. Redacting the result again changes nothing.
    pub(crate) fn redacted(&self, text: &str) -> Option<String> {
        let mut redacted = text::pass(&self.rules, text)?;
        // A removed secret may have hidden another one from the patterns, since they match at word boundaries.
        for _ in 1..MAX_PASSES {
            match text::pass(&self.rules, &redacted) {
                Some(next) => redacted = next,
                None => return Some(redacted),
            }
        }
        // Only deliberately crafted text needs this many passes.
        Some(REDACTED.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use throughline_context::{SpanId, TraceId};
    use throughline_otlp::{Event, Link};

    fn redactor() -> Redactor {
        Redactor::new(RedactionRule::default_rules())
    }

    fn redact(text: &str) -> String {
        redactor().redacted(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn secrets_are_removed_and_other_text_is_kept() {
        for (text, redacted) in [
            ("ada@example.com9", "[redacted]9"),
            ("e@2x.comBada@example.com", "[redacted]@example.com"),
            ("sent Authorization: Bearer abc.def-123 to x", "sent [redacted] to x"),
            ("authorization=Basic dXNlcjpwYXNz", "[redacted]"),
            ("{\"authorization\":\"Bearer a1b2c3d4\"}", "{\"[redacted]\"}"),
            ("bearer a1b2c3d4e5", "[redacted]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[redacted]"),
            ("/cb?access_token=s3cret&x=1#f", "/cb?access_token=[redacted]&x=1#f"),
            ("{\"password\": \"hunter2\"}", "{\"password\": \"[redacted]\"}"),
            ("card 4111 1111 1111 1111 declined", "card [redacted] declined"),
            ("5555-5555-5555-4444", "[redacted]"),
            ("378282246310005", "[redacted]"),
            ("4111111111111111 12/27", "[redacted] 12/27"),
            ("07 4111 1111 1111 1111 123", "07 [redacted] 123"),
            ("41 11 11 11 11 11 11 11", "[redacted]"),
            ("hi ada@example.com!", "hi [redacted]!"),
            ("/u?mail=ada%40example.co.uk&x", "/u?mail=[redacted]&x"),
        ] {
            assert_eq!(redact(text), redacted);
        }
    }

    #[test]
    fn text_that_resembles_a_secret_is_kept() {
        for text in [
            "",
            "GET /api/activities/{uuid}",
            "the bearer shouted",
            "4111 1111 1111 1112",
            "1732190000000",
            "1732190000000000000",
            "0af7651916cd43dd8448eb211c80319c",
            "7f3e7f3e-1111-4111-8111-111111111111",
            "logo@2x.png",
            "@yuki",
            "a @ b",
            "password is wrong",
            "rgba(0, 0, 0)",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    const MAIL: &str = "ada@example.com";

    fn span_with_secrets() -> Span {
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([1; 8]).unwrap());
        let mut span = Span::new(trace_id, span_id, Arc::default(), Arc::default());
        let nested = Value::Map(vec![KeyValue::new("k", vec![Value::from(MAIL), Value::Bytes(MAIL.into())])]);
        let attributes = vec![
            KeyValue::new("k", MAIL),
            KeyValue { key: "nested".to_owned(), value: nested },
            KeyValue::new(MAIL, 1),
            KeyValue::new("card", 4_111_111_111_111_111),
            KeyValue::new("http.request.header.Cookie", vec![Value::from("a=b")]),
        ];
        span.name = format!("mail to {MAIL}");
        span.status.message = MAIL.to_owned();
        span.attributes.clone_from(&attributes);
        span.events = vec![Event { name: MAIL.to_owned(), attributes: attributes.clone(), ..Event::default() }];
        span.links = vec![Link { trace_state: MAIL.to_owned(), attributes, ..Link::new(trace_id, span_id) }];
        span
    }

    #[test]
    fn secrets_are_removed_from_every_field() {
        let mut span = span_with_secrets();
        let mut count = 0;
        redactor().span(&mut span, &mut count);
        let shown = format!("{span:?}");
        for secret in [MAIL, "4111111111111111", "a=b", "97, 100, 97, 64"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert_eq!(span.name, "mail to [redacted]");
        assert_eq!(count, 4 + 3 * 6);

        let mut record = LogRecord::new(Arc::default(), Arc::default());
        (record.body, record.event_name) = (Value::from(MAIL), MAIL.to_owned());
        let mut scope = Scope { name: MAIL.to_owned(), ..Scope::default() };
        redactor().log_record(&mut record, &mut count);
        redactor().scope(&mut scope, &mut count);
        assert!(!format!("{record:?}{scope:?}").contains(MAIL));
    }

    #[test]
    fn only_the_configured_rules_apply() {
        let card_only = Redactor::new(vec!["card".parse().unwrap()]);
        assert_eq!(card_only.redacted("ada@example.com password=x"), None);
        assert!("cards".parse::<RedactionRule>().is_err());
        let own = Redactor::new(vec![RedactionRule::Pattern(Regex::new("emp-[0-9]+").unwrap())]);
        assert_eq!(own.redacted("by emp-17").as_deref(), Some("by [redacted]"));
        let mut span = span_with_secrets();
        Redactor::default().span(&mut span, &mut 0);
        assert_eq!(span, span_with_secrets());
    }

    /// Secrets and text that resembles one, without separators.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("ada@example.com"),
            Just("a@b.cc"),
            Just("@d.ee"),
            Just("%40d.ee"),
            Just("@2x.png"),
            Just("aaaaaaaaaaaaaaaaaaaaaaaa"),
            Just("4111111111111111"),
            Just("4111 1111 1111 1111"),
            Just("12"),
            Just(" "),
            Just("-"),
            Just("password="),
            Just("api_key: "),
            Just("bearer "),
            Just("authorization="),
            Just("a1b2c3d4e5"),
            Just("eyJhbGciOi.eyJzdWIi.c2ln"),
            Just("&"),
            Just("\""),
            Just("x"),
            Just("_"),
            Just("."),
            Just(REDACTED),
            Just("[red"),
            Just("acted]"),
            Just("é"),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn patterns() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("red"),
            Just("."),
            Just("x*"),
            Just("(?s).*"),
            Just(r"\[|\]"),
            Just("acted.a"),
            Just("[a-z]+"),
            Just("emp-[0-9]+")
        ]
    }

    #[test]
    fn a_secret_next_to_a_removed_secret_is_removed() {
        // `password` begins at a word boundary only after the address is removed.
        let text = "a@b.aaaaaaaaaaaaaaaaaaaaaaaapassword=hunter2";
        assert_eq!(redact(text), "[redacted]password=[redacted]");
        assert_eq!(redact("a@b.cc@d.ee"), "[redacted]@d.ee");
    }

    #[test]
    fn a_custom_pattern_does_not_match_inside_a_redaction_mark() {
        let with = |pattern: &str, text: &str| {
            Redactor::new(vec![RedactionRule::Email, RedactionRule::pattern(pattern).unwrap()]).redacted(text)
        };
        assert_eq!(with("red", "a red [redacted]").as_deref(), Some("a [redacted] [redacted]"));
        assert_eq!(with("red", "[redacted]"), None);
        assert_eq!(with("x*", "axb").as_deref(), Some("a[redacted]b"));
        assert_eq!(with("secret: .*", "secret: ada@example.com and more").as_deref(), Some("[redacted]"));
        assert_eq!(with("acted.!", "ada@example.com!").as_deref(), Some("[redacted]"));
    }

    proptest! {
        #[test]
        fn changed_text_contains_the_redaction_mark(text in "[a-z0-9 @.=:/%-]{0,60}|\\PC{0,40}") {
            let once = redact(&text);
            prop_assert!(once == text || once.contains(REDACTED));
        }

        #[test]
        fn redaction_is_idempotent(text in texts(), own in patterns()) {
            let once = redact(&text);
            prop_assert_eq!(redact(&once), once);
            let rules = RedactionRule::default_rules().into_iter().chain([RedactionRule::pattern(own).unwrap()]).collect();
            let redactor = Redactor::new(rules);
            let once = redactor.redacted(&text).unwrap_or_else(|| text.clone());
            prop_assert_eq!(redactor.redacted(&once), None, "{}", once);
        }

        #[test]
        fn redaction_of_attributes_is_idempotent(key in texts(), value in texts()) {
            let mut once = vec![KeyValue::new(key, value)];
            redactor().attributes(&mut once, &mut 0);
            let mut twice = once.clone();
            let mut count = 0;
            redactor().attributes(&mut twice, &mut count);
            prop_assert_eq!((twice, count), (once, 0));
        }
    }
}
