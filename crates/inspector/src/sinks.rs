//! The state of the sinks as text.

use throughline_inspector_api::{Sink, SinkState};

use crate::format;

/// The urgency of a sink's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// The sink needs no attention.
    Good,
    /// Work is in progress.
    Busy,
    /// An operator should investigate.
    Bad,
}

/// Returns the urgency of a sink's state. An upstream that does not accept log records or data points is fine.
#[must_use]
pub fn tone(sink: &Sink) -> Tone {
    match sink.state {
        SinkState::Idle | SinkState::Absent => Tone::Good,
        SinkState::Delivering | SinkState::Sampling => Tone::Busy,
        SinkState::Backoff | SinkState::Stopped => Tone::Bad,
    }
}

/// Describes what a sink is doing; `now_ms` is Unix milliseconds.
#[must_use]
pub fn state(sink: &Sink, now_ms: f64) -> String {
    match sink.state {
        SinkState::Idle => "up to date".to_owned(),
        SinkState::Sampling => "waiting for traces to complete".to_owned(),
        SinkState::Delivering => "delivering".to_owned(),
        SinkState::Backoff => format!("delivery failed, {}", again(sink, now_ms)),
        SinkState::Stopped => "stopped: the key was rejected".to_owned(),
        SinkState::Absent => "no endpoint at the upstream".to_owned(),
    }
}

fn again(sink: &Sink, now_ms: f64) -> String {
    let wait_s = sink.next_attempt_ns.map_or(0.0, |next_ns| (next_ns as f64 / 1e6 - now_ms) / 1e3);
    if wait_s < 1.0 {
        "retrying now".to_owned()
    } else {
        format!("retrying in {}", format::duration((wait_s.round() * 1e9) as u64))
    }
}

/// Formats the age of the oldest waiting record; empty if none is waiting.
#[must_use]
pub fn oldest(sink: &Sink, now_ms: f64) -> String {
    sink.oldest_ns.filter(|_| sink.waiting > 0).map_or_else(String::new, |ns| format::ago(now_ms, ns as f64 / 1e6))
}

/// Summarizes all sinks in one line, with its urgency; `None` if there are none.
#[must_use]
pub fn headline(sinks: &[Sink], now_ms: f64) -> Option<(String, Tone)> {
    // `rev`, because `max_by_key` returns the last of equal sinks: the first in the settings wins.
    let worst = sinks.iter().rev().max_by_key(|sink| tone(sink))?;
    let tone = tone(worst);
    let sum = |of: fn(&Sink) -> u64| sinks.iter().map(of).fold(0, u64::saturating_add);
    let rejected = match sum(|sink| sink.rejected) {
        0 => String::new(),
        rejected => format!(" · {} rejected", number(rejected)),
    };
    let lost = match sum(|sink| sink.lost) {
        0 => String::new(),
        lost => format!(" · {} lost", number(lost)),
    };
    let text = match tone {
        Tone::Good => format!("up to date · {} delivered{rejected}{lost}", number(sum(|sink| sink.delivered))),
        Tone::Busy | Tone::Bad => {
            let (name, state) = (&worst.name, state(worst, now_ms));
            format!("{name}: {state} · {} waiting{rejected}{lost}", number(worst.waiting))
        }
    };
    Some((text, tone))
}

/// Formats a count with thousands separators.
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
    fn the_headline_reports_the_worst_sink() {
        assert_eq!(headline(&[], 0.0), None);
        let (good, absent) = (sink("a", SinkState::Idle), sink("a/logs", SinkState::Absent));
        let line = headline(&[good.clone(), absent.clone()], 0.0);
        assert_eq!(line, Some(("up to date · 2,400 delivered".to_owned(), Tone::Good)));
        let mut refusing = good.clone();
        refusing.rejected = 3;
        refusing.lost = 7;
        let line = headline(&[refusing, absent], 0.0);
        assert_eq!(line.unwrap().0, "up to date · 2,400 delivered · 3 rejected · 7 lost");

        let mut stopped = sink("b", SinkState::Stopped);
        stopped.waiting = 12_345;
        let line = headline(&[good, sink("c", SinkState::Delivering), stopped, sink("d", SinkState::Backoff)], 0.0);
        assert_eq!(line, Some(("b: stopped: the key was rejected · 12,345 waiting".to_owned(), Tone::Bad)));
    }

    #[test]
    fn the_next_attempt_is_shown_in_seconds() {
        let mut sink = sink("a", SinkState::Backoff);
        assert_eq!(state(&sink, 0.0), "delivery failed, retrying now");
        sink.next_attempt_ns = Some(100_000_000_000);
        assert_eq!(state(&sink, 88_100.0), "delivery failed, retrying in 12 s");
        assert_eq!(state(&sink, 100_000.0), "delivery failed, retrying now");
        assert_eq!(state(&sink, -500_000.0), "delivery failed, retrying in 10 min 00 s");
    }

    #[test]
    fn only_waiting_records_have_an_age() {
        let mut sink = sink("a", SinkState::Backoff);
        sink.oldest_ns = Some(1_000_000_000);
        assert_eq!(oldest(&sink, 7_200_000.0), "");
        sink.waiting = 1;
        assert_eq!(oldest(&sink, 7_201_000.0), "2 h");
    }
}
