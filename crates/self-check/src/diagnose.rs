//! Descriptions and help for failed checks.

use tracing::{Level, level_filters::LevelFilter};

use crate::{Finding, TARGET};

/// Explains why a span is disabled although a subscriber is set.
pub(crate) fn disabled(compiled: LevelFilter, current: LevelFilter) -> (String, String) {
    if compiled < Level::INFO {
        return (
            format!("spans at {} are compiled out: the maximum level of `tracing` is {compiled}", Level::INFO),
            "remove the feature `max_level_…` or `release_max_level_…` of `tracing` from Cargo.toml".to_owned(),
        );
    }
    if current < Level::INFO {
        return (
            format!("the subscriber's maximum level is {current}, which hides spans at {}", Level::INFO),
            format!("raise the level (`RUST_LOG={TARGET}=info`), or apply the filter only to the log layer"),
        );
    }
    (
        format!("a filter of the subscriber hides `{TARGET}` at {}", Level::INFO),
        format!("add `{TARGET}=info` to the filter (`RUST_LOG`), or apply the filter only to the log layer"),
    )
}

/// Explains why spans are enabled but do not reach an OpenTelemetry layer. `versions` are the versions of
/// tracing-opentelemetry in the lock file, if there is one.
pub(crate) fn no_layer(versions: Option<&[String]>) -> (String, String) {
    if let Some(versions) = versions
        && versions.len() > 1
    {
        return (
            format!("not found, and versions {} of tracing-opentelemetry are linked", versions.join(" and ")),
            "use one version of tracing-opentelemetry and opentelemetry everywhere: `cargo tree -d` shows what depends on them"
                .to_owned(),
        );
    }
    (
        "the subscriber has none, or one of another version of tracing-opentelemetry".to_owned(),
        "add `.with(tracing_opentelemetry::layer().with_tracer(…))` to the registry; `cargo tree -d -i opentelemetry` shows \
         whether there are two versions"
            .to_owned(),
    )
}

/// Explains an error of an exporter. The SDK's error texts contain no headers.
pub(crate) fn export(check: &'static str, error: &str) -> Finding {
    let status = error
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| digits.len() == 3)
        .find_map(|digits| digits.parse::<u16>().ok().filter(|status| (300..=599).contains(status)));
    match status {
        Some(status @ (401 | 403)) => Finding::bad(
            check,
            format!("the endpoint rejects the key ({status})"),
            "check the key in OTEL_EXPORTER_OTLP_HEADERS, and that it is allowed to send to this environment",
        ),
        Some(status @ (404 | 405)) => Finding::bad(
            check,
            format!("no OTLP receiver at this path ({status})"),
            "set the base URL without /v1/traces in OTEL_EXPORTER_OTLP_ENDPOINT, or the full URL in \
             OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ),
        Some(status @ (429 | 502..=504)) => Finding::doubtful(
            check,
            format!("the endpoint is overloaded or unavailable ({status})"),
            "try again later; spans sent in the meantime may be lost",
        ),
        Some(status) => Finding::bad(
            check,
            format!("the endpoint rejects the span ({status})"),
            "check the log of the endpoint; it may require another protocol (OTEL_EXPORTER_OTLP_PROTOCOL)",
        ),
        None if error.contains("shut") => {
            Finding::bad(check, "the tracer provider is already shut down", "keep it until the program ends")
        }
        None => Finding::bad(
            check,
            format!("the endpoint cannot be reached: {error}"),
            "check the address in OTEL_EXPORTER_OTLP_ENDPOINT, its port (4318 for HTTP, 4317 for gRPC) and the network",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn the_filter_that_hides_spans_is_named() {
        assert!(disabled(LevelFilter::WARN, LevelFilter::TRACE).0.contains("compiled out"));
        assert!(disabled(LevelFilter::TRACE, LevelFilter::ERROR).0.contains("maximum level is error"));
        assert!(disabled(LevelFilter::TRACE, LevelFilter::INFO).0.contains("`throughline::http`"));
    }

    #[test]
    fn two_linked_versions_are_reported() {
        let versions = ["0.31.0".to_owned(), "0.34.0".to_owned()];
        assert!(no_layer(Some(&versions)).0.contains("0.31.0 and 0.34.0"));
        assert!(no_layer(Some(&versions[..1])).0.contains("has none"));
        assert!(no_layer(None).0.contains("has none"));
    }

    #[test]
    fn exporter_failures_are_distinguished() {
        for (error, outcome, words) in [
            ("Operation failed: HTTP export failed with status code: 401", Outcome::Bad, "the key (401)"),
            ("HTTP export failed with status code: 403", Outcome::Bad, "the key (403)"),
            ("HTTP export failed with status code: 404", Outcome::Bad, "no OTLP receiver"),
            ("HTTP export failed with status code: 503", Outcome::Doubtful, "unavailable"),
            ("HTTP export failed with status code: 400", Outcome::Bad, "rejects the span (400)"),
            ("HTTP export failed: network error", Outcome::Bad, "cannot be reached"),
            ("tcp connect error to 127.0.0.1:4318", Outcome::Bad, "cannot be reached"),
            ("Operation timed out after 5s", Outcome::Bad, "cannot be reached"),
            ("Already shutdown", Outcome::Bad, "already shut down"),
        ] {
            let finding = export("exporter", error);
            assert_eq!(finding.outcome, outcome, "{error}");
            assert!(finding.what.contains(words), "{error}: {}", finding.what);
            assert!(!finding.help.is_empty());
        }
    }
}
