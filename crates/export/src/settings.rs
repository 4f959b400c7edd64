//! The limits and delays of the queue.

use std::{env, time::Duration};

use opentelemetry_sdk::trace::{
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE_DEFAULT, OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_SCHEDULE_DELAY_DEFAULT,
};

/// More than the SDK's 2,048: no span should be lost while a receiver is down for half a minute, and memory has its own
/// limit.
const MAX_QUEUE_SIZE: usize = 65_536;
const MAX_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// How long a batch is retried.
const RETRY_FOR: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) scheduled_delay: Duration,
    pub(crate) max_export_batch_size: usize,
    pub(crate) max_queue_size: usize,
    pub(crate) max_queue_bytes: usize,
    pub(crate) retry_for: Duration,
}

impl Settings {
    pub(crate) fn from_env() -> Self {
        Self::read(|name| env::var(name).ok())
    }

    /// Reads the variables that the OpenTelemetry specification defines for batch processors. Values that are not
    /// numbers, and sizes of 0, are logged and ignored.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &'static str, least: u64| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            let number = value.trim().parse().ok().filter(|number| *number >= least);
            if number.is_none() {
                tracing::warn!(
                    variable = name,
                    value,
                    least,
                    "invalid number, or less than the minimum; using the default"
                );
            }
            number
        };
        let size = |name, default| number(name, 1).map_or(default, |size| usize::try_from(size).unwrap_or(usize::MAX));
        Self {
            scheduled_delay: number(OTEL_BSP_SCHEDULE_DELAY, 0)
                .map_or(OTEL_BSP_SCHEDULE_DELAY_DEFAULT, Duration::from_millis),
            max_export_batch_size: size(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE_DEFAULT),
            max_queue_size: size(OTEL_BSP_MAX_QUEUE_SIZE, MAX_QUEUE_SIZE),
            max_queue_bytes: MAX_QUEUE_BYTES,
            retry_for: RETRY_FOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_and_invalid_ones_are_ignored() {
        let default = Settings::read(|_| None);
        assert_eq!(default.scheduled_delay, Duration::from_secs(5));
        assert_eq!((default.max_export_batch_size, default.max_queue_size), (512, 65_536));

        let set = Settings::read(|name| {
            let value = match name {
                "OTEL_BSP_SCHEDULE_DELAY" => "250",
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => " 64 ",
                "OTEL_BSP_MAX_QUEUE_SIZE" => "4096",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let expected = Settings {
            scheduled_delay: Duration::from_millis(250),
            max_export_batch_size: 64,
            max_queue_size: 4096,
            max_queue_bytes: MAX_QUEUE_BYTES,
            retry_for: RETRY_FOR,
        };
        assert_eq!(set, expected);

        for wrong in ["", "-1", "many", "1e3"] {
            assert_eq!(Settings::read(|_| Some(wrong.to_owned())), default, "{wrong:?}");
        }
        let zero = Settings::read(|_| Some("0".to_owned()));
        assert_eq!(zero, Settings { scheduled_delay: Duration::ZERO, ..default }, "a delay of 0 is allowed");
        let long = Settings::read(|_| Some("9999999999".to_owned()));
        assert_eq!(long.scheduled_delay, Duration::from_millis(9_999_999_999));
    }
}
