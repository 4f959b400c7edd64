//! `throughline doctor` and the check at the start: what is wrong is said in words, with a cure.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, Start as _, binary, eventually};

const KEY: &str = "hcaik_d0ct0rs-k3y-n0b0dy-s33s";

/// What it printed, and whether it found that traces come through.
struct Examined {
    table: String,
    healthy: bool,
}

impl Examined {
    /// The line about a check, and the cure below it.
    fn of(&self, check: &str) -> (&str, &str) {
        let mut lines = self.table.lines().skip_while(|line| line.split_whitespace().nth(1) != Some(check));
        let line = lines.next().unwrap_or_else(|| panic!("nothing about {check}: {}", self.table));
        (line, lines.next().filter(|line| line.contains('→')).unwrap_or_default())
    }
}

/// Asks for the server at `listen`, or where nobody listens.
async fn examine(args: &[&str], env: &[(&str, &str)], data_dir: &Path) -> Examined {
    let mut command = Command::new(binary());
    command.arg("doctor").env_clear().envs(env.iter().copied()).arg("--data-dir").arg(data_dir).args(args);
    let run = move || command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(!table.contains(KEY), "{table}");
    Examined { table, healthy: output.status.success() }
}

/// An address where nobody listens, for as long as this is kept from others by its number.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_one_is_started_and_the_chain_is_checked_to_the_upstream() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (listen, endpoint) = (nowhere(), upstream.endpoint());
    let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint.as_str())];
    let args = ["--listen", &listen, "--allow-origin", "http://shop.example:8080", "--base-path", "/tl"];
    let examined = examine(&args, &env, &dir.path().join("data")).await;
    assert!(examined.healthy, "{}", examined.table);
    assert!(!examined.table.contains('→'), "{}", examined.table);
    for (check, words) in [
        ("settings", listen.as_str()),
        ("data", "will be made"),
        ("server", "one was started"),
        ("subscriber", "one is set"),
        ("level", "pass"),
        ("OpenTelemetry", "creates spans"),
        ("propagator", "traceparent"),
        ("exporter", "accepted the span"),
        ("store", "read back"),
        ("CORS", "http://shop.example:8080"),
        ("upstream", "takes the key"),
        ("clock", "agrees"),
    ] {
        let (line, _) = examined.of(check);
        assert!(line.starts_with("ok") && line.contains(words), "{check}: {}", examined.table);
    }
    assert!(upstream.spans().is_empty(), "a check leaves nothing behind");
    assert!(!dir.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_asked() {
    let bench = Bench::start();
    let listen = bench.server().addr().to_string();
    let receiver = bench.server().otlp_base().trim_start_matches("http://").to_owned();
    let args = ["--listen", &listen, "--otlp-listen", &receiver, "--allow-origin", "https://elsewhere.example"];
    let examined = examine(&args, &[], bench.data_dir()).await;
    for (check, words) in
        [("data", "in use"), ("server", "it runs on"), ("store", "read back"), ("upstream", "stay here")]
    {
        assert!(examined.of(check).0.contains(words), "{check}: {}", examined.table);
    }
    // It was not started with this origin.
    assert!(!examined.healthy);
    let (line, cure) = examined.of("CORS");
    assert!(line.starts_with("bad") && cure.contains("--allow-origin"), "{}", examined.table);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_and_an_upstream_that_is_not_there_are_told_apart() {
    let upstream = FakeHoneycomb::start("another key").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (listen, endpoint) = (nowhere(), upstream.endpoint());
    let ask = async |endpoint: &str| {
        let env = [("HONEYCOMB_API_KEY", KEY), ("HONEYCOMB_API_ENDPOINT", endpoint)];
        examine(&["--listen", &listen], &env, &dir.path().join("data")).await
    };
    let examined = ask(&endpoint).await;
    let (line, cure) = examined.of("upstream");
    assert!(!examined.healthy && line.contains("refuses the key (401)"), "{}", examined.table);
    assert!(cure.contains("HONEYCOMB_API_KEY"), "{cure}");

    upstream.set_key(KEY);
    upstream.set_response(Behaviour::Status(404, None));
    assert!(ask(&endpoint).await.of("upstream").0.contains("no OTLP receiver"));
    upstream.set_response(Behaviour::Status(503, None));
    let examined = ask(&endpoint).await;
    assert!(examined.healthy && examined.of("upstream").0.starts_with("doubtful"), "{}", examined.table);

    let examined = ask(&format!("http://{}", nowhere())).await;
    assert!(!examined.healthy && examined.of("upstream").0.contains("cannot be reached"), "{}", examined.table);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_start_one_line_says_how_far_a_span_came() {
    let said = async |bench: &Bench| {
        eventually("the self-check", async || {
            let output = bench.server().output();
            output.lines().find(|line| line.contains("self-check:")).map(str::to_owned)
        })
        .await
    };
    let on = ("THROUGHLINE_SELF_CHECK", "on");
    assert!(said(&Bench::start_with(&[], &[on])).await.contains("self-check: ok"));

    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let keyed = |key: &'static str| {
        Bench::start_with(&[], &[on, ("HONEYCOMB_API_KEY", key), ("HONEYCOMB_API_ENDPOINT", &endpoint)])
    };
    assert!(said(&keyed(KEY)).await.contains("self-check: ok"));
    assert_eq!(upstream.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["self-check"]);
    let line = said(&keyed("wrong")).await;
    assert!(line.contains("refuses the key") && line.contains("HONEYCOMB_API_KEY"), "{line}");
}
