//! `throughline doctor` and the self-check at startup: each fault is reported with help.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, Start as _, binary, eventually};

const KEY: &str = "hcaik_d0ct0rs-k3y-n0b0dy-s33s";

/// The output of the doctor, and whether its exit code is 0.
struct Examined {
    table: String,
    healthy: bool,
}

impl Examined {
    /// Returns the line of a check, and the help below it.
    fn of(&self, check: &str) -> (&str, &str) {
        let mut lines = self.table.lines().skip_while(|line| line.split_whitespace().nth(1) != Some(check));
        let line = lines.next().unwrap_or_else(|| panic!("no line for {check}: {}", self.table));
        (line, lines.next().filter(|line| line.contains('→')).unwrap_or_default())
    }
}

/// Runs the doctor.
async fn examine(args: &[&str], env: &[(&str, &str)], data_dir: &Path) -> Examined {
    let mut command = Command::new(binary());
    command.arg("doctor").env_clear().envs(env.iter().copied()).arg("--data-dir").arg(data_dir).args(args);
    let run = move || command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(!table.contains(KEY), "{table}");
    Examined { table, healthy: output.status.success() }
}

/// Returns an address on which no server listens.
fn unused_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_server_one_is_started_for_the_checks() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (listen, endpoint) = (unused_address(), upstream.endpoint());
    let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint.as_str())];
    let args = ["--listen", &listen, "--allow-origin", "http://shop.example:8080", "--base-path", "/tl"];
    let examined = examine(&args, &env, &dir.path().join("data")).await;
    assert!(examined.healthy, "{}", examined.table);
    assert!(!examined.table.contains('→'), "{}", examined.table);
    for (check, words) in [
        ("settings", listen.as_str()),
        ("data", "will be created"),
        ("server", "one was started"),
        ("subscriber", "one is set"),
        ("level", "pass"),
        ("OpenTelemetry", "creates spans"),
        ("propagator", "traceparent"),
        ("exporter", "accepted the span"),
        ("store", "read back"),
        ("CORS", "http://shop.example:8080"),
        ("upstream", "accepts the key"),
        ("clock", "agrees"),
    ] {
        let (line, _) = examined.of(check);
        assert!(line.starts_with("ok") && line.contains(words), "{check}: {}", examined.table);
    }
    assert!(upstream.spans().is_empty(), "the check forwards no spans");
    assert!(!dir.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_checked() {
    let bench = Bench::start();
    let listen = bench.server().addr().to_string();
    let receiver = bench.server().otlp_base().trim_start_matches("http://").to_owned();
    let args = ["--listen", &listen, "--otlp-listen", &receiver, "--allow-origin", "https://elsewhere.example"];
    let examined = examine(&args, &[], bench.data_dir()).await;
    for (check, words) in [
        ("data", "in use"),
        ("server", "a server is running on"),
        ("store", "read back"),
        ("upstream", "not forwarded"),
    ] {
        assert!(examined.of(check).0.contains(words), "{check}: {}", examined.table);
    }
    // The server was started without this origin.
    assert!(!examined.healthy);
    let (line, help) = examined.of("CORS");
    assert!(line.starts_with("bad") && help.contains("--allow-origin"), "{}", examined.table);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_and_an_unreachable_upstream_are_reported_separately() {
    let upstream = FakeHoneycomb::start("another key").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (listen, endpoint) = (unused_address(), upstream.endpoint());
    let examine_upstream = async |endpoint: &str| {
        let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint)];
        examine(&["--listen", &listen], &env, &dir.path().join("data")).await
    };
    let examined = examine_upstream(&endpoint).await;
    let (line, help) = examined.of("upstream");
    assert!(!examined.healthy && line.contains("rejects the key (401)"), "{}", examined.table);
    assert!(help.contains("HONEYCOMB_API_KEY"), "{help}");

    upstream.set_key(KEY);
    upstream.set_response(Behaviour::Status(404, None));
    assert!(examine_upstream(&endpoint).await.of("upstream").0.contains("no OTLP receiver"));
    upstream.set_response(Behaviour::Status(503, None));
    let examined = examine_upstream(&endpoint).await;
    assert!(examined.healthy && examined.of("upstream").0.starts_with("doubtful"), "{}", examined.table);

    let examined = examine_upstream(&format!("http://{}", unused_address())).await;
    assert!(!examined.healthy && examined.of("upstream").0.contains("cannot be reached"), "{}", examined.table);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_self_check_is_logged_in_one_line_at_startup() {
    let logged = async |bench: &Bench| {
        eventually("the self-check", async || {
            let output = bench.server().output();
            output.lines().find(|line| line.contains("self-check:")).map(str::to_owned)
        })
        .await
    };
    let on = ("THROUGHLINE_SELF_CHECK", "on");
    assert!(logged(&Bench::start_with(&[], &[on])).await.contains("self-check: ok"));

    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let keyed = |key: &'static str| {
        Bench::start_with(&[], &[on, ("HONEYCOMB_API_KEY", key), ("HONEYCOMB_API_ENDPOINT", &endpoint)])
    };
    assert!(logged(&keyed(KEY)).await.contains("self-check: ok"));
    assert_eq!(upstream.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["self-check"]);
    let line = logged(&keyed("wrong")).await;
    assert!(line.contains("rejects the key") && line.contains("HONEYCOMB_API_KEY"), "{line}");
}
