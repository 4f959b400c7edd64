//! The signals of OTLP.

/// The signal of a body: traces, logs or metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records, including events.
    Logs,
    /// Data points of metrics.
    Metrics,
}

impl Signal {
    /// Returns the OTLP/HTTP path of the signal: `/v1/traces`, `/v1/logs`, `/v1/metrics`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// Returns the name of a record of the signal: `span`, `log record`, `data point`.
    #[must_use]
    pub const fn record(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }
}
