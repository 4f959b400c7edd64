use std::{ffi::OsString, fs, path::PathBuf};

use super::*;

fn settings(arguments: &[&str]) -> Result<Settings, ParseError> {
    let identity = Identity::default();
    let arguments = std::iter::once("throughline").chain(arguments.iter().copied()).map(OsString::from);
    Ok(parse(&identity, arguments)?.args.resolve(&identity)?)
}

#[test]
fn defaults() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(settings.receivers.otlp_listen.to_string(), "127.0.0.1:4318");
    assert_eq!(settings.receivers.grpc_listen.unwrap().to_string(), "127.0.0.1:4317");
    assert!(settings.receivers.otlp_token.is_none() && settings.receivers.ingest_token_keys.is_none());
    assert_eq!(settings.receivers.redact.len(), 3);
    assert_eq!(settings.service_name, "throughline");
    assert_eq!(settings.browser_service_name, "throughline-web");
    assert!(settings.outbox.upstreams.is_empty() && settings.self_check);
    assert!(matches!(settings.access, Access::Local));
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.base_path, "");
}

#[test]
fn an_invalid_value_is_rejected_with_the_names_of_the_setting() {
    for (arguments, part) in [
        (&["--listen", "nonsense"][..], "--listen / THROUGHLINE_LISTEN: `nonsense` is not an address and port"),
        (&["--listen", "127.0.0.1:70000"], "--listen / THROUGHLINE_LISTEN: "),
        (&["--listen"], "--listen / THROUGHLINE_LISTEN: a value is required"),
        (&["--otlp-listen", "0.0.0.0:4318"], "loopback"),
        (&["--grpc-listen", "0.0.0.0:4317"], "loopback"),
        (&["--grpc-listen", "127.0.0.1:4318"], "--grpc-listen / THROUGHLINE_GRPC_LISTEN: "),
        (&["--otlp-token", "short"], "--otlp-token / THROUGHLINE_OTLP_TOKEN: "),
        (&["--ingest-token-key", "short"], "--ingest-token-key / THROUGHLINE_INGEST_TOKEN_KEY: "),
        (&["--redact", "cards"], "--redact / THROUGHLINE_REDACT: "),
        (&["--redact-pattern", "("], "--redact-pattern / THROUGHLINE_REDACT_PATTERN: "),
        (&["--read-timeout", "0"], "--read-timeout / THROUGHLINE_READ_TIMEOUT: "),
        (&["--max-connections", "0"], "--max-connections / THROUGHLINE_MAX_CONNECTIONS: "),
        (&["--trusted-proxies", "10.0.0.0/33"], "--trusted-proxies / THROUGHLINE_TRUSTED_PROXIES: "),
        (&["--listen", "127.0.0.1:4318"], "--otlp-listen / THROUGHLINE_OTLP_LISTEN: "),
        (&["--allow-origin", "localhost:3000"], "--allow-origin / FRONTEND_URL: "),
        (&["--allow-origin", "https://a.example/path"], "is not an origin"),
        (
            &["--inspector-access", "maybe"],
            "--inspector-access / THROUGHLINE_INSPECTOR_ACCESS: `maybe` is not one of auto, ",
        ),
        (&["--access-token", "short"], "--access-token / THROUGHLINE_ACCESS_TOKEN: "),
        (&["--base-path", "x"], "--base-path / THROUGHLINE_BASE_PATH: "),
        (&["--service-name", " "], "--service-name / OTEL_SERVICE_NAME: "),
        (&["--resource-attributes", "novalue"], "--resource-attributes / OTEL_RESOURCE_ATTRIBUTES: "),
        (&["--otlp-endpoint", "ftp://x"], "--otlp-endpoint / OTEL_EXPORTER_OTLP_ENDPOINT: "),
        (&["--retain-for", "5"], "--retain-for / THROUGHLINE_RETAIN_FOR: "),
        (&["--retain-bytes", "5GiB", "--retain-unsent-bytes", "2GiB"], "--retain-unsent-bytes / "),
        (&["--self-check", "maybe"], "--self-check / THROUGHLINE_SELF_CHECK: "),
        (
            &["--print-addresses", "yaml"],
            "--print-addresses / THROUGHLINE_PRINT_ADDRESSES: `yaml` is not one of text, json",
        ),
        (&["--port-file", "/no-such-directory/ports.json"], "--port-file / THROUGHLINE_PORT_FILE: "),
        (&["--port-file", "/"], "--port-file / THROUGHLINE_PORT_FILE: "),
        (&["--log", "a=b=c"], "--log / THROUGHLINE_LOG: "),
        (&["--config", "/no-such-directory/file.toml"], "--config / THROUGHLINE_CONFIG: "),
    ] {
        let error = settings(arguments).unwrap_err();
        assert!(matches!(error, ParseError::Setting(_)), "{arguments:?}: {error:?}");
        assert!(error.to_string().contains(part), "{arguments:?}: {error}");
    }
}

#[test]
fn an_invalid_secret_is_not_in_the_error() {
    let command = cli::command(&Identity::default());
    let secrets: Vec<_> = command.get_arguments().filter(|argument| argument.is_hide_env_values_set()).collect();
    assert_eq!(secrets.len(), 6);
    for argument in secrets {
        let flag = argument.get_long().unwrap();
        for arguments in [vec![format!("--{flag}=s3cret\tx")], vec![format!("--{flag}"), "s3cret\tx".to_owned()]] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let error = settings(&arguments).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--{flag} / ")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

#[test]
fn other_command_line_errors_come_from_clap() {
    for arguments in [&["--frobnicate"][..], &["export", "x.json", "--format", "yaml"], &["--help"]] {
        assert!(matches!(settings(arguments), Err(ParseError::Usage(_))), "{arguments:?}");
    }
}

#[test]
fn switches_accept_on_true_and_1() {
    for (value, is_on) in [("on", true), ("1", true), ("true", true), ("off", false), ("0", false), ("false", false)] {
        assert_eq!(settings(&["--self-check", value]).unwrap().self_check, is_on);
    }
}

#[test]
fn receivers_with_a_token_may_listen_on_any_address() {
    let settings =
        settings(&["--otlp-listen", "0.0.0.0:4318", "--grpc-listen", "off", "--otlp-token", "0123456789abcdef"])
            .unwrap();
    assert_eq!(settings.receivers.grpc_listen, None);
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
}

#[test]
fn a_public_address_needs_a_token() {
    let public = settings(&["--listen", "0.0.0.0:3000"]).unwrap();
    assert!(matches!(public.access, Access::Token(_)) && public.token_is_new);
    let open = settings(&["--listen", "0.0.0.0:3000", "--inspector-access", "Open"]).unwrap();
    assert!(matches!(open.access, Access::Open));
    let given = settings(&["--inspector-access", "token", "--access-token", "0123456789abcdef"]).unwrap();
    assert!(matches!(given.access, Access::Token(_)) && !given.token_is_new);
}

#[test]
fn the_service_name_is_read_from_the_attributes_unless_it_is_set() {
    let named = settings(&["--resource-attributes", "service.name=a,deployment.environment.name=x%20y"]).unwrap();
    assert_eq!(named.service_name, "a");
    assert_eq!(named.resource_attributes, [("deployment.environment.name".to_owned(), "x y".to_owned())]);
    let given = settings(&["--resource-attributes", "service.name=a", "--service-name", "b"]).unwrap();
    assert_eq!(given.service_name, "b");
}

/// Writes a configuration file in a temporary directory.
fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("throughline.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn a_flag_takes_precedence_over_the_file_and_the_file_over_the_default() {
    let (_dir, path) = config(
        "listen = '127.0.0.1:1'\nself_check = false\nallow_origin = ['https://a.test', 'https://b.test']\n\
         [retention]\nfor = '2d'\nbytes = '3GiB'\n",
    );
    let path = path.to_str().unwrap();
    let of_file = settings(&["--config", path]).unwrap();
    assert_eq!(of_file.listen.port(), 1);
    assert_eq!(of_file.allowed_origins, ["https://a.test", "https://b.test"]);
    assert_eq!(of_file.retention.bytes, Some(3 << 30));
    assert!(!of_file.self_check);
    let both =
        settings(&["--config", path, "--listen=127.0.0.1:2", "--allow-origin=https://c.test", "--retain-for=1d"])
            .unwrap();
    assert_eq!(both.listen.port(), 2);
    assert_eq!(both.allowed_origins, ["https://c.test"]);
    assert_eq!(both.retention.age, Some(std::time::Duration::from_secs(86_400)));
    assert_eq!((both.retention.bytes, both.self_check), (Some(3 << 30), false));
}

#[test]
fn sinks_of_the_file_and_of_flags_are_merged_and_need_distinct_names() {
    let (_dir, path) = config("[[sink]]\nname = 'a'\nurl = 'http://a.test'\nheaders = { x = '1' }\n");
    let path = path.to_str().unwrap();
    let merged = settings(&["--config", path, "--sink=b=http://b.test", "--sink-headers=a:y=2"]).unwrap();
    let sinks: Vec<_> = merged.outbox.upstreams.iter().map(|sink| (sink.name.as_str(), sink.headers.len())).collect();
    assert_eq!(sinks, [("b", 0), ("a", 2)]);
    let error = settings(&["--config", path, "--sink=a=http://b.test"]).unwrap_err().to_string();
    assert!(error.contains("--config") && error.contains("duplicate sink name `a`"), "{error}");
}

#[test]
fn an_invalid_file_is_an_error_for_every_command() {
    let (_dir, path) = config("lisen = 'x'\n");
    for command in ["healthcheck", "doctor"] {
        let error = settings(&[command, "--config", path.to_str().unwrap()]).unwrap_err();
        assert!(matches!(error, ParseError::Setting(_)) && error.to_string().contains("line 1"), "{error}");
    }
}
