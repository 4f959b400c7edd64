//! Settings of retention: for how long records are kept, and how many bytes of them.

use std::time::Duration;

use clap::Args as ClapArgs;
use throughline_store::{Retention, SinkName};

use super::{SettingError, values::Maybe, wrong};

const UNSENT: &str = "--retain-unsent-bytes / THROUGHLINE_RETAIN_UNSENT_BYTES";

/// The least size of a store: the tables alone take some of it.
const LEAST_BYTES: u64 = 1 << 20;

/// The arguments as they were typed.
#[derive(Debug, ClapArgs)]
pub(crate) struct RetentionArgs {
    /// For how long traces and log records are kept: `30d`, `12h`, `45m`, or `forever`
    #[arg(long, env = "THROUGHLINE_RETAIN_FOR", value_name = "TIME", default_value = "30d", value_parser = time)]
    retain_for: Maybe<Duration>,
    /// About how large their file may get before the oldest are deleted: `10GiB`, `500MB`, or `unlimited`
    #[arg(long, env = "THROUGHLINE_RETAIN_BYTES", value_name = "SIZE", default_value = "10GiB", value_parser = size)]
    retain_bytes: Maybe<u64>,
    /// How large the file may get with records that a sink has not accepted yet; above, the oldest are deleted and counted as lost
    #[arg(long, env = "THROUGHLINE_RETAIN_UNSENT_BYTES", value_name = "SIZE", default_value = "20GiB", value_parser = size)]
    retain_unsent_bytes: Maybe<u64>,
}

impl RetentionArgs {
    /// The retention with these sinks, if the settings go together.
    pub(super) fn resolve<'a>(&self, sinks: impl Iterator<Item = &'a SinkName>) -> Result<Retention, SettingError> {
        let (age, bytes, unsent_bytes) = (self.retain_for.0, self.retain_bytes.0, self.retain_unsent_bytes.0);
        if let (Some(bytes), Some(unsent)) = (bytes, unsent_bytes)
            && unsent < bytes
        {
            let reason = format!("it is less than the {bytes} bytes of --retain-bytes");
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
    // humantime has `M` for a month, which nobody means here.
    let time = text.trim().to_ascii_lowercase();
    if time == "forever" {
        return Ok(Maybe(None));
    }
    match humantime::parse_duration(&time) {
        Ok(time) if !time.is_zero() => Ok(Maybe(Some(time))),
        _ => Err(format!("`{text}` is not a time such as 30d, 12h or 45m, nor `forever`")),
    }
}

fn size(text: &str) -> Result<Maybe<u64>, String> {
    let size = text.trim();
    if size.eq_ignore_ascii_case("unlimited") {
        return Ok(Maybe(None));
    }
    match parse_size::parse_size(size) {
        Ok(bytes) if bytes >= LEAST_BYTES => Ok(Maybe(Some(bytes))),
        Ok(_) => Err(format!("`{text}` is too small; 1MiB is the least")),
        Err(_) => Err(format!("`{text}` is not a size such as 10GiB or 500MB, nor `unlimited`")),
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
    fn what_cannot_be_is_refused_with_what_was_expected() {
        for (age, bytes, unsent, part) in [
            ("30", "10GiB", "20GiB", "such as 30d"),
            ("0d", "10GiB", "20GiB", "such as 30d"),
            ("-1d", "10GiB", "20GiB", "such as 30d"),
            ("99999999999999999d", "10GiB", "20GiB", "such as 30d"),
            ("30d", "ten", "20GiB", "such as 10GiB"),
            ("30d", "10", "20GiB", "1MiB is the least"),
            ("30d", "99999999TiB", "20GiB", "such as 10GiB"),
            ("30d", "10GiB", "5GiB", "--retain-unsent-bytes"),
        ] {
            let error = retention(age, bytes, unsent).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
