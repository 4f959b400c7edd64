//! Settings of what is kept: for how long, and how much.

use std::time::Duration;

use clap::Args as ClapArgs;
use throughline_store::{Retention, SinkName};

use super::{SettingError, wrong};

const FOR: &str = "--retain-for / THROUGHLINE_RETAIN_FOR";
const BYTES: &str = "--retain-bytes / THROUGHLINE_RETAIN_BYTES";
const UNSENT: &str = "--retain-unsent-bytes / THROUGHLINE_RETAIN_UNSENT_BYTES";

/// What is less cannot work: the tables alone take some of it.
const LEAST_BYTES: u64 = 1 << 20;

/// What was typed.
#[derive(Debug, ClapArgs)]
pub(crate) struct RetentionArgs {
    /// For how long traces and log records are kept: `30d`, `12h`, `45m`, or `forever`
    #[arg(long, env = "THROUGHLINE_RETAIN_FOR", value_name = "TIME", default_value = "30d")]
    retain_for: String,
    /// About how large their file may get, then the oldest go: `10GiB`, `500MB`, or `unlimited`
    #[arg(long, env = "THROUGHLINE_RETAIN_BYTES", value_name = "SIZE", default_value = "10GiB")]
    retain_bytes: String,
    /// How large it may get for the sake of an upstream that does not take what is in it; beyond, the oldest is lost to it
    #[arg(long, env = "THROUGHLINE_RETAIN_UNSENT_BYTES", value_name = "SIZE", default_value = "20GiB")]
    retain_unsent_bytes: String,
}

impl RetentionArgs {
    /// Checks and completes what was typed, for these sinks.
    pub(super) fn resolve<'a>(&self, sinks: impl Iterator<Item = &'a SinkName>) -> Result<Retention, SettingError> {
        let age = time(&self.retain_for)?;
        let bytes = size(BYTES, &self.retain_bytes)?;
        let unsent_bytes = size(UNSENT, &self.retain_unsent_bytes)?;
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

fn time(text: &str) -> Result<Option<Duration>, SettingError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("forever") {
        return Ok(None);
    }
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(Some(time)),
        Ok(_) => {
            Err(wrong(FOR, format!("`{text}` is no time at all; use a time such as 30d, 12h or 45m, or `forever`")))
        }
        Err(error) => Err(wrong(FOR, format!("`{text}` is no time such as 30d, 12h or 45m, nor `forever`: {error}"))),
    }
}

fn size(setting: &'static str, text: &str) -> Result<Option<u64>, SettingError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    match parse_size::parse_size(text) {
        Ok(bytes) if bytes >= LEAST_BYTES => Ok(Some(bytes)),
        Ok(_) => Err(wrong(setting, format!("`{text}` is too little; 1MiB is the least"))),
        Err(error) => {
            Err(wrong(setting, format!("`{text}` is no size such as 10GiB or 500MB, nor `unlimited`: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(time: &str, bytes: &str, unsent: &str) -> Result<Retention, SettingError> {
        let args = RetentionArgs {
            retain_for: time.to_owned(),
            retain_bytes: bytes.to_owned(),
            retain_unsent_bytes: unsent.to_owned(),
        };
        let sinks = ["honeycomb", "x"].map(|name| SinkName::new(name).unwrap());
        args.resolve(sinks.iter())
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
        for (time, minutes) in [("12h", 720), ("45m", 45), ("1d 12h", 2_160), (" 5 min ", 5)] {
            assert_eq!(
                retention(time, "500MB", "unlimited").unwrap().age,
                Some(Duration::from_secs(minutes * 60)),
                "{time}"
            );
        }
        assert_eq!(retention("30d", "500MB", "1.5GiB").unwrap().bytes, Some(500_000_000));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_setting() {
        for (time, bytes, unsent, part) in [
            ("30", "10GiB", "20GiB", "--retain-for"),
            ("0d", "10GiB", "20GiB", "--retain-for"),
            ("-1d", "10GiB", "20GiB", "--retain-for"),
            ("99999999999999999d", "10GiB", "20GiB", "--retain-for"),
            ("30d", "ten", "20GiB", "--retain-bytes"),
            ("30d", "10", "20GiB", "1MiB is the least"),
            ("30d", "99999999TiB", "20GiB", "--retain-bytes"),
            ("30d", "10GiB", "5GiB", "--retain-unsent-bytes"),
        ] {
            let error = retention(time, bytes, unsent).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
