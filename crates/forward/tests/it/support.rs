//! Helpers: numbered records, a store in a temporary directory, and waiting with a deadline.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use throughline_context::{SpanId, TraceId};
use throughline_forward::{
    BackoffConfig, ForwardConfig, Forwarder, OtlpSink, SinkState, SinkStatus, Sources, logs_endpoint, spawn,
    traces_endpoint,
};
use throughline_otlp::{KeyValue, LogRecord, Resource, Signal, Span};
use throughline_store::{Metrics, Outbox, SinkCursor, SinkName, SpanStore as _, Store};
use tokio::sync::watch::Receiver;

pub(crate) const KEY: &str = "hcaik_not_to_be_seen";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn config() -> ForwardConfig {
    let ms = Duration::from_millis;
    ForwardConfig::default()
        .with_linger(ms(1))
        .with_backoff(BackoffConfig::new(ms(2), ms(10)))
        .with_max_retry_after(ms(10))
        .with_auth_probe(ms(5))
        .with_absent_probe(ms(5))
}

pub(crate) fn sink(addr: SocketAddr) -> OtlpSink {
    let base = format!("http://{addr}");
    OtlpSink::new(name("honeycomb"), traces_endpoint(&base).unwrap())
        .with_logs_endpoint(logs_endpoint(&base).unwrap())
        .with_headers([("x-honeycomb-team".to_owned(), SecretString::from(KEY))])
}

pub(crate) fn name(sink: &str) -> SinkName {
    SinkName::new(sink).unwrap()
}

/// Returns the span cursor of the sink of [`sink`].
pub(crate) fn span_cursor() -> SinkCursor {
    name("honeycomb").cursor(Signal::Traces)
}

pub(crate) fn span(number: u64) -> Span {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "web")], ..Resource::default() };
    let mut trace_id = [1; 16];
    trace_id[8..].copy_from_slice(&(number / 10 + 1).to_be_bytes());
    let mut span = Span::new(
        TraceId::from_bytes(trace_id).unwrap(),
        SpanId::from_bytes((number + 1).to_be_bytes()).unwrap(),
        Arc::new(resource),
        Arc::default(),
    );
    span.name = format!("span {number}");
    (span.start_ns, span.end_ns) = (1_000_000 * number, 1_000_000 * number + 500);
    span.attributes = vec![KeyValue::new("number", i64::try_from(number).unwrap())];
    span
}

pub(crate) fn poison(number: u64) -> Span {
    let mut span = span(number);
    span.attributes.push(KeyValue::new("poison", "x".repeat(70_000)));
    span
}

pub(crate) fn log_record(number: u64) -> LogRecord {
    let resource = Resource { attributes: vec![KeyValue::new("service.name", "web")], ..Resource::default() };
    let mut record = LogRecord::new(Arc::new(resource), Arc::default());
    record.event_name = "exception".to_owned();
    record.time_ns = 1_000_000 * number;
    // Some belong to a trace, some do not.
    record.trace_id = number.is_multiple_of(3).then(|| span(number).trace_id);
    record.attributes = vec![KeyValue::new("number", i64::try_from(number).unwrap())];
    record
}

pub(crate) fn log_numbers(records: &[LogRecord]) -> Vec<i64> {
    records.iter().map(|record| record.attribute("number").unwrap().as_i64().unwrap()).collect()
}

pub(crate) fn numbers(spans: &[Span]) -> Vec<i64> {
    spans.iter().map(|span| span.attribute("number").unwrap().as_i64().unwrap()).collect()
}

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    pub(crate) async fn append(&self, numbers: std::ops::Range<u64>) {
        self.store.append(numbers.map(span).collect()).await.unwrap();
    }

    pub(crate) async fn append_logs(&self, numbers: std::ops::Range<u64>) {
        self.store.append_logs(numbers.map(log_record).collect()).await.unwrap();
    }

    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::open(self.dir.path()).unwrap()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::open(self.dir.path()).unwrap()
    }

    pub(crate) fn sources(&self) -> Sources {
        Sources::new(self.store.clone(), self.outbox())
    }

    pub(crate) fn spawn(&self, addr: SocketAddr) -> Forwarder {
        spawn(self.sources(), sink(addr), config()).unwrap()
    }
}

pub(crate) async fn until(forwarder: &Forwarder, done: impl FnMut(&SinkStatus) -> bool) -> SinkStatus {
    until_status(forwarder.status(Signal::Traces).unwrap(), done).await
}

/// Waits for a status of the part that delivers log records.
pub(crate) async fn until_logs(forwarder: &Forwarder, done: impl FnMut(&SinkStatus) -> bool) -> SinkStatus {
    until_status(forwarder.status(Signal::Logs).unwrap(), done).await
}

pub(crate) async fn until_status(
    mut status: Receiver<SinkStatus>,
    done: impl FnMut(&SinkStatus) -> bool,
) -> SinkStatus {
    if let Ok(seen) = tokio::time::timeout(TIMEOUT, status.wait_for(done)).await {
        return seen.unwrap().clone();
    }
    panic!("the status is still {:?}", status.borrow());
}

/// Returns an address on which nothing listens. It uses a second loopback address if there is one, so that no other test gets the
/// same port in the meantime.
pub(crate) fn free_addr() -> SocketAddr {
    let last = if cfg!(target_os = "linux") { 2 } else { 1 };
    TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap().local_addr().unwrap()
}

/// Waits until the sink has nothing to do and `done`.
pub(crate) async fn until_idle(forwarder: &Forwarder, mut done: impl FnMut(&SinkStatus) -> bool) -> SinkStatus {
    until(forwarder, |status| status.state == SinkState::Idle && done(status)).await
}
