//! The state of sinks: their progress and the records that upstreams rejected.

use serde::{Deserialize, Serialize};

use crate::{decimal, optional_decimal};

/// The state of a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// All records are delivered.
    #[default]
    Idle,
    /// The waiting spans are held until their traces are complete and can be sampled.
    Sampling,
    /// A batch is in flight.
    Delivering,
    /// Delivery failed and is retried later.
    Backoff,
    /// The upstream rejected the key.
    Stopped,
    /// The upstream has no endpoint for log records or data points.
    Absent,
}

/// A record, or several, that an upstream rejected permanently; it is still stored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The trace id, 32 hex digits, if the record has one and the upstream identified the record.
    pub trace_id: Option<String>,
    /// The span id, 16 hex digits, under the same conditions.
    pub span_id: Option<String>,
    /// The number of records in this entry.
    pub count: u64,
    /// The time of the rejection, in Unix nanoseconds.
    #[serde(with = "decimal")]
    pub at_ns: u64,
    /// The reason that the upstream gave.
    pub reason: String,
}

/// A sink for spans, log records or data points. Counts are since the start of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// The name, with `/logs` for log records and `/metrics` for data points.
    pub name: String,
    /// The URL that it delivers to, without user, password and query.
    pub endpoint: String,
    /// The current state.
    pub state: SinkState,
    /// Records that the upstream accepted.
    pub delivered: u64,
    /// Records that are stored and not yet processed.
    pub waiting: u64,
    /// The end time of the first waiting record, in Unix nanoseconds.
    #[serde(with = "optional_decimal")]
    pub oldest_ns: Option<u64>,
    /// Records that the upstream rejected permanently.
    pub rejected: u64,
    /// Records removed before delivery to stay within the storage limits, including before the start of the server.
    pub lost: u64,
    /// Records dropped by sampling.
    pub sampled_out: u64,
    /// The last error; absent after a success.
    pub last_error: Option<String>,
    /// The time of the next attempt after a failure, in Unix nanoseconds.
    #[serde(with = "optional_decimal")]
    pub next_attempt_ns: Option<u64>,
    /// The last rejections, latest first, including before the start of the server; at most 20.
    pub quarantined: Vec<Quarantined>,
}

/// The response to `GET /api/traces/sinks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkList {
    /// The sinks, in the order of the settings; empty if nothing is forwarded.
    pub sinks: Vec<Sink>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_round_trips() {
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
            last_error: Some("the upstream returned 503".to_owned()),
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
