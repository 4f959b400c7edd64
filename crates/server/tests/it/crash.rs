//! The process is killed at random times under load: every acknowledged record is stored exactly once and reaches every upstream.
//!
//! `THROUGHLINE_E2E_KILL_ROUNDS` sets the number of rounds; `cargo xtask soak` runs many.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Client, header};
use tempfile::TempDir;
use throughline_otlp::{Encoding, Record, Signal, encode};
use throughline_store::{SpanStore as _, Store};
use throughline_testkit::{Behaviour, FakeHoneycomb, ServerOptions, ServerProcess};

use crate::support::{DEADLINE, binary, client, exception, new_trace_id, span};

const KEY: &str = "hcaik_k1ll";
const ROUNDS: u32 = 3;
const CLIENTS: usize = 4;
const BATCH: usize = 40;
/// The maximum time before the process is killed.
const MAX_LIFETIME_MS: u64 = 600;
/// The time for the remaining records to reach the upstreams at the end, for each round.
const DRAIN: Duration = Duration::from_secs(10);

/// The acknowledged records: span ids, and the messages of log records.
#[derive(Debug, Default)]
struct Acknowledged {
    spans: BTreeSet<[u8; 8]>,
    logs: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_a_kill_and_reach_every_upstream() {
    let rounds = std::env::var("THROUGHLINE_E2E_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let upstreams = [FakeHoneycomb::start(KEY).await.unwrap(), FakeHoneycomb::start(KEY).await.unwrap()];
    let sinks = format!("one={};other={}", upstreams[0].endpoint(), upstreams[1].endpoint());
    let headers = format!("one:x-honeycomb-team={KEY};other:x-honeycomb-team={KEY}");
    let env = [("THROUGHLINE_SINKS", sinks), ("THROUGHLINE_SINK_HEADERS", headers), ("THROUGHLINE_LOG", "warn".into())];
    let options =
        ServerOptions { env: env.map(|(name, value)| (name.to_owned(), value)).into(), ..ServerOptions::default() };
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..rounds {
        // The second upstream fails in half of the rounds.
        upstreams[1].set_response(match random(4) {
            0 => Behaviour::CutMidway,
            1 => Behaviour::Status(503, None),
            _ => Behaviour::Ok,
        });
        let started = Instant::now();
        let mut server = start(&dir, &options);
        let startup = started.elapsed();
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(send(client(), server.otlp_base(), Arc::clone(&acknowledged)))).collect();
        let lived = Duration::from_millis(random(MAX_LIFETIME_MS));
        tokio::time::sleep(lived).await;
        server.kill().unwrap();
        for client in clients {
            client.await.unwrap();
        }
        let count = acknowledged.lock().unwrap().spans.len();
        println!(
            "round {} of {rounds}: ready in {startup:.1?}, killed after {lived:.0?}, {count} spans so far",
            round + 1
        );
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(acknowledged.spans.len() >= BATCH && !acknowledged.logs.is_empty(), "nothing was sent");

    upstreams[1].set_response(Behaviour::Ok);
    let mut server = start(&dir, &options);
    for (number, upstream) in upstreams.iter().enumerate() {
        let deadline = Instant::now() + DEADLINE + DRAIN * rounds;
        loop {
            let (spans, logs) = arrived(upstream);
            let missing = (acknowledged.spans.difference(&spans).count(), acknowledged.logs.difference(&logs).count());
            if missing == (0, 0) {
                break;
            }
            assert!(Instant::now() < deadline, "upstream {number} has not received {missing:?} spans and log records");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(tokio::task::block_in_place(|| server.stop()).unwrap().success());
    assert_stored_once(dir.path(), &acknowledged).await;
    println!(
        "{} spans and {} log records, all stored and forwarded",
        acknowledged.spans.len(),
        acknowledged.logs.len()
    );
}

fn start(dir: &TempDir, options: &ServerOptions) -> ServerProcess {
    tokio::task::block_in_place(|| ServerProcess::start(binary(), dir.path(), options)).unwrap()
}

/// Returns a random number below `end`. The seed is not fixed, so that each run differs.
fn random(end: u64) -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 % end
}

/// Sends spans and log records alternately until the server is killed.
async fn send(client: Client, receiver: String, acknowledged: Arc<Mutex<Acknowledged>>) {
    loop {
        let trace_id = new_trace_id();
        let spans: Vec<_> = (0..BATCH).map(|number| span(&trace_id, &format!("work {number}"))).collect();
        if !post(&client, &receiver, &spans).await {
            return;
        }
        let ids = spans.iter().map(|span| span.span_id.to_bytes());
        acknowledged.lock().unwrap().spans.extend(ids);
        let message = format!("from {trace_id}");
        if !post(&client, &receiver, &[exception(&spans[0], &message)]).await {
            return;
        }
        acknowledged.lock().unwrap().logs.insert(message);
    }
}

async fn post<R: Record>(client: &Client, receiver: &str, records: &[R]) -> bool {
    let request = client.post(format!("{receiver}{}", R::SIGNAL.path()));
    let request = request.header(header::CONTENT_TYPE, Encoding::Protobuf.content_type());
    match request.body(encode(records, Encoding::Protobuf)).send().await {
        Ok(response) => response.status() == 200,
        Err(_) => false,
    }
}

fn arrived(upstream: &FakeHoneycomb) -> (BTreeSet<[u8; 8]>, BTreeSet<String>) {
    let spans = upstream.spans().iter().map(|span| span.span_id.to_bytes()).collect();
    (spans, upstream.logs().iter().filter_map(message).collect())
}

fn message(record: &throughline_otlp::LogRecord) -> Option<String> {
    Some(record.attribute("exception.message")?.as_str()?.to_owned())
}

async fn assert_stored_once(dir: &Path, acknowledged: &Acknowledged) {
    let store = Store::open(dir).unwrap();
    let mut spans: BTreeMap<[u8; 8], u32> = BTreeMap::new();
    let mut cursor = 0;
    loop {
        let batch = store.after(cursor, 10_000).await.unwrap();
        let Some((last, _)) = batch.last() else { break };
        cursor = *last;
        for (_, span) in batch {
            *spans.entry(span.span_id.to_bytes()).or_default() += 1;
        }
    }
    let mut logs: BTreeMap<String, u32> = BTreeMap::new();
    cursor = 0;
    loop {
        let batch = store.logs_after(cursor, 10_000).await.unwrap();
        let Some((last, _)) = batch.last() else { break };
        cursor = *last;
        for message in batch.iter().filter_map(|(_, record)| message(record)) {
            *logs.entry(message).or_default() += 1;
        }
    }
    let error = |signal: Signal| format!("an acknowledged {} is not stored exactly once", signal.record());
    assert!(acknowledged.spans.iter().all(|id| spans.get(id) == Some(&1)), "{}", error(Signal::Traces));
    assert!(acknowledged.logs.iter().all(|message| logs.get(message) == Some(&1)), "{}", error(Signal::Logs));
}
