//! Settings: invalid values are reported before anything is bound or created, with exit code 64.

use std::{
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use throughline_testkit::Addresses;

use crate::support::{Bench, DEADLINE, Start as _, binary, client, new_trace_id, span};

/// `EX_USAGE` of `sysexits.h`.
pub(crate) const EX_USAGE: i32 = 64;

/// The exit code and the output of a server that has exited.
#[derive(Debug)]
pub(crate) struct Exited {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a server that must exit by itself.
pub(crate) fn run(args: &[&str], env: &[(&str, &str)]) -> Exited {
    let mut child = Command::new(binary())
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = ended.unwrap_or_else(|| panic!("the server did not exit with {args:?} {env:?}: {stdout}{stderr}"));
    Exited { code: status.code(), stdout, stderr }
}

/// Paths and addresses for a server that must not start.
struct Unused {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// Addresses in use: a server that tries to bind one reports that instead of the setting.
    taken: [TcpListener; 2],
}

fn unused() -> Unused {
    let dir = tempfile::tempdir().unwrap();
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    Unused { path: dir.path().join("data"), _dir: dir, taken }
}

/// Checks that a value is rejected as a flag and as a variable, with both names, before anything is bound or created.
fn assert_rejected(flag: &str, variable: &str, value: &str) {
    let with_flag = format!("{flag}={value}");
    assert_invalid(&[&with_flag], &[], flag, variable);
    assert_invalid(&[], &[(variable, value)], flag, variable);
}

fn assert_invalid(args: &[&str], env: &[(&str, &str)], flag: &str, variable: &str) -> Exited {
    let unused = unused();
    let addrs = unused.taken.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
    let mut all = vec!["--data-dir", unused.path.to_str().unwrap()];
    if flag != "--listen" {
        all.extend(["--listen", &addrs[0]]);
    }
    all.extend(["--grpc-listen", "127.0.0.1:0"].into_iter().filter(|_| flag != "--grpc-listen"));
    if flag != "--otlp-listen" {
        all.extend(["--otlp-listen", &addrs[1]]);
    }
    all.extend(args);
    let ended = run(&all, env);
    assert_eq!(ended.code, Some(EX_USAGE), "{args:?} {env:?}: {ended:?}");
    let named = ended.stderr.lines().any(|line| line.contains(flag) && line.contains(variable) && line.contains(' '));
    assert!(named, "{flag} / {variable} is not named: {ended:?}");
    assert_eq!(ended.stdout, "", "the server started");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert!(!unused.path.exists(), "the data directory was created");
    ended
}

#[test]
fn an_invalid_listen_address_is_rejected() {
    for value in ["nonsense", "127.0.0.1", "127.0.0.1:99999", ":", "http://127.0.0.1:3000"] {
        assert_rejected("--listen", "THROUGHLINE_LISTEN", value);
    }
}

#[test]
fn an_invalid_otlp_address_is_rejected() {
    assert_rejected("--otlp-listen", "THROUGHLINE_OTLP_LISTEN", "nonsense");
}

#[test]
fn an_otlp_address_that_is_not_loopback_is_rejected() {
    for value in ["0.0.0.0:4318", "[::]:4318", "192.0.2.1:4318"] {
        assert_rejected("--otlp-listen", "THROUGHLINE_OTLP_LISTEN", value);
    }
}

#[test]
fn one_address_for_two_listeners_is_rejected() {
    let ended = run(&["--listen=127.0.0.1:4999", "--otlp-listen=127.0.0.1:4999", "--data-dir=/nonexistent/data"], &[]);
    assert_eq!(ended.code, Some(EX_USAGE), "{ended:?}");
    assert!(ended.stderr.contains("THROUGHLINE_OTLP_LISTEN"), "{ended:?}");
}

#[test]
fn an_invalid_origin_is_rejected() {
    for value in ["nonsense", "*", "ftp://pages.test", "https://", "https://pages.test,nonsense"] {
        assert_rejected("--allow-origin", "FRONTEND_URL", value);
    }
}

#[test]
fn an_endpoint_that_is_not_an_http_url_is_rejected() {
    for value in ["nonsense", "ftp://collector.test", "http://"] {
        assert_rejected("--otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", value);
    }
}

#[test]
fn an_invalid_honeycomb_endpoint_is_rejected() {
    let (flag, variable) = ("--honeycomb-api-endpoint", "HONEYCOMB_API_ENDPOINT");
    let key = ("HONEYCOMB_API_KEY", "hcaik_0123456789");
    assert_invalid(&["--honeycomb-api-endpoint=nonsense"], &[key], flag, variable);
    assert_invalid(&[], &[key, (variable, "nonsense")], flag, variable);
}

#[test]
fn invalid_headers_are_rejected_and_not_printed() {
    let (flag, variable) = ("--otlp-headers", "OTEL_EXPORTER_OTLP_HEADERS");
    for value in ["s3cr3t-without-a-name", "x-team=s3cr3t-1,s3cr3t-2", "x team=s3cr3t", "x-team=s3cr3t%0d%0ax: y"] {
        let with_flag = format!("{flag}={value}");
        for ended in [
            assert_invalid(&[&with_flag], &[], flag, variable),
            assert_invalid(&[], &[(variable, value)], flag, variable),
        ] {
            assert!(!ended.stderr.contains("s3cr3t"), "the value is printed: {}", ended.stderr);
        }
    }
}

#[test]
fn an_invalid_key_is_rejected_and_not_printed() {
    let (flag, variable) = ("--honeycomb-api-key", "HONEYCOMB_API_KEY");
    let ended = assert_invalid(&[], &[(variable, "s3cr3t\nkey")], flag, variable);
    assert!(!ended.stderr.contains("s3cr3t"), "the value is printed: {}", ended.stderr);
}

#[test]
fn invalid_resource_attributes_are_rejected() {
    assert_rejected("--resource-attributes", "OTEL_RESOURCE_ATTRIBUTES", "nonsense");
}

#[test]
fn an_unknown_inspector_access_is_rejected() {
    assert_rejected("--inspector-access", "THROUGHLINE_INSPECTOR_ACCESS", "everybody");
}

#[test]
fn a_short_access_token_is_rejected_and_not_printed() {
    let (flag, variable) = ("--access-token", "THROUGHLINE_ACCESS_TOKEN");
    let ended = assert_invalid(&[], &[(variable, "s3cr3t")], flag, variable);
    assert!(!ended.stderr.contains("s3cr3t"), "the value is printed: {}", ended.stderr);
}

#[test]
fn invalid_settings_of_the_outbox_are_rejected() {
    for (flag, variable, value) in [
        ("--otlp-timeout-ms", "OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("--sink", "THROUGHLINE_SINKS", "http://collector.test"),
        ("--sink", "THROUGHLINE_SINKS", "a=http://a.test;a=http://b.test"),
        ("--align-clocks", "THROUGHLINE_ALIGN_CLOCKS", "perhaps"),
        ("--sample-one-in", "THROUGHLINE_SAMPLE_ONE_IN", "0"),
        ("--sample-slow-ms", "THROUGHLINE_SAMPLE_SLOW_MS", "1000,api=5"),
        ("--sample-quiet-ms", "THROUGHLINE_SAMPLE_QUIET_MS", "0"),
    ] {
        assert_rejected(flag, variable, value);
    }
}

#[test]
fn invalid_headers_of_a_sink_are_not_printed() {
    for value in ["s3cr3t", "nobody:x=s3cr3t"] {
        let ended =
            assert_invalid(&[], &[("THROUGHLINE_SINK_HEADERS", value)], "--sink-headers", "THROUGHLINE_SINK_HEADERS");
        assert!(!ended.stderr.contains("s3cr3t"), "the value is printed: {}", ended.stderr);
    }
}

#[test]
fn an_invalid_log_filter_is_rejected() {
    assert_rejected("--log", "THROUGHLINE_LOG", "throughline=loud");
}

#[test]
fn invalid_settings_of_the_receivers_are_rejected() {
    // The OTLP receivers accept records from other machines only with a token.
    assert_rejected("--grpc-listen", "THROUGHLINE_GRPC_LISTEN", "0.0.0.0:4317");
    assert_rejected("--grpc-listen", "THROUGHLINE_GRPC_LISTEN", "nonsense");
    assert_rejected("--otlp-token", "THROUGHLINE_OTLP_TOKEN", "short");
    assert_rejected("--ingest-token-key", "THROUGHLINE_INGEST_TOKEN_KEY", "2a");
    assert_rejected("--redact", "THROUGHLINE_REDACT", "everything");
    assert_rejected("--redact-pattern", "THROUGHLINE_REDACT_PATTERN", "(");
    assert_rejected("--read-timeout", "THROUGHLINE_READ_TIMEOUT", "never");
    assert_rejected("--max-connections", "THROUGHLINE_MAX_CONNECTIONS", "0");
    assert_rejected("--trusted-proxies", "THROUGHLINE_TRUSTED_PROXIES", "10.0.0.0/33");
    assert_rejected("--trusted-proxies", "THROUGHLINE_TRUSTED_PROXIES", "proxy.example");
}

#[test]
fn an_unknown_flag_is_rejected() {
    assert_invalid(&["--frobnicate"], &[], "--frobnicate", "");
}

#[test]
fn a_data_directory_that_is_a_file_is_rejected() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let ended =
        run(&["--listen=127.0.0.1:0", "--otlp-listen=127.0.0.1:0", "--grpc-listen=off", "--data-dir", path], &[]);
    assert_eq!(ended.code, Some(EX_USAGE), "{ended:?}");
    assert!(ended.stderr.contains("--data-dir") && ended.stderr.contains(path), "{ended:?}");
    assert_eq!(ended.stdout, "", "the server started");
}

#[tokio::test]
async fn empty_variables_count_as_absent() {
    let variables = [
        "FRONTEND_URL",
        "THROUGHLINE_INSPECTOR_ACCESS",
        "THROUGHLINE_ACCESS_TOKEN",
        "THROUGHLINE_BROWSER_SERVICE_NAME",
        "THROUGHLINE_LOG",
        "THROUGHLINE_OTLP_TOKEN",
        "THROUGHLINE_INGEST_TOKEN_KEY",
        "THROUGHLINE_REDACT",
        "THROUGHLINE_REDACT_PATTERN",
        "THROUGHLINE_READ_TIMEOUT",
        "THROUGHLINE_MAX_CONNECTIONS",
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "HONEYCOMB_API_KEY",
        "HONEYCOMB_API_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "THROUGHLINE_SINKS",
        "THROUGHLINE_SINK_HEADERS",
        "THROUGHLINE_ALIGN_CLOCKS",
        "THROUGHLINE_SAMPLE_ONE_IN",
        "THROUGHLINE_SAMPLE_SLOW_MS",
        "THROUGHLINE_SAMPLE_QUIET_MS",
    ];
    let bench = Bench::start_with(&[], &variables.map(|name| (name, "")));
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
}

#[test]
fn an_unknown_propagator_is_rejected_before_anything_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ended = run(&["--data-dir", data.to_str().unwrap()], &[("OTEL_PROPAGATORS", "nonsense")]);
    assert_eq!(ended.code, Some(EX_USAGE), "{ended:?}");
    assert!(ended.stderr.contains("OTEL_PROPAGATORS") && ended.stderr.contains("tracecontext"), "{ended:?}");
    assert!(!data.exists());
}

#[test]
fn an_empty_listen_variable_counts_as_absent() {
    // The default ports are used, so that an invalid setting, which is checked last, has to keep the server from binding them.
    let empty = [("THROUGHLINE_LISTEN", ""), ("THROUGHLINE_OTLP_LISTEN", ""), ("THROUGHLINE_DATA_DIR", "")];
    let ended = run(&["--inspector-access=everybody"], &empty);
    assert_eq!(ended.code, Some(EX_USAGE), "{ended:?}");
    assert!(ended.stderr.contains("--inspector-access") && !ended.stderr.contains("LISTEN"), "{ended:?}");
}

#[test]
fn help_names_every_setting_with_its_variable() {
    let ended = run(&["--help"], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Splits the text into options, independently of its line breaks.
    let unbroken = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let options: Vec<&str> = unbroken.split(" --").skip(1).collect();
    for option in &options {
        let known = option.starts_with("help ") || option.starts_with("version ");
        assert!(known || option.contains("[env: "), "no environment variable: --{option}");
    }
    for (flag, variable) in [
        ("listen", "THROUGHLINE_LISTEN"),
        ("otlp-listen", "THROUGHLINE_OTLP_LISTEN"),
        ("grpc-listen", "THROUGHLINE_GRPC_LISTEN"),
        ("otlp-token", "THROUGHLINE_OTLP_TOKEN"),
        ("ingest-token-key", "THROUGHLINE_INGEST_TOKEN_KEY"),
        ("redact", "THROUGHLINE_REDACT"),
        ("redact-pattern", "THROUGHLINE_REDACT_PATTERN"),
        ("read-timeout", "THROUGHLINE_READ_TIMEOUT"),
        ("max-connections", "THROUGHLINE_MAX_CONNECTIONS"),
        ("trusted-proxies", "THROUGHLINE_TRUSTED_PROXIES"),
        ("base-path", "THROUGHLINE_BASE_PATH"),
        ("data-dir", "THROUGHLINE_DATA_DIR"),
        ("allow-origin", "FRONTEND_URL"),
        ("inspector-access", "THROUGHLINE_INSPECTOR_ACCESS"),
        ("access-token", "THROUGHLINE_ACCESS_TOKEN"),
        ("service-name", "OTEL_SERVICE_NAME"),
        ("resource-attributes", "OTEL_RESOURCE_ATTRIBUTES"),
        ("otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("otlp-headers", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("honeycomb-api-key", "HONEYCOMB_API_KEY"),
        ("honeycomb-api-endpoint", "HONEYCOMB_API_ENDPOINT"),
        ("otlp-timeout-ms", "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ("sink", "THROUGHLINE_SINKS"),
        ("sink-headers", "THROUGHLINE_SINK_HEADERS"),
        ("align-clocks", "THROUGHLINE_ALIGN_CLOCKS"),
        ("sample-one-in", "THROUGHLINE_SAMPLE_ONE_IN"),
        ("sample-slow-ms", "THROUGHLINE_SAMPLE_SLOW_MS"),
        ("sample-quiet-ms", "THROUGHLINE_SAMPLE_QUIET_MS"),
        ("print-addresses", "THROUGHLINE_PRINT_ADDRESSES"),
        ("port-file", "THROUGHLINE_PORT_FILE"),
    ] {
        let option = options.iter().find(|option| option.starts_with(&format!("{flag} ")));
        let option = option.unwrap_or_else(|| panic!("--{flag} is not in {}", ended.stdout));
        assert!(option.contains(&format!("[env: {variable}")), "--{option}");
    }
    assert!(
        unbroken.contains("127.0.0.1:3000") && unbroken.contains("127.0.0.1:4318"),
        "the defaults are not in the help"
    );
}

#[test]
fn an_unknown_format_of_addresses_is_rejected() {
    for (args, env) in [(&["--print-addresses=yaml"][..], &[][..]), (&[], &[("THROUGHLINE_PRINT_ADDRESSES", "yaml")])] {
        let ended = run(args, env);
        assert_eq!(ended.code, Some(EX_USAGE), "{ended:?}");
        assert!(ended.stderr.contains("--print-addresses") && ended.stderr.contains("json"), "{ended:?}");
    }
}

#[test]
fn a_port_file_in_a_missing_directory_is_rejected() {
    assert_rejected("--port-file", "THROUGHLINE_PORT_FILE", "/no-such-directory/ports.json");
}

#[tokio::test]
async fn the_addresses_on_standard_output_and_in_the_port_file_are_those_of_the_listeners() {
    let dir = tempfile::tempdir().unwrap();
    let port_file = dir.path().join("ports.json");
    std::fs::write(&port_file, "from an earlier run").unwrap();
    let bench = Bench::start_with(&["--port-file", port_file.to_str().unwrap()], &[]);
    let addresses = bench.server().addresses();
    assert!(bench.server().grpc_base().is_some());
    // The file is written before the line is printed.
    let in_file = std::fs::read_to_string(&port_file).unwrap();
    assert_eq!(&serde_json::from_str::<Addresses>(&in_file).unwrap(), addresses);
    assert_eq!(bench.server().output().lines().next(), in_file.lines().next());
    assert_eq!(addresses.inspector, format!("{}/traces", addresses.listen));
    let list = client().get(format!("{}/api/traces", addresses.listen)).send().await.unwrap();
    assert_eq!(list.status(), 200);
    let receiver = format!("{}/v1/traces", addresses.otlp_http);
    let empty = client().post(receiver).header("content-type", "application/json").body("{}");
    assert_eq!(empty.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_grpc_no_grpc_address_is_printed() {
    let bench = Bench::start_with(&[], &[("THROUGHLINE_GRPC_LISTEN", "off")]);
    assert_eq!(bench.server().grpc_base(), None);
}

#[tokio::test]
async fn two_servers_with_different_data_directories_run_concurrently() {
    let (one, other) = (Bench::start(), Bench::start());
    let trace_id = new_trace_id();
    one.store(&[span(&trace_id, "only here")]).await;
    assert!(one.find_trace(&trace_id).await.is_some());
    assert!(other.find_trace(&trace_id).await.is_none());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_exits_with_an_error_that_names_it() {
    let first = Bench::start();
    let dir = first.data_dir().to_str().unwrap();
    let second =
        run(&["--listen=127.0.0.1:0", "--otlp-listen=127.0.0.1:0", "--grpc-listen=off", "--data-dir", dir], &[]);
    assert_ne!(second.code, Some(0), "{second:?}");
    assert!(second.stderr.contains(dir), "{second:?}");
    assert!(!second.stderr.contains("panicked"), "{second:?}");
    assert_eq!(first.get("/readyz").send().await.unwrap().status(), 200);
}

/// Checks that the error for an address in use has the address.
fn assert_address_in_use_is_named(flag: &str, other: &str) {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let data: &Path = &dir.path().join("data");
    let ended =
        run(&[flag, &addr, other, "127.0.0.1:0", "--grpc-listen=off", "--data-dir", data.to_str().unwrap()], &[]);
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains(&addr), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

#[test]
fn an_address_in_use_is_named() {
    assert_address_in_use_is_named("--listen", "--otlp-listen");
}

#[test]
fn an_otlp_address_in_use_is_named() {
    assert_address_in_use_is_named("--otlp-listen", "--listen");
}

#[test]
fn an_invalid_base_path_is_rejected() {
    for value in
        ["tl", "//evil.example", "/a//b", "/a b", "/..", "/a/./b", "/<script>", "/a?b", "/a#b", "http://a.test/tl"]
    {
        assert_rejected("--base-path", "THROUGHLINE_BASE_PATH", value);
    }
}
