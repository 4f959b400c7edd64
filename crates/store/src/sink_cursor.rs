//! What the cursors of sinks are called in the tables: here and nowhere else.

use std::{fmt, str::FromStr, sync::Arc};

use throughline_otlp::Signal;

/// How many characters a sink's name has at most.
const MAX_NAME_CHARS: usize = 64;

/// The name of a sink. As long as it stays the same, delivery goes on where it was.
///
/// It has 1 to 64 characters, none of which is a slash, a space or a control character: its cursors have names that are made of
/// it with a slash.
///
/// ```
/// use throughline_otlp::Signal;
/// use throughline_store::SinkName;
///
/// let name: SinkName = "honeycomb".parse()?;
/// assert_eq!(name.cursor(Signal::Traces).as_str(), "honeycomb");
/// assert_eq!(name.cursor(Signal::Logs).as_str(), "honeycomb/logs");
/// assert!("honeycomb/logs".parse::<SinkName>().is_err());
/// # Ok::<_, throughline_store::SinkNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkName(Arc<str>);

/// Why a text is not the name of a sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkNameError {
    /// It is empty or too long.
    #[error("the name of a sink has 1 to {MAX_NAME_CHARS} characters, not {0}")]
    Length(usize),
    /// It would be the name of another sink's cursor.
    #[error(
        "the name `{0}` of a sink has a slash, and would clash with the names of other sinks' cursors; leave it out"
    )]
    Slash(String),
    /// It has a space or a control character.
    #[error("the name {0:?} of a sink has a space or a control character; leave it out")]
    Character(String),
}

impl SinkName {
    /// Checks a name.
    ///
    /// # Errors
    /// See [`SinkNameError`].
    pub fn new(name: &str) -> Result<Self, SinkNameError> {
        let chars = name.chars().count();
        if chars == 0 || chars > MAX_NAME_CHARS {
            return Err(SinkNameError::Length(chars));
        }
        if name.contains('/') {
            return Err(SinkNameError::Slash(name.to_owned()));
        }
        if name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(SinkNameError::Character(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sink's cursor over the records of a signal.
    #[must_use]
    pub fn cursor(&self, signal: Signal) -> SinkCursor {
        let text = match signal {
            Signal::Traces => Arc::clone(&self.0),
            Signal::Logs => format!("{self}/logs").into(),
            Signal::Metrics => format!("{self}/metrics").into(),
        };
        SinkCursor(text)
    }
}

impl FromStr for SinkName {
    type Err = SinkNameError;

    fn from_str(name: &str) -> Result<Self, SinkNameError> {
        Self::new(name)
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sink's cursor over the records of one signal, as the tables, statuses and logs name it: made by [`SinkName::cursor`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkCursor(Arc<str>);

impl SinkCursor {
    /// Its name: that of the sink for spans, with `/logs` for log records and `/metrics` for data points.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SinkCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_names_of_cursors_stay_as_they_are() {
        // They are in the files of those who use it: another text would send everything again.
        let name = SinkName::new("honeycomb").unwrap();
        let names = [Signal::Traces, Signal::Logs, Signal::Metrics].map(|signal| name.cursor(signal).to_string());
        assert_eq!(names, ["honeycomb", "honeycomb/logs", "honeycomb/metrics"]);
    }

    #[test]
    fn a_name_that_would_clash_is_refused_with_the_reason() {
        let error = |name: &str| SinkName::new(name).unwrap_err().to_string();
        assert!(error("a/logs").contains("`a/logs` of a sink has a slash"), "{}", error("a/logs"));
        assert!(error("").contains("1 to 64 characters, not 0"));
        assert!(error(&"x".repeat(65)).contains("not 65"));
        assert!(error("a b").contains("\"a b\""));
        assert!(error("a\n").contains("\"a\\n\""), "{}", error("a\n"));
        assert!(SinkName::new(&"ü".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn no_two_cursors_have_one_name(a in "[a-c/]{1,8}|[a-c]/(logs|metrics)", b in "[a-c/]{1,8}|[a-c]/(logs|metrics)") {
            let cursors = |name: &str| {
                let name = SinkName::new(name).ok()?;
                Some([Signal::Traces, Signal::Logs, Signal::Metrics].map(|signal| name.cursor(signal)))
            };
            if let (Some(of_a), Some(of_b)) = (cursors(&a), cursors(&b)) {
                for (n, one) in of_a.iter().enumerate() {
                    for (m, other) in of_b.iter().enumerate() {
                        prop_assert_eq!(one == other, a == b && n == m);
                    }
                }
            }
        }
    }
}
