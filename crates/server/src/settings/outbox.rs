//! Settings of the outbox: the sinks, and which records are forwarded to them.

use std::{num::NonZeroU64, time::Duration};

use clap::{ArgAction, Args as ClapArgs};
use secrecy::SecretString;
use throughline_forward::SamplingRule;

use super::{
    SettingError, error,
    sinks::{self, HeaderList, Headers, SignalUrls, Upstream},
    values::{List, milliseconds, switch},
    wrong,
};

const ENDPOINT: &str = "--otlp-endpoint / OTEL_EXPORTER_OTLP_ENDPOINT";
const SINK: &str = "--sink / THROUGHLINE_SINKS";
const SINK_HEADERS: &str = "--sink-headers / THROUGHLINE_SINK_HEADERS";

const HONEYCOMB: &str = "https://api.honeycomb.io";
/// A trace that still grows is sampled after this number of quiet periods.
const MAX_QUIET_PERIODS: u32 = 6;

/// The arguments, each parsed on its own.
#[derive(Debug, ClapArgs)]
pub(crate) struct OutboxArgs {
    /// The base URL of an OTLP/HTTP endpoint to which all records are forwarded; none by default
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = sinks::base_url)]
    otlp_endpoint: Option<SignalUrls>,
    /// Headers of the requests to that endpoint: `key=value,key=value`, values percent-encoded
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        value_name = "LIST",
        hide_env_values = true,
        value_parser = sinks::headers
    )]
    otlp_headers: Option<HeaderList>,
    /// The timeout of a request to a sink, in milliseconds
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TIMEOUT",
        value_name = "MS",
        default_value = "60000",
        value_parser = milliseconds
    )]
    otlp_timeout_ms: Duration,
    /// The API key for Honeycomb; all records are forwarded there unless `--otlp-endpoint` is set
    #[arg(
        long,
        env = "HONEYCOMB_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        value_parser = super::values::api_key
    )]
    honeycomb_api_key: Option<SecretString>,
    /// The base URL of Honeycomb for that key; `https://api.eu1.honeycomb.io` in Europe
    #[arg(
        long,
        env = "HONEYCOMB_API_ENDPOINT",
        value_name = "URL",
        default_value = HONEYCOMB,
        value_parser = sinks::base_url
    )]
    honeycomb_api_endpoint: SignalUrls,
    /// An additional sink, `name=URL`; separate several with `;`, or repeat the flag
    #[arg(long, env = "THROUGHLINE_SINKS", value_name = "NAME=URL", value_parser = sinks::sinks)]
    sink: Vec<List<Upstream>>,
    /// Headers of the requests to a sink: `name:key=value,key=value`, values percent-encoded; separate several with `;`,
    /// or repeat the flag
    #[arg(
        long,
        env = "THROUGHLINE_SINK_HEADERS",
        value_name = "NAME:LIST",
        hide_env_values = true,
        value_parser = sinks::sink_headers
    )]
    sink_headers: Vec<List<(String, Headers)>>,
    /// The sinks of the configuration file.
    #[arg(skip)]
    pub(super) sinks_of_file: Vec<Upstream>,
    /// Whether the times of page records are converted to the server's clock before they are forwarded, where the offset is known:
    /// `on` or `off`
    #[arg(
        long,
        env = "THROUGHLINE_ALIGN_CLOCKS",
        value_name = "SWITCH",
        default_value = "off",
        action = ArgAction::Set,
        value_parser = switch
    )]
    align_clocks: bool,
    /// The N of tail sampling: one in N traces without errors or slow requests is forwarded, whole and with `SampleRate`; 1 forwards all
    #[arg(long, env = "THROUGHLINE_SAMPLE_ONE_IN", value_name = "N", default_value = "1", value_parser = one_in)]
    sample_one_in: NonZeroU64,
    /// The duration in milliseconds from which a request is slow, optionally by route: `1000,/api/search=300`
    #[arg(
        long,
        env = "THROUGHLINE_SAMPLE_SLOW_MS",
        value_name = "LIST",
        default_value = "1000",
        value_parser = SlowLimits::parse
    )]
    sample_slow_ms: SlowLimits,
    /// The time without new records after which a trace is sampled, in milliseconds
    #[arg(
        long,
        env = "THROUGHLINE_SAMPLE_QUIET_MS",
        value_name = "MS",
        default_value = "10000",
        value_parser = milliseconds
    )]
    sample_quiet_ms: Duration,
}

/// The checked settings of the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) timeout: Duration,
    pub(crate) align_clocks: bool,
    /// `None` forwards all records.
    pub(crate) sampling: Option<SamplingRule>,
}

impl OutboxArgs {
    /// Checks the rules that need several settings.
    pub(super) fn resolve(self) -> Result<Outbox, SettingError> {
        // One in one forwards all traces: no rule is needed.
        let sampling = Some(self.sampling_rule()).filter(|rule| rule.one_in.get() > 1);
        let mut upstreams = Vec::from_iter(default_sink(
            self.otlp_endpoint,
            self.otlp_headers.map_or_else(Headers::new, |list| list.0),
            self.honeycomb_api_key.as_ref(),
            self.honeycomb_api_endpoint,
        )?);
        let of_flags = self.sink.into_iter().flat_map(|list| list.0).map(|sink| (SINK, sink));
        let of_file = self.sinks_of_file.into_iter().map(|sink| (error::CONFIG, sink));
        for (setting, sink) in of_flags.chain(of_file) {
            if upstreams.iter().any(|other| other.name == sink.name) {
                return Err(wrong(setting, format!("duplicate sink name `{}`", sink.name)));
            }
            upstreams.push(sink);
        }
        for (name, headers) in self.sink_headers.into_iter().flat_map(|list| list.0) {
            let sink = upstreams.iter_mut().find(|upstream| upstream.name.as_str() == name);
            // The error does not contain the name: where the colon is missing, it is part of a header's value.
            let sink = sink.ok_or_else(|| wrong(SINK_HEADERS, "no sink has the name of an entry"))?;
            sink.headers.extend(headers);
        }
        Ok(Outbox { upstreams, timeout: self.otlp_timeout_ms, align_clocks: self.align_clocks, sampling })
    }

    fn sampling_rule(&self) -> SamplingRule {
        let mut rule = SamplingRule::one_in(self.sample_one_in);
        rule.quiet = self.sample_quiet_ms;
        rule.longest = rule.quiet.saturating_mul(MAX_QUIET_PERIODS);
        rule.slow = self.sample_slow_ms.others.unwrap_or(rule.slow);
        rule.slow_routes.clone_from(&self.sample_slow_ms.routes);
        rule
    }
}

/// The durations from which requests are slow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SlowLimits {
    routes: Vec<(String, Duration)>,
    /// The limit of all other routes.
    others: Option<Duration>,
}

impl SlowLimits {
    fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self { routes: Vec::new(), others: None };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.rsplit_once('=') {
                None => limits.others = Some(milliseconds(part)?),
                Some((route, ms)) if route.trim().starts_with('/') => {
                    limits.routes.push((route.trim().to_owned(), milliseconds(ms)?));
                }
                Some((route, _)) => {
                    return Err(format!("`{}` is not a route: a route starts with `/`", route.trim()));
                }
            }
        }
        Ok(limits)
    }
}

fn one_in(text: &str) -> Result<NonZeroU64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a whole number of 1 or more"))
}

/// Returns the sink that the OpenTelemetry or Honeycomb settings describe.
fn default_sink(
    endpoint: Option<SignalUrls>,
    headers: Headers,
    honeycomb_key: Option<&SecretString>,
    honeycomb_endpoint: SignalUrls,
) -> Result<Option<Upstream>, SettingError> {
    let (name, urls) = match (endpoint, honeycomb_key) {
        (Some(endpoint), _) => ("otlp", endpoint),
        (None, Some(_)) => ("honeycomb", honeycomb_endpoint),
        (None, None) => return Ok(None),
    };
    let mut upstream = Upstream::new(name, urls, headers).map_err(|reason| wrong(ENDPOINT, reason))?;
    if let Some(key) = honeycomb_key
        && (name == "honeycomb" || upstream.is_honeycomb())
    {
        upstream.add_honeycomb_key(key);
    }
    Ok(Some(upstream))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};

    use super::*;
    use crate::settings::ParseError;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: OutboxArgs,
    }

    fn outbox(arguments: &[&str]) -> Result<Outbox, ParseError> {
        let arguments = std::iter::once("throughline").chain(arguments.iter().copied());
        let matches =
            Cli::command().try_get_matches_from(arguments).map_err(|error| ParseError::of(error, &Cli::command()))?;
        Ok(Cli::from_arg_matches(&matches)?.args.resolve()?)
    }

    #[test]
    fn nothing_is_forwarded_by_default() {
        let outbox = outbox(&[]).unwrap();
        assert!(outbox.upstreams.is_empty() && outbox.sampling.is_none() && !outbox.align_clocks);
        assert_eq!(outbox.timeout, Duration::from_secs(60));
    }

    #[test]
    fn a_honeycomb_key_is_sufficient_and_is_not_printed() {
        let outbox = outbox(&["--honeycomb-api-key", "hcaik_secret"]).unwrap();
        let upstream = &outbox.upstreams[0];
        assert_eq!(upstream.endpoint.as_str(), "https://api.honeycomb.io/v1/traces");
        assert_eq!(upstream.logs_endpoint.as_str(), "https://api.honeycomb.io/v1/logs");
        assert_eq!(upstream.headers[0].0, "x-honeycomb-team");
        assert!(!format!("{outbox:?}").contains("hcaik_secret"));
    }

    #[test]
    fn another_endpoint_does_not_get_the_honeycomb_key() {
        let endpoint = ["--otlp-endpoint", "http://127.0.0.1:9/base", "--otlp-headers", "a=b%20c"];
        let outbox = outbox(&[&["--honeycomb-api-key", "k"][..], &endpoint].concat()).unwrap();
        let upstream = &outbox.upstreams[0];
        assert_eq!(upstream.endpoint.as_str(), "http://127.0.0.1:9/base/v1/traces");
        assert_eq!(upstream.headers.len(), 1);
    }

    #[test]
    fn several_sinks_are_configured() {
        let outbox = outbox(&[
            "--honeycomb-api-key=k",
            "--sink=collector=http://127.0.0.1:4320/base;eu=https://api.eu1.honeycomb.io;",
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
    fn sampling_has_slow_limits_by_route() {
        let rule = outbox(&["--sample-one-in=20", "--sample-slow-ms=500, /api/search=90", "--sample-quiet-ms=2000"])
            .unwrap()
            .sampling
            .unwrap();
        assert_eq!((rule.one_in.get(), rule.slow), (20, Duration::from_millis(500)));
        assert_eq!(rule.slow_routes, [("/api/search".to_owned(), Duration::from_millis(90))]);
        assert_eq!((rule.quiet, rule.longest), (Duration::from_secs(2), Duration::from_secs(12)));
    }

    #[test]
    fn an_invalid_value_is_rejected_with_the_name_of_the_setting_and_without_secrets() {
        for (arguments, part) in [
            (&["--otlp-endpoint=ftp://x"][..], "--otlp-endpoint / OTEL_EXPORTER_OTLP_ENDPOINT: "),
            (&["--otlp-headers=s3cret"], "--otlp-headers / OTEL_EXPORTER_OTLP_HEADERS: "),
            (&["--otlp-timeout-ms=0"], "--otlp-timeout-ms / OTEL_EXPORTER_OTLP_TIMEOUT: "),
            (&["--otlp-timeout-ms=10s"], "`10s` is not a number of milliseconds"),
            (&["--honeycomb-api-key=s3cret\nx"], "--honeycomb-api-key / HONEYCOMB_API_KEY: "),
            (&["--honeycomb-api-endpoint=nonsense"], "--honeycomb-api-endpoint / HONEYCOMB_API_ENDPOINT: "),
            (&["--sink=https://user:s3cret@a.test"], "--sink / THROUGHLINE_SINKS: "),
            (&["--sink=a b=http://a.test"], "--sink / "),
            (&["--sink=a/logs=http://a.test"], "--sink / "),
            (&["--sink=a=ftp://user:s3cret@a.test"], "--sink / "),
            (&["--sink=a=http://a.test;a=http://b.test"], "duplicate sink name `a`"),
            (&["--otlp-endpoint=http://a.test", "--sink=otlp=http://b.test"], "duplicate sink name `otlp`"),
            (&["--sink-headers=s3cret"], "--sink-headers / THROUGHLINE_SINK_HEADERS: "),
            (&["--sink-headers=s3cret:x=s3cret"], "--sink-headers / "),
            (&["--sink=a=http://a.test", "--sink-headers=a:s3cret"], "--sink-headers / "),
            (&["--align-clocks=maybe"], "--align-clocks / THROUGHLINE_ALIGN_CLOCKS: `maybe` is neither `on` nor `off`"),
            (&["--sample-one-in=0"], "--sample-one-in / "),
            (&["--sample-one-in=half"], "--sample-one-in / "),
            (&["--sample-slow-ms=soon"], "--sample-slow-ms / "),
            (&["--sample-slow-ms=api=5"], "--sample-slow-ms / "),
            (&["--sample-slow-ms=/api=x"], "--sample-slow-ms / "),
            (&["--sample-quiet-ms=-1"], "--sample-quiet-ms / "),
        ] {
            let error = outbox(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{arguments:?}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
