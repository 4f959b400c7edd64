//! Settings of the outbox: where everything goes on to, and what of it.

use std::{num::NonZeroU64, time::Duration};

use clap::Args as ClapArgs;
use secrecy::SecretString;
use throughline_forward::{SamplingRule, logs_endpoint, metrics_endpoint, parse_headers, traces_endpoint};
use throughline_store::SinkName;
use url::Url;

use super::{SettingError, non_empty, wrong};

const SINK: &str = "--sink / THROUGHLINE_SINKS";
const SINK_HEADERS: &str = "--sink-headers / THROUGHLINE_SINK_HEADERS";
const TIMEOUT: &str = "--otlp-timeout-ms / OTEL_EXPORTER_OTLP_TIMEOUT";
const ALIGN: &str = "--align-clocks / THROUGHLINE_ALIGN_CLOCKS";
const ONE_IN: &str = "--sample-one-in / THROUGHLINE_SAMPLE_ONE_IN";
const SLOW: &str = "--sample-slow-ms / THROUGHLINE_SAMPLE_SLOW_MS";
const QUIET: &str = "--sample-quiet-ms / THROUGHLINE_SAMPLE_QUIET_MS";

const HONEYCOMB_TEAM: &str = "x-honeycomb-team";
const MAX_NAME_CHARS: usize = 32;
/// A day; what is longer is a slip of the keyboard.
const MAX_MS: u64 = 86_400_000;
/// How many quiet times a trace may take until it is judged though it still grows.
const LONGEST_QUIETS: u32 = 6;

/// What was typed.
#[derive(Debug, ClapArgs)]
pub(crate) struct OutboxArgs {
    /// Where the pipe ends: base URL of an OTLP/HTTP endpoint; nowhere by default
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Headers for that endpoint: `key=value,key=value`, values percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", value_name = "LIST", hide_env_values = true)]
    otlp_headers: Option<String>,
    /// How long an upstream may take to answer, in milliseconds
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", value_name = "MS", default_value = "60000")]
    otlp_timeout_ms: String,
    /// Honeycomb's key: enough by itself to send everything to Honeycomb
    #[arg(long, env = "HONEYCOMB_API_KEY", value_name = "KEY", hide_env_values = true)]
    honeycomb_api_key: Option<String>,
    /// Honeycomb's address for that key; `https://api.eu1.honeycomb.io` in Europe
    #[arg(long, env = "HONEYCOMB_API_ENDPOINT", value_name = "URL", default_value = super::HONEYCOMB)]
    honeycomb_api_endpoint: String,
    /// One more end of the pipe, `name=URL`; may be given more than once, in the variable with `;` between them
    #[arg(long, env = "THROUGHLINE_SINKS", value_name = "NAME=URL", value_delimiter = ';')]
    sink: Vec<String>,
    /// Headers for it: `name:key=value,key=value`, values percent-encoded; likewise
    #[arg(
        long,
        env = "THROUGHLINE_SINK_HEADERS",
        value_name = "NAME:LIST",
        value_delimiter = ';',
        hide_env_values = true
    )]
    sink_headers: Vec<String>,
    /// Whether upstreams get what pages report in the server's clock, where the offset is known: `on` or `off`
    #[arg(long, env = "THROUGHLINE_ALIGN_CLOCKS", value_name = "SWITCH", default_value = "off")]
    align_clocks: String,
    /// Upstreams get one in so many traces that are neither wrong nor slow, whole, with `SampleRate`; 1 is all of them
    #[arg(long, env = "THROUGHLINE_SAMPLE_ONE_IN", value_name = "N", default_value = "1")]
    sample_one_in: String,
    /// From how many milliseconds on a request is slow; also for single routes: `1000,/api/search=300`
    #[arg(long, env = "THROUGHLINE_SAMPLE_SLOW_MS", value_name = "LIST", default_value = "1000")]
    sample_slow_ms: String,
    /// How long nothing is added to a trace before it is judged, in milliseconds
    #[arg(long, env = "THROUGHLINE_SAMPLE_QUIET_MS", value_name = "MS", default_value = "10000")]
    sample_quiet_ms: String,
}

/// One end of the pipe.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) name: SinkName,
    /// The full URL of the traces path.
    pub(crate) endpoint: Url,
    /// The full URL of the logs path.
    pub(crate) logs_endpoint: Url,
    /// The full URL of the metrics path.
    pub(crate) metrics_endpoint: Url,
    pub(crate) headers: Vec<(String, SecretString)>,
}

/// What it means here.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) timeout: Duration,
    pub(crate) align_clocks: bool,
    /// Nothing is left out without it.
    pub(crate) sampling: Option<SamplingRule>,
}

impl OutboxArgs {
    /// Checks and completes what was typed.
    pub(super) fn resolve(self) -> Result<Outbox, SettingError> {
        let timeout = Duration::from_millis(milliseconds(TIMEOUT, &self.otlp_timeout_ms)?);
        let align_clocks = match self.align_clocks.trim() {
            "on" | "true" | "1" => true,
            "off" | "false" | "0" => false,
            other => return Err(wrong(ALIGN, format!("`{other}` is neither on nor off"))),
        };
        let sampling = sampling(&self.sample_one_in, &self.sample_slow_ms, &self.sample_quiet_ms)?;
        let usual = usual(
            non_empty(self.otlp_endpoint).as_deref(),
            non_empty(self.otlp_headers).as_deref(),
            non_empty(self.honeycomb_api_key),
            &self.honeycomb_api_endpoint,
        )?;
        let mut upstreams = Vec::from_iter(usual);
        for text in self.sink.iter().filter(|text| !text.trim().is_empty()) {
            let upstream = sink(text)?;
            if upstreams.iter().any(|other| other.name == upstream.name) {
                return Err(wrong(SINK, format!("there are two of the name `{}`", upstream.name)));
            }
            upstreams.push(upstream);
        }
        for text in self.sink_headers.iter().filter(|text| !text.trim().is_empty()) {
            // What is wrong is never repeated: it may be a key.
            let (name, list) = text.split_once(':').ok_or_else(|| wrong(SINK_HEADERS, "an entry has no `name:`"))?;
            let sink = upstreams.iter_mut().find(|upstream| upstream.name.as_str() == name.trim());
            let sink = sink.ok_or_else(|| wrong(SINK_HEADERS, "an entry is for a name that no sink has"))?;
            sink.headers.extend(parse_headers(list).map_err(|error| wrong(SINK_HEADERS, error.to_string()))?);
        }
        Ok(Outbox { upstreams, timeout, align_clocks, sampling })
    }
}

fn milliseconds(setting: &'static str, text: &str) -> Result<u64, SettingError> {
    let number = text.trim().parse().ok().filter(|ms| (1..=MAX_MS).contains(ms));
    number.ok_or_else(|| wrong(setting, format!("`{text}` is not a number of milliseconds from 1 to {MAX_MS}")))
}

fn sampling(one_in: &str, slow: &str, quiet: &str) -> Result<Option<SamplingRule>, SettingError> {
    let one_in: NonZeroU64 =
        one_in.trim().parse().map_err(|_| wrong(ONE_IN, format!("`{one_in}` is not a whole number from 1 on")))?;
    let mut rule = SamplingRule::one_in(one_in);
    rule.quiet = Duration::from_millis(milliseconds(QUIET, quiet)?);
    rule.longest = rule.quiet.saturating_mul(LONGEST_QUIETS);
    for part in slow.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.rsplit_once('=') {
            None => rule.slow = Duration::from_millis(milliseconds(SLOW, part)?),
            Some((route, _)) if !route.trim().starts_with('/') => {
                return Err(wrong(SLOW, format!("`{}` is not a route: it does not begin with `/`", route.trim())));
            }
            Some((route, ms)) => {
                let limit = Duration::from_millis(milliseconds(SLOW, ms)?);
                rule.slow_routes.push((route.trim().to_owned(), limit));
            }
        }
    }
    // All of it is checked whether it is used or not.
    Ok((one_in.get() > 1).then_some(rule))
}

fn sink(text: &str) -> Result<Upstream, SettingError> {
    // The address is not repeated: it may hold a password.
    let (name, base) = text.split_once('=').ok_or_else(|| wrong(SINK, "an entry is not `name=URL`"))?;
    let name = name.trim();
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(is_name) {
        return Err(wrong(SINK, "a name has 1 to 32 lower-case letters, digits, `-` and `_`"));
    }
    upstream(name, SINK, base, Vec::new())
}

fn upstream(
    name: &str,
    setting: &'static str,
    base: &str,
    headers: Vec<(String, SecretString)>,
) -> Result<Upstream, SettingError> {
    let endpoint = traces_endpoint(base).map_err(|error| wrong(setting, error.to_string()))?;
    let logs_endpoint = logs_endpoint(base).map_err(|error| wrong(setting, error.to_string()))?;
    let metrics_endpoint = metrics_endpoint(base).map_err(|error| wrong(setting, error.to_string()))?;
    let name = SinkName::new(name).map_err(|error| wrong(setting, error.to_string()))?;
    Ok(Upstream { name, endpoint, logs_endpoint, metrics_endpoint, headers })
}

/// The one that the variables known everywhere name.
fn usual(
    endpoint: Option<&str>,
    headers: Option<&str>,
    honeycomb_key: Option<String>,
    honeycomb_endpoint: &str,
) -> Result<Option<Upstream>, SettingError> {
    // What the parser says holds positions, never values.
    let headers = parse_headers(headers.unwrap_or_default())
        .map_err(|error| wrong("--otlp-headers / OTEL_EXPORTER_OTLP_HEADERS", error.to_string()))?;
    let (name, setting, base) = match (endpoint, &honeycomb_key) {
        (Some(endpoint), _) => ("otlp", "--otlp-endpoint / OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        (None, Some(_)) => ("honeycomb", "--honeycomb-api-endpoint / HONEYCOMB_API_ENDPOINT", honeycomb_endpoint),
        (None, None) => return Ok(None),
    };
    let mut upstream = upstream(name, setting, base, headers)?;
    if let Some(key) = honeycomb_key
        && (name == "honeycomb" || upstream.endpoint.host_str().is_some_and(|host| host.ends_with("honeycomb.io")))
        && !upstream.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HONEYCOMB_TEAM))
    {
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("--honeycomb-api-key / HONEYCOMB_API_KEY", "it holds characters that no key has"));
        }
        upstream.headers.push((HONEYCOMB_TEAM.to_owned(), SecretString::from(key)));
    }
    Ok(Some(upstream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: OutboxArgs,
    }

    fn outbox(arguments: &[&str]) -> Result<Outbox, SettingError> {
        Cli::try_parse_from(std::iter::once("throughline").chain(arguments.iter().copied())).unwrap().args.resolve()
    }

    #[test]
    fn by_default_nothing_goes_anywhere_and_nothing_is_changed() {
        let outbox = outbox(&[]).unwrap();
        assert!(outbox.upstreams.is_empty() && outbox.sampling.is_none() && !outbox.align_clocks);
        assert_eq!(outbox.timeout, Duration::from_secs(60));
    }

    #[test]
    fn a_honeycomb_key_is_enough_and_never_printed() {
        let outbox = outbox(&["--honeycomb-api-key", "hcaik_secret"]).unwrap();
        let upstream = &outbox.upstreams[0];
        assert_eq!(upstream.endpoint.as_str(), "https://api.honeycomb.io/v1/traces");
        assert_eq!(upstream.logs_endpoint.as_str(), "https://api.honeycomb.io/v1/logs");
        assert_eq!(upstream.headers[0].0, "x-honeycomb-team");
        assert!(!format!("{outbox:?}").contains("hcaik_secret"));
    }

    #[test]
    fn an_endpoint_of_ones_own_does_not_get_honeycombs_key() {
        let endpoint = ["--otlp-endpoint", "http://127.0.0.1:9/base", "--otlp-headers", "a=b%20c"];
        let outbox = outbox(&[&["--honeycomb-api-key", "k"][..], &endpoint].concat()).unwrap();
        let upstream = &outbox.upstreams[0];
        assert_eq!(upstream.endpoint.as_str(), "http://127.0.0.1:9/base/v1/traces");
        assert_eq!(upstream.headers.len(), 1);
    }

    #[test]
    fn there_may_be_several_ends() {
        let outbox = outbox(&[
            "--honeycomb-api-key=k",
            "--sink=collector=http://127.0.0.1:4320/base;eu=https://api.eu1.honeycomb.io",
            "--sink",
            "third=http://third.test",
            "--sink-headers=eu:x-honeycomb-team=abc,x-other=1",
        ])
        .unwrap();
        let ends: Vec<_> = outbox.upstreams.iter().map(|end| (end.name.as_str(), end.endpoint.as_str())).collect();
        let expected = [
            ("honeycomb", "https://api.honeycomb.io/v1/traces"),
            ("collector", "http://127.0.0.1:4320/base/v1/traces"),
            ("eu", "https://api.eu1.honeycomb.io/v1/traces"),
            ("third", "http://third.test/v1/traces"),
        ];
        assert_eq!(ends, expected);
        let headers: Vec<_> = outbox.upstreams.iter().map(|end| end.headers.len()).collect();
        assert_eq!(headers, [1, 0, 2, 0]);
    }

    #[test]
    fn a_rule_for_sampling_has_thresholds_by_route() {
        let rule = outbox(&["--sample-one-in=20", "--sample-slow-ms=500, /api/search=90", "--sample-quiet-ms=2000"])
            .unwrap()
            .sampling
            .unwrap();
        assert_eq!((rule.one_in.get(), rule.slow), (20, Duration::from_millis(500)));
        assert_eq!(rule.slow_routes, [("/api/search".to_owned(), Duration::from_millis(90))]);
        assert_eq!((rule.quiet, rule.longest), (Duration::from_secs(2), Duration::from_secs(12)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_setting_and_without_secrets() {
        for (arguments, part) in [
            (&["--otlp-endpoint=ftp://x"][..], "--otlp-endpoint"),
            (&["--otlp-headers=s3cret"], "--otlp-headers"),
            (&["--otlp-timeout-ms=0"], "--otlp-timeout-ms"),
            (&["--otlp-timeout-ms=10s"], "--otlp-timeout-ms"),
            (&["--sink=https://user:s3cret@a.test"], "--sink"),
            (&["--sink=a b=http://a.test"], "--sink"),
            (&["--sink=a/logs=http://a.test"], "--sink"),
            (&["--sink=a=ftp://user:s3cret@a.test"], "--sink"),
            (&["--sink=a=http://a.test;a=http://b.test"], "two of the name `a`"),
            (&["--otlp-endpoint=http://a.test", "--sink=otlp=http://b.test"], "two of the name `otlp`"),
            (&["--sink-headers=s3cret"], "--sink-headers"),
            (&["--sink-headers=s3cret:x=s3cret"], "--sink-headers"),
            (&["--sink=a=http://a.test", "--sink-headers=a:s3cret"], "--sink-headers"),
            (&["--align-clocks=maybe"], "--align-clocks"),
            (&["--sample-one-in=0"], "--sample-one-in"),
            (&["--sample-one-in=half"], "--sample-one-in"),
            (&["--sample-slow-ms=soon"], "--sample-slow-ms"),
            (&["--sample-slow-ms=api=5"], "--sample-slow-ms"),
            (&["--sample-slow-ms=/api=x"], "--sample-slow-ms"),
            (&["--sample-quiet-ms=-1"], "--sample-quiet-ms"),
        ] {
            let error = outbox(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{arguments:?}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
