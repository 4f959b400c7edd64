//! The names of sinks, and of their cursors in the tables.

use std::{fmt, str::FromStr, sync::Arc};

use throughline_otlp::Signal;

/// The maximum number of characters of a sink's name.
const MAX_NAME_CHARS: usize = 64;

/// The name of a sink. A sink resumes delivery where it left off as long as its name stays the same.
///
/// A name has 1 to 64 characters, without slashes, whitespace and control characters. A slash separates it from the signal in the
/// names of its cursors.
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

/// The reason that a text is not a valid name of a sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkNameError {
    /// The name is empty or too long.
    #[error("the name of a sink has {0} characters, expected 1 to {MAX_NAME_CHARS}")]
    Length(usize),
    /// The name has a slash, so it could be the name of another sink's cursor.
    #[error(
        "the name `{0}` of a sink contains a slash, which could clash with the name of another sink's cursor; remove it"
    )]
    Slash(String),
    /// The name has a space or a control character.
    #[error("the name {0:?} of a sink contains a space or a control character; remove it")]
    Character(String),
}

impl SinkName {
    /// Creates a name from a text.
    ///
    /// # Errors
    /// [`SinkNameError`] if the text is not a valid name.
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

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the sink's cursor for the records of a signal.
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

/// The name of a sink's cursor for the records of one signal, as used in the tables, statuses and logs. It is created by
/// [`SinkName::cursor`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkCursor(Arc<str>);

impl SinkCursor {
    /// Returns the name of the cursor: the name of the sink, with the suffix `/logs` for log records and `/metrics` for data
    /// points.
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
    fn the_names_of_cursors_do_not_change() {
        // They are stored in existing files: after a change, all records would be sent again.
        let name = SinkName::new("honeycomb").unwrap();
        let names = [Signal::Traces, Signal::Logs, Signal::Metrics].map(|signal| name.cursor(signal).to_string());
        assert_eq!(names, ["honeycomb", "honeycomb/logs", "honeycomb/metrics"]);
    }

    #[test]
    fn an_invalid_name_is_rejected_with_the_reason() {
        let error = |name: &str| SinkName::new(name).unwrap_err().to_string();
        assert!(error("a/logs").contains("`a/logs` of a sink contains a slash"), "{}", error("a/logs"));
        assert!(error("").contains("0 characters, expected 1 to 64"));
        assert!(error(&"x".repeat(65)).contains("has 65 characters"));
        assert!(error("a b").contains("\"a b\""));
        assert!(error("a\n").contains("\"a\\n\""), "{}", error("a\n"));
        assert!(SinkName::new(&"ü".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn no_two_cursors_have_the_same_name(a in "[a-c/]{1,8}|[a-c]/(logs|metrics)", b in "[a-c/]{1,8}|[a-c]/(logs|metrics)") {
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
