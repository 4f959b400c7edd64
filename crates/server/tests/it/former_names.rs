//! Former names of settings and of the wire format, which still work and are not documented.

use reqwest::header;
use serde_json::Value;

use crate::{
    settings::{EX_USAGE, run},
    support::{Bench, Start as _, as_json, new_span_id, new_trace_id, read},
};

/// A former name of a setting: flag, variable, the flag of today, and a value that is rejected.
const SETTINGS: [(&str, &str, &str, &str); 5] = [
    ("--trusted-listen", "THROUGHLINE_TRUSTED_LISTEN", "--otlp-listen", "nonsense"),
    ("--trusted-token", "THROUGHLINE_TRUSTED_TOKEN", "--otlp-token", "short"),
    ("--ticket-key", "THROUGHLINE_TICKET_KEY", "--ingest-token-key", "2a"),
    ("--scrub", "THROUGHLINE_SCRUB", "--redact", "everything"),
    ("--scrub-pattern", "THROUGHLINE_SCRUB_PATTERN", "--redact-pattern", "("),
];

#[test]
fn flags_and_variables_are_read_by_their_former_names() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("throughline.toml");
    for (flag, variable, today, value) in SETTINGS {
        std::fs::write(&config, format!("{} = '{value}'\n", flag.trim_start_matches('-').replace('-', "_"))).unwrap();
        for ended in [
            run(&[&format!("{flag}={value}")], &[]),
            run(&[], &[(variable, value)]),
            run(&["--config", config.to_str().unwrap()], &[]),
        ] {
            assert_eq!(ended.code, Some(EX_USAGE), "{flag}: {ended:?}");
            let is_named = ended.stderr.contains(today) || ended.stderr.contains("throughline.toml");
            assert!(is_named, "{flag}: {ended:?}");
            assert!(!ended.stderr.contains("unknown key"), "{flag}: {ended:?}");
        }
    }
}

#[test]
fn the_current_name_takes_precedence() {
    let variables = [("THROUGHLINE_OTLP_TOKEN", "short"), ("THROUGHLINE_TRUSTED_TOKEN", "0123456789abcdef")];
    assert_eq!(run(&[], &variables).code, Some(EX_USAGE));
}

#[test]
fn help_has_no_former_name() {
    let help = run(&["--help"], &[]).stdout;
    for (flag, variable, ..) in SETTINGS {
        assert!(!help.contains(&format!("{flag} ")) && !help.contains(variable), "{flag} is in {help}");
    }
    assert!(!help.contains("rotate-ticket-key"), "{help}");
}

#[test]
fn a_key_is_rotated_by_the_former_name_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(&["rotate-ticket-key", "--data-dir", dir.path().to_str().unwrap()], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn pages_of_earlier_versions_send_spans() {
    let bench = Bench::start();
    let issued: Value = read(bench.request("POST", "/v1/ticket")).await;
    assert!(issued["session_id"].is_string() && issued["expires_in_s"].is_u64(), "{issued}");
    let ticket = issued["ticket"].as_str().unwrap();

    let (by_header, by_parameter) = (new_trace_id(), new_trace_id());
    let batch = |trace_id: &str, path: &str| {
        let body = as_json(&[(trace_id, &new_span_id(), "open")]);
        bench.request("POST", path).header(header::CONTENT_TYPE, "application/json").body(body)
    };
    let _: Value = read(batch(&by_header, "/v1/traces").header("x-throughline-ticket", ticket)).await;
    let _: Value = read(batch(&by_parameter, &format!("/v1/traces?ticket={ticket}"))).await;
    for trace_id in [by_header, by_parameter] {
        assert!(bench.find_trace(&trace_id).await.is_some());
    }
}
