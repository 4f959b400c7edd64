//! Settings of retention: how long records are kept, and how many bytes of them.

use std::time::Duration;

use clap::Args as ClapArgs;
use throughline_store::{Retention, SinkName};

use super::{SettingError, values::Maybe, wrong};

const UNSENT: &str = "--retain-unsent-bytes / THROUGHLINE_RETAIN_UNSENT_BYTES";

/// The minimum size of a store. Empty tables already use part of it.
const MIN_BYTES: u64 = 1 << 20;

/// The arguments, each parsed on its own.
#[derive(Debug, ClapArgs)]
pub(crate) struct RetentionArgs {
    /// How long traces and log records are kept: `30d`, `12h`, `45m`, or `forever`
    #[arg(long, env = "THROUGHLINE_RETAIN_FOR", value_name = "TIME", default_value = "30d", value_parser = time)]
    retain_for: Maybe<Duration>,
    /// The approximate size of the store above which the oldest records are deleted: `10GiB`, `500MB`, or `unlimited`
    #[arg(long, env = "THROUGHLINE_RETAIN_BYTES", value_name = "SIZE", default_value = "10GiB", value_parser = size)]
    retain_bytes: Maybe<u64>,
    /// The size of the store above which records that a sink has not accepted yet are also deleted, oldest first, and counted as lost
    #[arg(long, env = "THROUGHLINE_RETAIN_UNSENT_BYTES", value_name = "SIZE", default_value = "20GiB", value_parser = size)]
    retain_unsent_bytes: Maybe<u64>,
}

impl RetentionArgs {
    /// Returns the retention for these sinks, or an error if the settings contradict each other.
    pub(super) fn resolve<'a>(&self, sinks: impl Iterator<Item = &'a SinkName>) -> Result<Retention, SettingError> {
        let (age, bytes, unsent_bytes) = (self.retain_for.0, self.retain_bytes.0, self.retain_unsent_bytes.0);
        if let (Some(bytes), Some(unsent)) = (bytes, unsent_bytes)
            && unsent < bytes
        {
            let reason = format!("the size is less than the {bytes} bytes of --retain-bytes");
            return Err(wrong(UNSENT, reason));
        }
        let sinks: Vec<SinkName> = sinks.cloned().collect();
        Ok(Retention::default()
            .with_age(age)
            .with_bytes(bytes)
            .with_unsent_bytes(unsent_bytes)
            .with_span_sinks(sinks.clone())
            .with_log_sinks(sinks))
    }
}

fn time(text: &str) -> Result<Maybe<Duration>, String> {
    // humantime parses `M` as months; lower case makes it minutes.
    let time = text.trim().to_ascii_lowercase();
    if time == "forever" {
        return Ok(Maybe(None));
    }
    match humantime::parse_duration(&time) {
        Ok(time) if !time.is_zero() => Ok(Maybe(Some(time))),
        _ => Err(format!("`{text}` is not a duration such as 30d, 12h or 45m, or `forever`")),
    }
}

fn size(text: &str) -> Result<Maybe<u64>, String> {
    let size = text.trim();
    if size.eq_ignore_ascii_case("unlimited") {
        return Ok(Maybe(None));
    }
    match parse_size::parse_size(size) {
        Ok(bytes) if bytes >= MIN_BYTES => Ok(Maybe(Some(bytes))),
        Ok(_) => Err(format!("`{text}` is too small; the minimum is 1MiB")),
        Err(_) => Err(format!("`{text}` is not a size such as 10GiB or 500MB, or `unlimited`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(age: &str, bytes: &str, unsent: &str) -> Result<Retention, String> {
        let args =
            RetentionArgs { retain_for: time(age)?, retain_bytes: size(bytes)?, retain_unsent_bytes: size(unsent)? };
        let sinks = ["honeycomb", "x"].map(|name| SinkName::new(name).unwrap());
        args.resolve(sinks.iter()).map_err(|error| error.to_string())
    }

    #[test]
    fn times_and_sizes_have_units() {
        let kept = retention("30d", "10GiB", "20 gb").unwrap();
        assert_eq!(kept.age, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!((kept.bytes, kept.unsent_bytes), (Some(10 << 30), Some(20_000_000_000)));
        for sinks in [&kept.span_sinks, &kept.log_sinks] {
            assert_eq!(sinks.iter().map(SinkName::as_str).collect::<Vec<_>>(), ["honeycomb", "x"]);
        }
        let kept = retention("Forever", "unlimited", "unlimited").unwrap();
        assert_eq!((kept.age, kept.bytes, kept.unsent_bytes), (None, None, None));
        assert_eq!(retention("90s", "1048576", "1mib").unwrap().age, Some(Duration::from_secs(90)));
        for (age, minutes) in [("12h", 720), ("45m", 45), ("45M", 45), ("1d 12h", 2_160), (" 5 min ", 5)] {
            let kept = retention(age, "500MB", "1.5GiB").unwrap();
            assert_eq!(kept.age, Some(Duration::from_secs(minutes * 60)), "{age}");
            assert_eq!(kept.bytes, Some(500_000_000));
        }
    }

    #[test]
    fn an_invalid_value_is_rejected_with_the_expected_form() {
        for (age, bytes, unsent, part) in [
            ("30", "10GiB", "20GiB", "such as 30d"),
            ("0d", "10GiB", "20GiB", "such as 30d"),
            ("-1d", "10GiB", "20GiB", "such as 30d"),
            ("99999999999999999d", "10GiB", "20GiB", "such as 30d"),
            ("30d", "ten", "20GiB", "such as 10GiB"),
            ("30d", "10", "20GiB", "the minimum is 1MiB"),
            ("30d", "99999999TiB", "20GiB", "such as 10GiB"),
            ("30d", "10GiB", "5GiB", "--retain-unsent-bytes"),
        ] {
            let error = retention(age, bytes, unsent).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
