//! A test client that passes its requests to the test.

use std::{
    collections::VecDeque,
    fmt::{self, Debug, Formatter},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

/// Long enough that only a failed test reaches it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The result of a request.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Status(u16),
    /// 503 with `Retry-After` in seconds.
    RetryAfter(u16),
    /// 200 with this number of rejected spans.
    Rejects(u8),
    Unreachable,
    Panic,
    /// A panic whose payload panics when it is dropped.
    Bomb,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload that panics");
    }
}

/// Sends each request to the test, and returns the next of the configured results, or 200.
#[derive(Clone)]
pub(crate) struct Client {
    requests: Sender<Request<Bytes>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// No request returns while the test holds this lock.
    pub(crate) gate: Arc<Mutex<()>>,
}

impl Client {
    pub(crate) fn new() -> (Self, Receiver<Request<Bytes>>) {
        let (requests, received) = channel();
        (Self { requests, answers: Arc::default(), gate: Arc::default() }, received)
    }

    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> (Self, Receiver<Request<Bytes>>) {
        let (client, received) = Self::new();
        client.answers.lock().unwrap().extend(answers);
        (client, received)
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Tracing the export requests would create spans endlessly.
        assert!(Context::is_current_telemetry_suppressed());
        // best effort: a test may have dropped the receiver.
        let _ = self.requests.send(request);
        drop(self.gate.lock().unwrap());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
        match answer {
            Answer::Status(status) => Ok(Response::builder().status(status).body(Bytes::new())?),
            Answer::RetryAfter(seconds) => {
                Ok(Response::builder().status(503).header("retry-after", seconds).body(Bytes::new())?)
            }
            Answer::Rejects(spans) => {
                // `ExportTraceServiceResponse { partial_success: { rejected_spans } }`
                Ok(Response::new(Bytes::copy_from_slice(&[0x0a, 0x02, 0x08, spans])))
            }
            Answer::Bomb => std::panic::panic_any(Bomb),
            Answer::Unreachable => Err("connection refused".into()),
            Answer::Panic => panic!("a client that panics"),
        }
    }
}

impl Debug for Client {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Client")
    }
}

/// Decodes the body of a request.
pub(crate) fn decoded(request: &Request<Bytes>) -> ExportTraceServiceRequest {
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    ExportTraceServiceRequest::decode(request.body().clone()).unwrap()
}

/// Returns the names of the posted spans, in order.
pub(crate) fn names(request: &Request<Bytes>) -> Vec<String> {
    let scopes = decoded(request).resource_spans.into_iter().flat_map(|of_resource| of_resource.scope_spans);
    scopes.flat_map(|of_scope| of_scope.spans).map(|span| span.name).collect()
}
