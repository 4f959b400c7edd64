//! Sessions: their duration, their sharing between tabs, and whether they are sampled.

use throughline_context::TraceId;

/// The time without activity after which a session ends, milliseconds.
pub(crate) const IDLE_MS: f64 = 15.0 * 60_000.0;
/// The maximum duration of a session, milliseconds.
pub(crate) const LONGEST_MS: f64 = 4.0 * 3_600_000.0;
/// The interval at which the session is synchronized with other tabs, milliseconds.
pub(crate) const SYNC_MS: f64 = 5_000.0;

/// 128 random bits, written as 32 lower-case hexadecimal digits, like a trace id.
pub(crate) type SessionId = TraceId;

/// A visit: the activity in the tabs of one browser until there is none for [`IDLE_MS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Unix milliseconds.
    pub(crate) started_ms: f64,
    /// The time of the last activity, Unix milliseconds.
    pub(crate) active_ms: f64,
}

impl Session {
    pub(crate) const fn new(id: SessionId, now_ms: f64) -> Self {
        Self { id, started_ms: now_ms, active_ms: now_ms }
    }

    /// Returns whether the session is over at `now_ms`. A clock that was set back does not end it.
    pub(crate) fn is_over(&self, now_ms: f64) -> bool {
        now_ms - self.active_ms >= IDLE_MS || now_ms - self.started_ms >= LONGEST_MS
    }

    /// Formats the session as it is stored for other tabs and the next page: `id.started.active`.
    pub(crate) fn print(&self) -> String {
        let mut text = String::with_capacity(64);
        push_hex(&mut text, &self.id.to_hex());
        for ms in [self.started_ms, self.active_ms] {
            text.push('.');
            decimal(&mut text, ms as u64);
        }
        text
    }

    /// Parses the stored form; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ms = |index| number(part(text, b'.', index)?).filter(|ms| *ms < 1 << 50).map(|ms| ms as f64);
        if part(text, b'.', 3).is_some() {
            return None;
        }
        Some(Self { id: part(text, b'.', 0)?.parse().ok()?, started_ms: ms(1)?, active_ms: ms(2)? })
    }
}

/// Returns the part with number `index`, counted from 0, of a text split at the ASCII character `divider`.
pub(crate) fn part(text: &str, divider: u8, index: usize) -> Option<&str> {
    let mut rest = text;
    for _ in 0..index {
        rest = rest.get(rest.bytes().position(|byte| byte == divider)? + 1..)?;
    }
    rest.get(..rest.bytes().position(|byte| byte == divider).unwrap_or(rest.len()))
}

/// Parses a text of at most 18 decimal digits and nothing else.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let mut number = 0_u64;
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    for digit in digits.bytes() {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        number = number * 10 + u64::from(value);
    }
    Some(number)
}

/// The result of [`resolve`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) session: Session,
    /// Whether this page began a new session.
    pub(crate) is_new: bool,
    /// The session that ended, if a new one began.
    pub(crate) previous: Option<Session>,
}

/// Determines the session at `now_ms` from the one that this page knows, the one that the tabs share, and an id for a
/// new one.
pub(crate) fn resolve(known: Option<Session>, shared: Option<Session>, now_ms: f64, new_id: SessionId) -> Resolved {
    let latest = match (known, shared) {
        // Another tab may have been active later.
        (Some(known), Some(shared)) if shared.id == known.id => {
            Some(Session { active_ms: known.active_ms.max(shared.active_ms), ..shared })
        }
        // Another tab may have begun another session.
        (Some(known), Some(shared)) if shared.is_over(now_ms) => Some(known),
        (known, shared) => shared.or(known),
    };
    match latest {
        Some(session) if !session.is_over(now_ms) => {
            Resolved { session: Session { active_ms: now_ms, ..session }, is_new: false, previous: None }
        }
        _ => Resolved { session: Session::new(new_id, now_ms), is_new: true, previous: latest },
    }
}

/// Returns whether a session is sampled at `ratio` (0 to 1). Every tab, and a server that knows the id, makes the same
/// decision from the id's first 32 bits, which are random.
pub(crate) fn is_sampled(id: SessionId, ratio: f64) -> bool {
    let [a, b, c, d, ..] = id.to_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * 4_294_967_296.0
}

/// Appends ASCII digits.
pub(crate) fn push_hex(text: &mut String, digits: &[u8]) {
    for digit in digits {
        text.push(char::from(*digit));
    }
}

/// Appends `number` in decimal digits, without the formatting code of the standard library, which would add to the
/// WASM.
pub(crate) fn decimal(text: &mut String, number: u64) {
    if number >= 10 {
        decimal(text, number / 10);
    }
    push_hex(text, &[b'0' + (number % 10) as u8]);
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: f64 = 1.7e12;

    fn session(n: u8, started_ms: f64, active_ms: f64) -> Session {
        Session { id: id(n), started_ms, active_ms }
    }

    fn id(n: u8) -> SessionId {
        SessionId::from_bytes([n + 1; 16]).unwrap()
    }

    fn never() -> SessionId {
        id(99)
    }

    #[test]
    fn the_first_session_is_new_and_has_no_predecessor() {
        let found = resolve(None, None, NOW, id(1));
        assert_eq!(found, Resolved { session: Session::new(id(1), NOW), is_new: true, previous: None });
    }

    #[test]
    fn a_session_continues_while_there_is_activity() {
        let mut known = Session::new(id(1), NOW);
        let mut now = NOW;
        while now - NOW < LONGEST_MS - IDLE_MS {
            now += IDLE_MS - 1.0;
            let found = resolve(Some(known), None, now, never());
            assert!(!found.is_new);
            known = found.session;
        }
        assert_eq!((known.started_ms, known.active_ms), (NOW, now));
    }

    #[test]
    fn a_session_ends_after_15_idle_minutes() {
        let known = Session::new(id(1), NOW);
        let found = resolve(Some(known), None, NOW + IDLE_MS, id(2));
        assert_eq!((found.session.id, found.is_new, found.previous), (id(2), true, Some(known)));
    }

    #[test]
    fn a_session_ends_after_4_hours_of_activity() {
        let known = session(1, NOW - LONGEST_MS, NOW - 1.0);
        let found = resolve(Some(known), None, NOW, id(2));
        assert_eq!((found.is_new, found.previous), (true, Some(known)));
    }

    #[test]
    fn activity_in_another_tab_keeps_a_session_alive() {
        let known = session(1, NOW - 2.0 * IDLE_MS, NOW - IDLE_MS);
        let shared = session(1, NOW - 2.0 * IDLE_MS, NOW - 10.0);
        let found = resolve(Some(known), Some(shared), NOW, never());
        assert_eq!((found.session.id, found.is_new), (id(1), false));
    }

    #[test]
    fn a_session_started_by_another_tab_is_continued_and_not_new() {
        let known = session(1, NOW - IDLE_MS, NOW - IDLE_MS);
        let shared = session(2, NOW - 100.0, NOW - 50.0);
        let found = resolve(Some(known), Some(shared), NOW, never());
        assert_eq!((found.session.id, found.is_new, found.previous), (id(2), false, None));
    }

    #[test]
    fn the_next_page_continues_or_follows_the_stored_session() {
        let shared = session(1, NOW - 1e6, NOW - 5.0);
        assert_eq!(resolve(None, Some(shared), NOW, never()).session.id, id(1));
        let later = resolve(None, Some(shared), NOW + IDLE_MS, id(2));
        assert_eq!((later.is_new, later.previous), (true, Some(shared)));
    }

    #[test]
    fn a_clock_set_back_does_not_end_a_session() {
        let known = Session::new(id(1), NOW);
        assert!(!resolve(Some(known), None, NOW - 1e9, never()).is_new);
    }

    #[test]
    fn other_text_is_not_a_session() {
        for text in ["", "x", "0.1.2", &format!("{:032x}", 1), &format!("{:032x}.1", 1), &format!("{:032x}.1.2.3", 1)] {
            assert_eq!(Session::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_session_is_parsed_back(n in 1_u128.., started in 0_u64..1 << 45, length in 0_u64..1 << 40) {
            let session = Session {
                id: SessionId::from_bytes(n.to_be_bytes()).unwrap(),
                started_ms: started as f64,
                active_ms: (started + length) as f64,
            };
            prop_assert_eq!(Session::parse(&session.print()), Some(session));
        }

        #[test]
        fn any_text_is_parsed_or_rejected(text in ".{0,80}") {
            if let Some(session) = Session::parse(&text) {
                prop_assert!(text.starts_with(&session.id.to_string()));
            }
        }

        #[test]
        fn the_resolved_session_has_not_expired(
            known in prop::option::of((0_u8..3, 0.0..3e7, 0.0..3e7)),
            shared in prop::option::of((0_u8..3, 0.0..3e7, 0.0..3e7)),
        ) {
            let make = |(n, a, b): (u8, f64, f64)| session(n, NOW - f64::max(a, b), NOW - f64::min(a, b));
            let (known, shared) = (known.map(make), shared.map(make));
            let found = resolve(known, shared, NOW, id(9));
            prop_assert!(!found.session.is_over(NOW));
            prop_assert_eq!(found.is_new, found.session.id == id(9));
            prop_assert!(found.is_new || found.previous.is_none());
        }

        #[test]
        fn decimal_prints_numbers(value: u64) {
            let mut text = String::new();
            decimal(&mut text, value);
            prop_assert_eq!(text, value.to_string());
        }

        #[test]
        fn printed_numbers_are_parsed_back(value in 0_u64..1_000_000_000_000_000_000) {
            prop_assert_eq!(number(&value.to_string()), Some(value));
        }

        #[test]
        fn text_with_other_characters_is_not_a_number(text in "[0-9a-z+. -]{0,20}") {
            let read = number(&text);
            prop_assert!(read.is_none() || text.bytes().all(|byte| byte.is_ascii_digit()));
        }

        #[test]
        fn a_higher_ratio_samples_a_superset(n in 1_u128.., a in 0.0..=1.0, b in 0.0..=1.0) {
            let id = SessionId::from_bytes(n.to_be_bytes()).unwrap();
            let (low, high) = (f64::min(a, b), f64::max(a, b));
            prop_assert!(!is_sampled(id, low) || is_sampled(id, high));
            prop_assert!(is_sampled(id, 1.0) && !is_sampled(id, 0.0));
        }
    }

    #[test]
    fn the_sampled_fraction_is_close_to_the_ratio() {
        let mut id = 1_u128;
        let sampled = (0..10_000)
            .filter(|_| {
                id = id.wrapping_mul(0x2d99_787b_1f4a_8a35_0d9d_f4d3_2c9e_d0b5).wrapping_add(0x9e37_79b9_7f4a_7c15);
                is_sampled(SessionId::from_bytes(id.to_be_bytes()).unwrap(), 0.25)
            })
            .count();
        assert!((2_300..2_700).contains(&sampled), "{sampled}");
    }
}
