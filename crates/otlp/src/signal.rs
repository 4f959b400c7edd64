//! The kinds of telemetry that are carried.

/// What a body is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records, events among them.
    Logs,
    /// Data points of metrics.
    Metrics,
}

impl Signal {
    /// Where OTLP/HTTP takes it: `/v1/traces`, `/v1/logs`, `/v1/metrics`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// What one of its records is called: `span`, `log record`, `data point`.
    #[must_use]
    pub const fn record(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }
}
