//! Parsing of the header, as done by user agents.

use std::borrow::Cow;

/// The maximum number of metrics read from one header.
const MAX_METRICS: usize = 64;

/// An entry of a `Server-Timing` header.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    /// The name, a token.
    pub name: Cow<'a, str>,
    /// `dur`, in milliseconds; `None` if it is absent or not a finite number.
    pub dur_ms: Option<f64>,
    /// `desc`, without quotes and escapes.
    pub desc: Option<Cow<'a, str>>,
}

/// Parses a header value, up to its first 64 metrics. Lenient like user agents: the first of several parameters with
/// the same name counts, unknown parameters and stray characters are skipped, and an unterminated quoted string is
/// empty.
#[must_use]
pub fn parse(header: &str) -> Vec<Metric<'_>> {
    let mut reader = Reader { rest: header };
    let mut metrics = Vec::new();
    while metrics.len() < MAX_METRICS && !reader.rest.is_empty() {
        reader.skip_blanks();
        if let Some(metric) = reader.metric() {
            metrics.push(metric);
        }
        reader.skip_to(b",");
        reader.take(b',');
    }
    metrics
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn metric(&mut self) -> Option<Metric<'a>> {
        let name = self.token()?;
        let (mut dur, mut desc) = (None, None);
        loop {
            self.skip_to(b";,");
            if !self.take(b';') {
                break;
            }
            self.skip_blanks();
            let Some(param) = self.token() else { continue };
            self.skip_blanks();
            let value = if self.take(b'=') { self.value() } else { Cow::Borrowed("") };
            if param.eq_ignore_ascii_case("dur") {
                dur.get_or_insert(value);
            } else if param.eq_ignore_ascii_case("desc") {
                desc.get_or_insert(value);
            }
        }
        let dur_ms = dur.and_then(|dur| dur.trim().parse().ok()).filter(|dur: &f64| dur.is_finite());
        Some(Metric { name: Cow::Borrowed(name), dur_ms, desc })
    }

    fn value(&mut self) -> Cow<'a, str> {
        self.skip_blanks();
        if self.take(b'"') { self.quoted() } else { Cow::Borrowed(self.token().unwrap_or("")) }
    }

    /// Reads up to the closing quote. A backslash escapes the next character.
    fn quoted(&mut self) -> Cow<'a, str> {
        let mut unescaped: Option<String> = None;
        let mut chars = self.rest.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    let (text, rest) = self.rest.split_at(at);
                    self.rest = rest.get(1..).unwrap_or("");
                    return unescaped.map_or(Cow::Borrowed(text), Cow::Owned);
                }
                '\\' => {
                    let text = unescaped.get_or_insert_with(|| self.rest.split_at(at).0.to_owned());
                    let Some((_, escaped)) = chars.next() else {
                        break;
                    };
                    text.push(escaped);
                }
                char => {
                    if let Some(text) = &mut unescaped {
                        text.push(char);
                    }
                }
            }
        }
        self.rest = "";
        Cow::Borrowed("")
    }

    /// Reads a `token` of RFC 9110 §5.6.2; `None` if there is none.
    fn token(&mut self) -> Option<&'a str> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let end = self.rest.bytes().position(|byte| !is_token(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let rest = self.rest.strip_prefix(char::from(wanted));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_to(&mut self, stops: &[u8]) {
        // Stops are ASCII, so this is a character boundary.
        let at = self.rest.bytes().position(|byte| stops.contains(&byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.split_at(at).1;
    }
}
