//! The store as files: backup, export, import; and a store that is damaged.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use flate2::{Compression, write::GzEncoder};
use throughline_inspector_api::SinkList;
use throughline_otlp::{KeyValue, LogRecord, Span};
use throughline_store::{Archive, SpanStore as _, Store};

use crate::support::{Bench, Start as _, binary, eventually, exception, new_trace_id, span};

const EX_USAGE: i32 = 64;

/// Runs a command over a data directory to its end.
fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).env_clear().arg("--data-dir").arg(data_dir).args(arguments).output().unwrap()
}

/// The same, and it must end with this code; what it printed.
fn ended(data_dir: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(data_dir, arguments);
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

fn all(data_dir: &Path) -> (Vec<Span>, Vec<LogRecord>) {
    let archive = Archive::open(data_dir).unwrap();
    let spans = archive.after(0, usize::MAX).unwrap().into_iter().map(|(_, span)| span).collect();
    let records = archive.logs_after(0, 100_000).unwrap().into_iter().map(|(_, record)| record).collect();
    (spans, records)
}

/// A data directory with a store of three traces and two log records in it; nobody uses it.
async fn stored() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let spans: Vec<Span> = (0..3).map(|number| span(&new_trace_id(), &format!("transfer {number}"))).collect();
    let records = vec![exception(&spans[0], "no money"), exception(&spans[1], "no account")];
    store.append(spans).await.unwrap();
    store.append_logs(records).await.unwrap();
    store.close().await;
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_the_server_runs_and_another_starts_from_it() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "transfer")]).await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    let copy = copy.to_str().unwrap();
    let text = ended(bench.data_dir(), &["backup", copy], 0);
    assert!(text.contains(copy), "{text}");
    let content = || {
        let files = fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().path());
        let mut content: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        content.sort();
        content
    };
    let before = content();
    let names: Vec<_> = before.iter().map(|(path, _)| path.file_name().unwrap()).collect();
    assert_eq!(names, ["metrics.db", "outbox.db", "traces.db"]);
    // Nothing is written over.
    let text = ended(bench.data_dir(), &["backup", copy], EX_USAGE);
    assert!(text.contains("is there already"), "{text}");
    assert!(content() == before);
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 1, "nothing half made is left");
    bench.store(&[span(&trace_id, "later")]).await;

    let (spans, _) = all(Path::new(copy));
    let of_ours: Vec<&str> =
        spans.iter().filter(|span| span.trace_id.to_string() == trace_id).map(|span| span.name.as_str()).collect();
    assert_eq!(of_ours, ["transfer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_can_be_imported_elsewhere_in_either_format() {
    let source = stored().await;
    let (spans, records) = all(source.path());
    assert_eq!((spans.len(), records.len()), (3, 2));
    let files = tempfile::tempdir().unwrap();
    for extension in ["jsonl", "pb"] {
        let name = |signal: &str| files.path().join(format!("{signal}.{extension}")).to_str().unwrap().to_owned();
        let (traces, logs) = (name("traces"), name("logs"));
        let text = ended(source.path(), &["export", &traces], 0);
        assert!(text.contains("3 spans"), "{text}");
        ended(source.path(), &["export", "--signal", "logs", &logs], 0);
        // Exported files are what other programs read.
        if extension == "jsonl" {
            for line in fs::read_to_string(&traces).unwrap().lines() {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(object["resourceSpans"].is_array());
            }
        }
        let target = tempfile::tempdir().unwrap();
        let text = ended(target.path(), &["import", &traces], 0);
        assert!(text.contains("3 records are new, 0 were there already"), "{text}");
        ended(target.path(), &["import", "--signal", "logs", &logs], 0);
        assert_eq!(all(target.path()), (spans.clone(), records.clone()), "{extension}");
        let text = ended(target.path(), &["import", &traces], 0);
        assert!(text.contains("0 records are new, 3 were there already"), "{text}");
        ended(source.path(), &["export", &traces], EX_USAGE);
    }
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 4, "nothing half made is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_read_and_broken_ones_told() {
    let source = stored().await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    ended(source.path(), &["export", &path("traces.json")], 0);
    let text = fs::read(path("traces.json")).unwrap();
    let mut encoder = GzEncoder::new(fs::File::create(path("traces.json.gz")).unwrap(), Compression::fast());
    encoder.write_all(&text).unwrap();
    encoder.finish().unwrap();
    let target = tempfile::tempdir().unwrap();
    let said = ended(target.path(), &["import", &path("traces.json.gz")], 0);
    assert!(said.contains("3 records are new"), "{said}");

    // What comes before the damage is stored, and said to be.
    let bad = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8E","spanId":"EEE19B7EC3C1B175","name":"bad id"}]}]}]}"#;
    fs::write(path("broken.json"), [&text[..], bad, b"{\"resourceSp"].concat()).unwrap();
    let target = tempfile::tempdir().unwrap();
    let said = ended(target.path(), &["import", &path("broken.json")], 1);
    assert!(said.contains("broken.json") && said.contains("3 records are new"), "{said}");
    assert!(said.contains("1 were not taken") && said.contains("bad id"), "{said}");
    assert_eq!(all(target.path()).0.len(), 3);

    for (arguments, code, part) in [
        (vec!["import", "nothing-here.json"], EX_USAGE, "is no file"),
        (vec!["import"], EX_USAGE, "<FILES>"),
        (vec!["export"], EX_USAGE, "<FILE>"),
        (vec!["export", "--signal", "metrics", "x"], EX_USAGE, "metrics"),
    ] {
        let said = ended(target.path(), &arguments, code);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let nowhere = files.path().join("no-data");
    let said = ended(&nowhere, &["export", &path("x.json")], 1);
    assert!(said.contains("cannot be read") && !Path::new(&path("x.json")).exists(), "{said}");
    let said = ended(&nowhere, &["backup", &path("x")], 1);
    assert!(said.contains("cannot be copied") && !nowhere.exists(), "{said}");
    let names: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with('x')), "half a copy is left: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_imported_beside_a_running_server() {
    let source = stored().await;
    let bench = Bench::start();
    let file = source.path().join("traces.json");
    ended(source.path(), &["export", file.to_str().unwrap()], 0);
    let said = ended(bench.data_dir(), &["import", file.to_str().unwrap()], 1);
    assert!(said.contains("another instance uses the data directory"), "{said}");
    // But exporting is fine.
    ended(bench.data_dir(), &["export", source.path().join("other.json").to_str().unwrap()], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_no_store_is_put_aside_and_the_server_goes_on() {
    let mut bench = Bench::start();
    bench.stop();
    fs::write(bench.data_dir().join("traces.db"), "not a database, and longer than one page would be".repeat(200))
        .unwrap();
    bench.restart_stopped();
    let said = bench.server().output();
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "transfer")]).await;
    bench.trace(&trace_id, 1).await;
    let aside = fs::read_dir(bench.data_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<String> = aside.filter(|name| name.starts_with("traces.db.damaged-")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(said.contains("is damaged") && said.contains(&aside[0]), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_middle_is_an_error_for_who_asks_for_it_and_for_nobody_else() {
    let mut bench = Bench::start();
    let traces: Vec<String> = (0..20).map(|_| new_trace_id()).collect();
    for trace_id in &traces {
        let mut span = span(trace_id, "transfer");
        // Ids do not get smaller: each takes some pages.
        let noise: String = (0..1_000).map(|_| new_trace_id()).collect();
        span.attributes.push(KeyValue::new("noise", noise));
        bench.store(&[span]).await;
    }
    bench.stop();
    let file = bench.data_dir().join("traces.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_096].fill(0x55);
    fs::write(&file, bytes).unwrap();

    bench.restart_stopped();
    let mut damaged = 0;
    for trace_id in &traces {
        let status = bench.get(&format!("/api/traces/{trace_id}")).send().await.unwrap().status();
        assert!(status == 200 || status.is_server_error(), "{status}");
        damaged += usize::from(status != 200);
    }
    assert!((1..=3).contains(&damaged), "{damaged} of 20");
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "transfer")]).await;
    bench.trace(&trace_id, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_does_not_take_is_kept_up_to_a_limit_and_then_counted() {
    // Nobody listens there.
    let limits = ["--retain-bytes", "1MiB", "--retain-unsent-bytes", "1MiB", "--sink", "away=http://127.0.0.1:9"];
    let bench = Bench::start_with(&limits, &[]);
    let lost = eventually("something is lost", async || {
        let mut span = span(&new_trace_id(), "transfer");
        let noise: String = (0..10_000).map(|_| new_trace_id()).collect();
        span.attributes.push(KeyValue::new("noise", noise));
        bench.store(&[span]).await;
        let list: SinkList = bench.read("/api/traces/sinks").await;
        let sink = list.sinks.into_iter().find(|sink| sink.name == "away")?;
        (sink.lost > 0).then_some(sink.lost)
    })
    .await;
    assert!(bench.server().output().contains("lost"), "{lost} are lost, and the log does not say so");
}
