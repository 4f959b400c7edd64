//! The commands `backup`, `export` and `import`, and damaged stores.

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

/// Runs a command with a data directory, and returns its output.
fn run(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).env_clear().arg("--data-dir").arg(data_dir).args(arguments).output().unwrap()
}

/// Runs a command with a data directory, checks its exit code, and returns its standard output and standard error.
fn output_of(data_dir: &Path, arguments: &[&str], code: i32) -> String {
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

/// Returns a data directory with three traces and two log records, not in use by a server.
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
async fn a_backup_of_a_running_server_has_its_stores() {
    let bench = Bench::start();
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "transfer")]).await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    let copy = copy.to_str().unwrap();
    let text = output_of(bench.data_dir(), &["backup", copy], 0);
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
    // An existing directory is not overwritten.
    let text = output_of(bench.data_dir(), &["backup", copy], EX_USAGE);
    assert!(text.contains("already exists"), "{text}");
    assert!(content() == before);
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 1, "a partial file is left");
    bench.store(&[span(&trace_id, "later")]).await;

    let (spans, _) = all(Path::new(copy));
    let span_names: Vec<&str> =
        spans.iter().filter(|span| span.trace_id.to_string() == trace_id).map(|span| span.name.as_str()).collect();
    assert_eq!(span_names, ["transfer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_files_can_be_imported_in_either_format() {
    let source = stored().await;
    let (spans, records) = all(source.path());
    assert_eq!((spans.len(), records.len()), (3, 2));
    let files = tempfile::tempdir().unwrap();
    for extension in ["jsonl", "pb"] {
        let name = |signal: &str| files.path().join(format!("{signal}.{extension}")).to_str().unwrap().to_owned();
        let (traces, logs) = (name("traces"), name("logs"));
        let text = output_of(source.path(), &["export", &traces], 0);
        assert!(text.contains("3 spans"), "{text}");
        output_of(source.path(), &["export", "--signal", "logs", &logs], 0);
        // Other programs read the exported objects line by line.
        if extension == "jsonl" {
            for line in fs::read_to_string(&traces).unwrap().lines() {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(object["resourceSpans"].is_array());
            }
        }
        let target = tempfile::tempdir().unwrap();
        let text = output_of(target.path(), &["import", &traces], 0);
        assert!(text.contains("3 records stored, 0 duplicates"), "{text}");
        output_of(target.path(), &["import", "--signal", "logs", &logs], 0);
        assert_eq!(all(target.path()), (spans.clone(), records.clone()), "{extension}");
        let text = output_of(target.path(), &["import", &traces], 0);
        assert!(text.contains("0 records stored, 3 duplicates"), "{text}");
        output_of(source.path(), &["export", &traces], EX_USAGE);
    }
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 4, "a partial file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_imported_and_invalid_ones_are_reported() {
    let source = stored().await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    output_of(source.path(), &["export", &path("traces.json")], 0);
    let json = fs::read(path("traces.json")).unwrap();
    let mut encoder = GzEncoder::new(fs::File::create(path("traces.json.gz")).unwrap(), Compression::fast());
    encoder.write_all(&json).unwrap();
    encoder.finish().unwrap();
    let target = tempfile::tempdir().unwrap();
    let text = output_of(target.path(), &["import", &path("traces.json.gz")], 0);
    assert!(text.contains("3 records stored"), "{text}");

    // Records before the damage are stored and counted.
    let bad = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8E","spanId":"EEE19B7EC3C1B175","name":"bad id"}]}]}]}"#;
    fs::write(path("broken.json"), [&json[..], bad, b"{\"resourceSp"].concat()).unwrap();
    let target = tempfile::tempdir().unwrap();
    let text = output_of(target.path(), &["import", &path("broken.json")], 1);
    assert!(text.contains("broken.json") && text.contains("3 records stored"), "{text}");
    assert!(text.contains("1 rejected") && text.contains("bad id"), "{text}");
    assert_eq!(all(target.path()).0.len(), 3);

    for (arguments, code, part) in [
        (vec!["import", "nothing-here.json"], EX_USAGE, "is not a file"),
        (vec!["import"], EX_USAGE, "<FILES>"),
        (vec!["export"], EX_USAGE, "<FILE>"),
        (vec!["export", "--signal", "metrics", "x"], EX_USAGE, "metrics"),
    ] {
        let text = output_of(target.path(), &arguments, code);
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    let nowhere = files.path().join("no-data");
    let text = output_of(&nowhere, &["export", &path("x.json")], 1);
    assert!(text.contains("cannot read the store") && !Path::new(&path("x.json")).exists(), "{text}");
    let text = output_of(&nowhere, &["backup", &path("x")], 1);
    assert!(text.contains("cannot copy the stores") && !nowhere.exists(), "{text}");
    let names: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with('x')), "a partial file is left: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn import_is_rejected_while_a_server_is_running() {
    let source = stored().await;
    let bench = Bench::start();
    let file = source.path().join("traces.json");
    output_of(source.path(), &["export", file.to_str().unwrap()], 0);
    let text = output_of(bench.data_dir(), &["import", file.to_str().unwrap()], 1);
    assert!(text.contains("another instance uses the data directory"), "{text}");
    // Export is possible.
    output_of(bench.data_dir(), &["export", source.path().join("other.json").to_str().unwrap()], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_renamed_and_the_server_starts() {
    let mut bench = Bench::start();
    bench.stop();
    fs::write(bench.data_dir().join("traces.db"), "not a database, and longer than one page would be".repeat(200))
        .unwrap();
    bench.restart_stopped();
    let text = bench.server().output();
    assert_eq!(bench.get("/readyz").send().await.unwrap().status(), 200);
    let trace_id = new_trace_id();
    bench.store(&[span(&trace_id, "transfer")]).await;
    bench.trace(&trace_id, 1).await;
    let renamed =
        fs::read_dir(bench.data_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let renamed: Vec<String> = renamed.filter(|name| name.starts_with("traces.db.damaged-")).collect();
    assert_eq!(renamed.len(), 1, "{renamed:?}");
    assert!(text.contains("is damaged") && text.contains(&renamed[0]), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_fails_only_requests_that_read_it() {
    let mut bench = Bench::start();
    let traces: Vec<String> = (0..20).map(|_| new_trace_id()).collect();
    for trace_id in &traces {
        let mut span = span(trace_id, "transfer");
        // Random ids do not compress, so that each span uses several pages.
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
async fn records_that_an_upstream_has_not_accepted_are_kept_up_to_a_limit() {
    // No server listens on port 9.
    let limits = ["--retain-bytes", "1MiB", "--retain-unsent-bytes", "1MiB", "--sink", "away=http://127.0.0.1:9"];
    let bench = Bench::start_with(&limits, &[]);
    let lost = eventually("a lost record", async || {
        let mut span = span(&new_trace_id(), "transfer");
        let noise: String = (0..10_000).map(|_| new_trace_id()).collect();
        span.attributes.push(KeyValue::new("noise", noise));
        bench.store(&[span]).await;
        let list: SinkList = bench.read("/api/traces/sinks").await;
        let sink = list.sinks.into_iter().find(|sink| sink.name == "away")?;
        (sink.lost > 0).then_some(sink.lost)
    })
    .await;
    assert!(bench.server().output().contains("lost"), "{lost} records are lost, and the log does not report it");
}
