//! The state of the sinks in words.

use throughline_inspector_api::{Sink, SinkState};

use crate::format;

/// How something has to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something is under way.
    Busy,
    /// Somebody should look.
    Bad,
}

/// How a sink has to be taken. An upstream that takes no log records or data points is no reason to worry.
#[must_use]
pub fn tone(sink: &Sink) -> Tone {
    match sink.state {
        SinkState::Idle | SinkState::Absent => Tone::Good,
        SinkState::Delivering | SinkState::Sampling => Tone::Busy,
        SinkState::Backoff | SinkState::Stopped => Tone::Bad,
    }
}

/// What a sink is doing; `now_ms` is Unix milliseconds.
#[must_use]
pub fn state(sink: &Sink, now_ms: f64) -> String {
    match sink.state {
        SinkState::Idle => "up to date".to_owned(),
        SinkState::Sampling => "waits until traces are complete".to_owned(),
        SinkState::Delivering => "delivering".to_owned(),
        SinkState::Backoff => format!("not taken, {}", again(sink, now_ms)),
        SinkState::Stopped => "stopped: the key is refused".to_owned(),
        SinkState::Absent => "the upstream has no address for these".to_owned(),
    }
}

fn again(sink: &Sink, now_ms: f64) -> String {
    let wait_s = sink.next_attempt_ns.map_or(0.0, |next_ns| (next_ns as f64 / 1e6 - now_ms) / 1e3);
    if wait_s < 1.0 {
        "trying again now".to_owned()
    } else {
        format!("trying again in {}", format::duration((wait_s.round() * 1e9) as u64))
    }
}

/// How long the oldest of those that wait has been waiting; empty where none waits.
#[must_use]
pub fn oldest(sink: &Sink, now_ms: f64) -> String {
    sink.oldest_ns.filter(|_| sink.waiting > 0).map_or_else(String::new, |ns| format::ago(now_ms, ns as f64 / 1e6))
}

/// All sinks in one line, and how it has to be taken; `None` where there are none.
#[must_use]
pub fn headline(sinks: &[Sink], now_ms: f64) -> Option<(String, Tone)> {
    // Of equals the first: it is the one that people named first.
    let worst = sinks.iter().rev().max_by_key(|sink| tone(sink))?;
    let tone = tone(worst);
    let sum = |of: fn(&Sink) -> u64| sinks.iter().map(of).fold(0, u64::saturating_add);
    let refused = match sum(|sink| sink.rejected) {
        0 => String::new(),
        refused => format!(" · {} refused", number(refused)),
    };
    let lost = match sum(|sink| sink.lost) {
        0 => String::new(),
        lost => format!(" · {} lost", number(lost)),
    };
    let text = match tone {
        Tone::Good => format!("up to date · {} delivered{refused}{lost}", number(sum(|sink| sink.delivered))),
        Tone::Busy | Tone::Bad => {
            let (name, state) = (&worst.name, state(worst, now_ms));
            format!("{name}: {state} · {} waiting{refused}{lost}", number(worst.waiting))
        }
    };
    Some((text, tone))
}

/// A count with a comma at each thousand.
#[must_use]
pub fn number(n: u64) -> String {
    format::thousands(usize::try_from(n).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(name: &str, state: SinkState) -> Sink {
        Sink {
            name: name.to_owned(),
            endpoint: "https://a.test/v1/traces".to_owned(),
            state,
            delivered: 1200,
            waiting: 0,
            oldest_ns: None,
            rejected: 0,
            lost: 0,
            sampled_out: 0,
            last_error: None,
            next_attempt_ns: None,
            quarantined: vec![],
        }
    }

    #[test]
    fn the_worst_sink_makes_the_headline() {
        assert_eq!(headline(&[], 0.0), None);
        let (good, absent) = (sink("a", SinkState::Idle), sink("a/logs", SinkState::Absent));
        let said = headline(&[good.clone(), absent.clone()], 0.0);
        assert_eq!(said, Some(("up to date · 2,400 delivered".to_owned(), Tone::Good)));
        let mut refusing = good.clone();
        refusing.rejected = 3;
        refusing.lost = 7;
        let said = headline(&[refusing, absent], 0.0);
        assert_eq!(said.unwrap().0, "up to date · 2,400 delivered · 3 refused · 7 lost");

        let mut stopped = sink("b", SinkState::Stopped);
        stopped.waiting = 12_345;
        let said = headline(&[good, sink("c", SinkState::Delivering), stopped, sink("d", SinkState::Backoff)], 0.0);
        assert_eq!(said, Some(("b: stopped: the key is refused · 12,345 waiting".to_owned(), Tone::Bad)));
    }

    #[test]
    fn the_next_attempt_is_told_in_seconds() {
        let mut sink = sink("a", SinkState::Backoff);
        assert_eq!(state(&sink, 0.0), "not taken, trying again now");
        sink.next_attempt_ns = Some(100_000_000_000);
        assert_eq!(state(&sink, 88_100.0), "not taken, trying again in 12 s");
        assert_eq!(state(&sink, 100_000.0), "not taken, trying again now");
        assert_eq!(state(&sink, -500_000.0), "not taken, trying again in 10 min 00 s");
    }

    #[test]
    fn only_what_waits_has_an_age() {
        let mut sink = sink("a", SinkState::Backoff);
        sink.oldest_ns = Some(1_000_000_000);
        assert_eq!(oldest(&sink, 7_200_000.0), "");
        sink.waiting = 1;
        assert_eq!(oldest(&sink, 7_201_000.0), "2 h");
    }
}
