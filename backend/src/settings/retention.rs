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
        let span_sinks: Vec<SinkName> = sinks.cloned().collect();
        Ok(Retention { age, bytes, unsent_bytes, log_sinks: span_sinks.clone(), span_sinks })
    }
}

/// A number with its unit.
fn split(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_ascii_lowercase()))
}

fn time(text: &str) -> Result<Option<Duration>, SettingError> {
    if text.trim().eq_ignore_ascii_case("forever") {
        return Ok(None);
    }
    let seconds = split(text).and_then(|(number, unit)| {
        let unit_s: u64 = match unit.as_str() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        number.checked_mul(unit_s).filter(|seconds| *seconds > 0)
    });
    match seconds {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Err(wrong(FOR, format!("`{text}` is no time such as 30d, 12h or 45m, nor `forever`"))),
    }
}

fn size(setting: &'static str, text: &str) -> Result<Option<u64>, SettingError> {
    if text.trim().eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    let bytes = split(text).and_then(|(number, unit)| {
        let unit_bytes: u64 = match unit.as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(unit_bytes)
    });
    match bytes {
        Some(bytes) if bytes >= LEAST_BYTES => Ok(Some(bytes)),
        Some(_) => Err(wrong(setting, format!("`{text}` is too little; 1MiB is the least"))),
        None => Err(wrong(setting, format!("`{text}` is no size such as 10GiB or 500MB, nor `unlimited`"))),
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
