//! What was found.

use std::fmt;

/// The result of one check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should be.
    Good,
    /// It works, but perhaps not as it was meant.
    Doubtful,
    /// Traces end here.
    Bad,
}

impl Outcome {
    /// `ok`, `doubtful`, `bad`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen.
    pub what: String,
    /// What to do about it; empty if there is nothing to be done.
    pub help: String,
}

impl Finding {
    /// As it should be.
    pub fn good(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Good, what: what.into(), help: String::new() }
    }

    /// It works, but perhaps not as it was meant.
    pub fn doubtful(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Doubtful, what: what.into(), help: help.into() }
    }

    /// Traces end here.
    pub fn bad(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Bad, what: what.into(), help: help.into() }
    }
}

/// What was found, in the order in which it was looked at. As text it is one line for a log; [`Report::table`] has it all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Each check.
    pub findings: Vec<Finding>,
    /// The trace of the span that was sent, 32 hexadecimal digits; `None` if it never became one.
    pub trace_id: Option<String>,
}

impl Report {
    /// Adds what was found further down the road.
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

    /// The worst of all outcomes.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Good)
    }

    /// Formats the findings as a table: one line for each, with its help below where there is any.
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

/// `ok`, with the trace; or what is not as it should be, each with its help.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wrong = self.findings.iter().filter(|finding| finding.outcome != Outcome::Good).peekable();
        if wrong.peek().is_none() {
            write!(f, "self-check: ok, a span came through")?;
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
                Finding::bad("exporter", "the key is refused (401)", "set the key"),
                Finding::doubtful("propagator", "none is set", "set one"),
            ],
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        }
    }

    #[test]
    fn a_line_says_what_is_wrong_and_what_to_do() {
        let text = report().to_string();
        assert_eq!(
            text,
            "self-check: exporter: the key is refused (401) (set the key); propagator: none is set (set one) \
             [trace 4bf92f3577b34da6a3ce929d0e0e4736]"
        );
        let good = Report { findings: vec![Finding::good("subscriber", "one is set")], trace_id: None };
        assert_eq!(good.to_string(), "self-check: ok, a span came through");
    }

    #[test]
    fn a_table_is_aligned_and_has_the_help() {
        assert_eq!(
            report().table(),
            "ok        subscriber  one is set\n\
             bad       exporter    the key is refused (401)\n\
             \x20                     → set the key\n\
             doubtful  propagator  none is set\n\
             \x20                     → set one\n"
        );
    }

    #[test]
    fn the_worst_counts() {
        assert_eq!(report().outcome(), Outcome::Bad);
        assert_eq!(Report::default().outcome(), Outcome::Good);
    }
}
