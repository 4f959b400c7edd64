//! Sinks: how far each has come, and what it refused.

use serde::{Deserialize, Serialize};

use crate::{decimal, optional_decimal};

/// What a sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// Everything is delivered.
    #[default]
    Idle,
    /// What there is waits until its traces are quiet and can be judged whole.
    Sampling,
    /// A batch is under way.
    Delivering,
    /// The upstream does not take anything at present.
    Backoff,
    /// The upstream refuses the key.
    Stopped,
    /// The upstream has no address for log records or data points.
    Absent,
}

/// Something that an upstream refused for good; it is still stored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Its trace, 32 hex digits, where it has one and the upstream said which it was.
    pub trace_id: Option<String>,
    /// Its span, 16 hex digits, likewise.
    pub span_id: Option<String>,
    /// How many the entry stands for.
    pub count: u64,
    /// When, Unix nanoseconds.
    #[serde(with = "decimal")]
    pub at_ns: u64,
    /// What the upstream said.
    pub reason: String,
}

/// One end of the pipe, for spans, log records or data points. Counts are since the start of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Its name, with `/logs` for log records and `/metrics` for data points.
    pub name: String,
    /// Where it delivers to, without user, password and query.
    pub endpoint: String,
    /// What it is doing.
    pub state: SinkState,
    /// How many the upstream took.
    pub delivered: u64,
    /// How many are stored and not yet dealt with.
    pub waiting: u64,
    /// When the first of those ended, Unix nanoseconds.
    #[serde(with = "optional_decimal")]
    pub oldest_ns: Option<u64>,
    /// How many the upstream refused for good.
    pub rejected: u64,
    /// How many were removed before they were delivered, to keep within the bounds of what is kept; from before the start too.
    pub lost: u64,
    /// How many sampling left out.
    pub sampled_out: u64,
    /// What went wrong last; absent after a success.
    pub last_error: Option<String>,
    /// When it is tried again after a failure, Unix nanoseconds.
    #[serde(with = "optional_decimal")]
    pub next_attempt_ns: Option<u64>,
    /// What was refused last, the latest first, from before the start too; at most 20.
    pub quarantined: Vec<SetAside>,
}

/// `GET /api/traces/sinks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkList {
    /// In the order of the settings; none where nothing is sent on.
    pub sinks: Vec<Sink>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_survives() {
        let mut sink = Sink {
            name: "honeycomb".to_owned(),
            endpoint: "https://api.honeycomb.io/v1/traces".to_owned(),
            state: SinkState::Backoff,
            delivered: 1,
            waiting: 2,
            oldest_ns: Some(u64::MAX),
            rejected: 3,
            lost: 5,
            sampled_out: 4,
            last_error: Some("answered 503".to_owned()),
            next_attempt_ns: None,
            quarantined: vec![],
        };
        for oldest_ns in [Some(u64::MAX), None] {
            sink.oldest_ns = oldest_ns;
            let json = serde_json::to_string(&sink).unwrap();
            assert_eq!(serde_json::from_str::<Sink>(&json).unwrap(), sink, "{json}");
        }
    }
}
