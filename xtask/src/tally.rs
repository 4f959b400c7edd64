//! Sums the result lines of test programs.

use std::fmt;

/// Tests counted from lines such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were not run.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds the counts of `line`; a line that is not a result line is ignored.
    pub(crate) fn add(&mut self, line: &str) {
        let plain = without_colour(line);
        let Some((_, counts)) = plain.trim().split_once("test result: ") else {
            return;
        };
        // The result (`ok.`, `FAILED.`) is in front of the first count.
        for part in counts.split(';') {
            let mut words = part.split_whitespace().rev();
            let (Some(kind), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<u64>)) else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Returns `line` without its colour sequences, `ESC [ … m`.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut pieces = line.split('\u{1b}');
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn result_lines_are_summed() {
        let sum = tally(&[
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s\n",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ]);
        assert_eq!(sum, Tally { passed: 15, failed: 2, ignored: 1 });
        assert_eq!(sum.to_string(), "15 passed, 2 failed");
    }

    #[test]
    fn coloured_results_are_counted() {
        let line = "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 7 passed; 0 failed; 0 ignored; 0 filtered out";
        assert_eq!(tally(&[line]).passed, 7);
        let line = "test result: \u{1b}[31mFAILED\u{1b}[0m. 0 passed; 1 failed; 0 ignored";
        assert_eq!(tally(&[line]).failed, 1);
    }

    #[test]
    fn other_lines_are_ignored() {
        assert_eq!(tally(&["test 3 passed ... ok", "", "3 passed; 4 failed"]), Tally::default());
    }
}
