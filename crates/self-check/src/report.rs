//! [`Report`]: the results of all checks.

use std::fmt;

/// The outcome of a check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// The check passed.
    Good,
    /// Tracing works, but perhaps not as intended.
    Doubtful,
    /// Tracing fails at this point.
    Bad,
}

impl Outcome {
    /// Returns `ok`, `doubtful` or `bad`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

/// The result of one check, with its description.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the check, in a word or two.
    pub check: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// What was observed.
    pub what: String,
    /// How to fix it; empty if there is nothing to fix.
    pub help: String,
}

impl Finding {
    /// Creates a finding of a check that passed.
    pub fn good(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Good, what: what.into(), help: String::new() }
    }

    /// Creates a finding that tracing works, but perhaps not as intended.
    pub fn doubtful(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Doubtful, what: what.into(), help: help.into() }
    }

    /// Creates a finding that tracing fails at this point.
    pub fn bad(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Bad, what: what.into(), help: help.into() }
    }
}

/// The findings of all checks, in order. Formatted as one line for a log; [`Report::table`] has all details.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One finding for each check.
    pub findings: Vec<Finding>,
    /// The trace id of the span that was sent, as 32 hexadecimal digits; `None` if no span was created.
    pub trace_id: Option<String>,
}

impl Report {
    /// Adds the finding of a further check.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn good(&mut self, check: &'static str, what: impl Into<String>) {
        self.push(Finding::good(check, what));
    }

    pub(crate) fn doubt(&mut self, check: &'static str, what: impl Into<String>, help: impl Into<String>) {
        self.push(Finding::doubtful(check, what, help));
    }

    pub(crate) fn bad(&mut self, check: &'static str, what: impl Into<String>, help: impl Into<String>) {
        self.push(Finding::bad(check, what, help));
    }

    /// Returns the worst outcome.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Good)
    }

    /// Formats the findings as a table: one line each, followed by its help if there is any.
    #[must_use]
    pub fn table(&self) -> String {
        let width = |cell: fn(&Finding) -> usize| self.findings.iter().map(cell).max().unwrap_or(0);
        let (outcome, check) = (width(|one| one.outcome.as_str().len()), width(|one| one.check.len()));
        let mut text = String::new();
        for finding in &self.findings {
            let Finding { what, help, .. } = finding;
            text.push_str(&format!("{:outcome$}  {:check$}  {what}\n", finding.outcome.as_str(), finding.check));
            if !help.is_empty() {
                text.push_str(&format!("{:outcome$}  {:check$}  → {help}\n", "", ""));
            }
        }
        text
    }
}

/// Writes `ok` or the failed checks with their help, and the trace id.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wrong = self.findings.iter().filter(|finding| finding.outcome != Outcome::Good).peekable();
        if wrong.peek().is_none() {
            write!(f, "self-check: ok, a span was sent")?;
        } else {
            write!(f, "self-check: ")?;
        }
        while let Some(Finding { check, what, help, .. }) = wrong.next() {
            write!(f, "{check}: {what} ({help})")?;
            if wrong.peek().is_some() {
                write!(f, "; ")?;
            }
        }
        match &self.trace_id {
            Some(trace_id) => write!(f, " [trace {trace_id}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            findings: vec![
                Finding::good("subscriber", "one is set"),
                Finding::bad("exporter", "the key is rejected (401)", "set the key"),
                Finding::doubtful("propagator", "none is set", "set one"),
            ],
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        }
    }

    #[test]
    fn the_line_has_the_failed_checks_and_their_help() {
        let text = report().to_string();
        assert_eq!(
            text,
            "self-check: exporter: the key is rejected (401) (set the key); propagator: none is set (set one) \
             [trace 4bf92f3577b34da6a3ce929d0e0e4736]"
        );
        let good = Report { findings: vec![Finding::good("subscriber", "one is set")], trace_id: None };
        assert_eq!(good.to_string(), "self-check: ok, a span was sent");
    }

    #[test]
    fn the_table_is_aligned_and_has_the_help() {
        assert_eq!(
            report().table(),
            "ok        subscriber  one is set\n\
             bad       exporter    the key is rejected (401)\n\
             \x20                     → set the key\n\
             doubtful  propagator  none is set\n\
             \x20                     → set one\n"
        );
    }

    #[test]
    fn the_outcome_is_the_worst_one() {
        assert_eq!(report().outcome(), Outcome::Bad);
        assert_eq!(Report::default().outcome(), Outcome::Good);
    }
}
