//! Restoring a backup: every sink continues at its position.

use std::{fs, path::Path, process::Command, sync::Arc};

use throughline_inspector_api::{Sink, SinkList, SinkState};
use throughline_otlp::{DataPoint, KeyValue, Metric, Number, PointValue, Span, Status, StatusCode};
use throughline_testkit::{Behaviour, FakeHoneycomb};

use crate::support::{Bench, DEADLINE, Start as _, binary, eventually, new_trace_id, span};

const KEY: &str = "hcaik_0utb0x";

async fn sink(bench: &Bench, name: &str, is_it: impl Fn(&Sink) -> bool) -> Sink {
    eventually(&format!("the state of {name}"), async || {
        let list: SinkList = bench.read("/api/traces/sinks").await;
        list.sinks.into_iter().find(|sink| sink.name == name).filter(&is_it)
    })
    .await
}

fn failed(trace_id: &str, name: &str) -> Span {
    let mut span = span(trace_id, name);
    span.status = Status { code: StatusCode::Error, message: String::new() };
    span
}

fn point(like: &Span, value: i64) -> DataPoint {
    let metric = Metric { name: "queue.length".to_owned(), ..Metric::default() };
    let mut point = DataPoint::new(Arc::new(metric), Arc::clone(&like.resource), Arc::clone(&like.scope));
    point.time_ns = like.start_ns + u64::try_from(value).unwrap();
    point.attributes = vec![KeyValue::new("value", value)];
    point.value = PointValue::Number(Number::Int(value));
    point
}

fn backup(data_dir: &Path, to: &Path) {
    let done =
        Command::new(binary()).env_clear().arg("--data-dir").arg(data_dir).arg("backup").arg(to).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Restores a backup as described in the README: removes the old files, and copies those of the backup.
fn restore(data_dir: &Path, from: &Path) {
    for entry in fs::read_dir(data_dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if ["traces.db", "outbox.db", "metrics.db"].iter().any(|file| name.starts_with(file)) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), data_dir.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_of_a_restored_directory_continue_at_their_position() {
    let upstream = FakeHoneycomb::start(KEY).await.unwrap();
    let endpoint = upstream.endpoint();
    let env = [
        ("HONEYCOMB_API_KEY", KEY),
        ("HONEYCOMB_API_ENDPOINT", endpoint.as_str()),
        ("THROUGHLINE_SAMPLE_ONE_IN", "1000000000000"),
        ("THROUGHLINE_SAMPLE_QUIET_MS", "50"),
    ];
    let mut bench = Bench::start_with(&[], &env);
    let (dropped, sent) = (span(&new_trace_id(), "usual"), failed(&new_trace_id(), "sent"));
    bench.store(&[dropped.clone(), sent.clone()]).await;
    bench.store(&[point(&sent, 1)]).await;
    sink(&bench, "honeycomb", |sink| sink.delivered == 1 && sink.sampled_out == 1 && sink.waiting == 0).await;
    sink(&bench, "honeycomb/metrics", |sink| sink.delivered == 1 && sink.waiting == 0).await;
    upstream.set_response(Behaviour::Status(503, None));
    upstream.set_metrics_response(Behaviour::Status(503, None));
    let waiting = failed(&new_trace_id(), "waiting");
    bench.store(std::slice::from_ref(&waiting)).await;
    bench.store(&[point(&sent, 2)]).await;
    sink(&bench, "honeycomb", |sink| sink.state == SinkState::Backoff && sink.waiting == 1).await;
    sink(&bench, "honeycomb/metrics", |sink| sink.state == SinkState::Backoff && sink.waiting == 1).await;

    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    backup(bench.data_dir(), &copy);
    // Stored after the backup, and therefore lost.
    bench.store(&[failed(&new_trace_id(), "lost")]).await;
    tokio::task::block_in_place(|| bench.stop());
    restore(bench.data_dir(), &copy);
    upstream.set_response(Behaviour::Ok);
    upstream.set_metrics_response(Behaviour::Ok);
    bench.restart_stopped();
    upstream.wait_for(2, DEADLINE).await.unwrap();
    upstream.wait_for_data_points(2, DEADLINE).await.unwrap();

    // Without the sampling decisions of the backup, the trace would be sampled again, and be forwarded because of the error.
    let (late, last) = (failed(&dropped.trace_id.to_string(), "late"), failed(&new_trace_id(), "last"));
    bench.store(&[late, last.clone()]).await;
    sink(&bench, "honeycomb", |sink| sink.delivered == 2 && sink.sampled_out == 1 && sink.waiting == 0).await;
    assert_eq!(upstream.spans(), [sent.clone(), waiting, last]);
    assert_eq!(upstream.data_points(), [point(&sent, 1), point(&sent, 2)]);
}
