//! A single pass over a text that removes secrets.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use super::{REDACTED, RedactionRule};

/// The minimum and maximum number of digits of a card number.
const SHORTEST_CARD: usize = 13;
const LONGEST_CARD: usize = 19;
/// The minimum number of digits in a printed group of a card number; the last group may have fewer.
const CARD_GROUP: usize = 4;
const SEPARATORS: [char; 2] = [' ', '-'];

/// Compiles a pattern of this file.
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns of this file are constants, and a test compiles each")
}

static BEARER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\bbearer(?:\s+|%20|\+)([a-z0-9._~+/=-]{8,})"));
static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*",
        r#"|(?i:authorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer|digest|token)\s+)?[^\s"',;]+)"#,
    ))
});
static PARAMETER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)\b((?:access|refresh|id|auth|session)_?token|api[_-]?key|pass(?:word|wd)|(?:client_?)?secret)",
        r#"(["']?\s*[=:]\s*["']?)([^&\s#"',;}]+)"#,
    ))
});
/// A run of digits that may contain card numbers.
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[0-9](?:[ -]?[0-9]){12,}\b"));
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[A-Za-z0-9._%+-]{1,64}(?:@|%40)((?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24})"));

/// Applies all rules to the text in order; returns `None` if they change nothing.
pub(super) fn pass(rules: &[RedactionRule], text: &str) -> Option<String> {
    let mut result = Cow::Borrowed(text);
    for rule in rules {
        match rule {
            RedactionRule::Authorization => {
                replace(&mut result, &CREDENTIAL, |_| Some(REDACTED.to_owned()));
                replace(&mut result, &BEARER, |found| is_credential(&found[1]).then(|| REDACTED.to_owned()));
                replace(&mut result, &PARAMETER, |found| {
                    (&found[3] != REDACTED).then(|| format!("{}{}{REDACTED}", &found[1], &found[2]))
                });
            }
            RedactionRule::Card => replace(&mut result, &DIGITS, |found| Some(without_cards(&found[0]))),
            RedactionRule::Email => {
                replace(&mut result, &EMAIL, |found| (!is_density(&found[1])).then(|| REDACTED.to_owned()));
            }
            RedactionRule::Pattern(pattern) => replace_custom(&mut result, pattern),
        }
    }
    match result {
        Cow::Owned(redacted) if redacted != text => Some(redacted),
        _ => None,
    }
}

/// Replaces the card numbers in a run of digits: the whole run, or consecutive groups as printed on a card, the longest
/// first.
fn without_cards(run: &str) -> String {
    let mut left = String::new();
    let mut rest = run;
    while !rest.is_empty() {
        let from_here = rest.len() == run.len();
        if let Some(end) = card(rest, from_here) {
            left.push_str(REDACTED);
            rest = &rest[end..];
        } else {
            let end = rest.find(SEPARATORS).map_or(rest.len(), |separator| separator + 1);
            left.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    left
}

/// Returns the end of the longest card number at the beginning of `run`. `is_whole` is true if `run` is the whole run
/// of digits.
fn card(run: &str, is_whole: bool) -> Option<usize> {
    let mut longest = None;
    let (mut digits, mut is_printed, mut start) = (0, true, 0);
    for group in run.split(SEPARATORS) {
        let end = start + group.len();
        digits += group.len();
        if digits > LONGEST_CARD {
            break;
        }
        let is_candidate = is_printed || (is_whole && end == run.len());
        if is_candidate && digits >= SHORTEST_CARD && run.get(..end).is_some_and(is_card) {
            longest = Some(end);
        }
        // The last group may be shorter: 4-4-4-4-3.
        is_printed &= group.len() >= CARD_GROUP;
        start = end + 1;
    }
    longest
}

/// Replaces all matches of a custom pattern. A match that overlaps a redaction mark is extended to the whole mark.
fn replace_custom(text: &mut Cow<'_, str>, pattern: &Regex) {
    let marks: Vec<_> = text.match_indices(REDACTED).map(|(start, mark)| start..start + mark.len()).collect();
    // The redaction mark that contains this position.
    let mark_at = |position: usize| {
        let mark = marks.get(marks.partition_point(|mark| mark.end <= position))?;
        (mark.start < position).then_some(mark)
    };
    let mut left = String::new();
    let mut done = 0;
    for found in pattern.find_iter(text).filter(|found| !found.is_empty()) {
        let start = mark_at(found.start()).map_or(found.start(), |mark| mark.start);
        let end = mark_at(found.end()).map_or(found.end(), |mark| mark.end);
        if text.get(start..end) == Some(REDACTED) {
            continue;
        }
        // Otherwise the match begins inside the previous one and its text is removed already.
        if start >= done {
            left.push_str(&text[done..start]);
            left.push_str(REDACTED);
        }
        done = done.max(end);
    }
    if done > 0 {
        left.push_str(&text[done..]);
        *text = Cow::Owned(left);
    }
}

/// Replaces each match with the result of `by`; `None` keeps the match.
fn replace(text: &mut Cow<'_, str>, pattern: &Regex, by: impl Fn(&Captures<'_>) -> Option<String>) {
    let replaced = pattern.replace_all(text, |found: &Captures<'_>| by(found).unwrap_or_else(|| found[0].to_owned()));
    if let Cow::Owned(replaced) = replaced {
        *text = Cow::Owned(replaced);
    }
}

/// Returns whether the text after "bearer" is a credential. In prose, the next word has no digits and is short.
fn is_credential(text: &str) -> bool {
    text.len() >= 20 || text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Returns whether the domain is that of an image name such as `picture@2x.png`, which is not an email address.
fn is_density(domain: &str) -> bool {
    domain.split_once("x.").is_some_and(|(density, kind)| {
        density.bytes().all(|byte| byte.is_ascii_digit())
            && ["avif", "gif", "jpeg", "jpg", "png", "svg", "webp"].iter().any(|known| kind.eq_ignore_ascii_case(known))
    })
}

/// Returns whether the text is a card number: it has the prefix of an issuer (ISO/IEC 7812) and a correct check digit.
/// Times in milliseconds or nanoseconds begin with 1, which no card number does.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|character| character.to_digit(10)).collect();
    let head = digits.iter().take(4).fold(0, |number, digit| number * 10 + digit);
    let is_issued = match head / 1000 {
        4 => matches!(digits.len(), 13 | 16 | 19),
        2 => (2221..=2720).contains(&head) && digits.len() == 16,
        5 => (5000..=5899).contains(&head),
        3 => matches!(head / 100, 30 | 34..=39),
        6 => true,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match digit * (1 + place as u32 % 2) {
            doubled if doubled > 9 => doubled - 9,
            doubled => doubled,
        })
        .sum();
    is_issued && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_patterns_compile() {
        for pattern in [&BEARER, &CREDENTIAL, &PARAMETER, &DIGITS, &EMAIL] {
            assert!(!pattern.is_match(""));
        }
    }

    proptest! {
        #[test]
        fn a_number_with_a_wrong_check_digit_is_not_a_card(number in 4_000_000_000_000_000_u64..5_000_000_000_000_000) {
            let cards = (0..10).filter(|last| is_card(&(number / 10 * 10 + last).to_string())).count();
            prop_assert_eq!(cards, 1);
        }
    }
}
