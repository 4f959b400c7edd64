//! A third-party server: it has another origin than the page, and does not support tracing.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// More than a browser buffers without a reader.
const LARGE_BYTES: usize = 16 << 20;

type Part = Result<String, std::io::Error>;

/// A request that the server received.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
}

#[derive(Debug)]
struct Shared {
    requests: Mutex<Vec<ReceivedRequest>>,
    unfinished: Mutex<Vec<UnboundedSender<Part>>>,
    delays: Vec<(StatusCode, Duration)>,
    delayed_count: AtomicUsize,
}

/// A server on 127.0.0.1 that accepts requests from any page (CORS `*`). It never responds to `/hang`, responds to
/// `/parts` in two parts, to `/delayed` with the delays of [`Foreign::start`], to `/moved` with a redirect to `/plain`,
/// to `/large` with a large body, to `/nothing` with 204, and to all other paths at once. Any page may read its timing,
/// except for `/hidden/…`, which responds like the rest of that path.
#[derive(Debug)]
pub struct Foreign {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Foreign {
    /// Starts it. The response to the n-th request to `/delayed` has the status code and the delay of the n-th item of
    /// `delays`.
    ///
    /// # Errors
    /// Returns an error if it cannot listen.
    pub async fn start(delays: Vec<(StatusCode, Duration)>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            unfinished: Mutex::default(),
            delays,
            delayed_count: AtomicUsize::default(),
        });
        let router = Router::new().fallback(respond).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // best effort: it runs until the test ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { addr, shared, task })
    }

    /// Returns its base URL, `http://127.0.0.1:port`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Returns the requests received so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        lock(&self.shared.requests).clone()
    }

    /// Sends the second part of every open response to `/parts`.
    pub fn finish_responses(&self) {
        for sender in lock(&self.shared.unfinished).drain(..) {
            // best effort: the client may have closed the connection.
            let _ = sender.send(Ok("and the rest".to_owned()));
        }
    }

    /// Aborts every open response to `/parts`.
    pub fn abort_responses(&self) {
        for sender in lock(&self.shared.unfinished).drain(..) {
            let _ = sender.send(Err(std::io::Error::other("aborted")));
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list is consistent after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    lock(&shared.requests).push(ReceivedRequest {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts.headers.clone(),
    });
    let path = parts.uri.path();
    let hidden = path.strip_prefix("/hidden");
    let mut response = match hidden.unwrap_or(path) {
        "/hang" => pending().await,
        "/parts" => {
            let (sender, receiver) = unbounded_channel::<Part>();
            // infallible: the receiver exists.
            let _ = sender.send(Ok("one part ".repeat(100)));
            lock(&shared.unfinished).push(sender);
            Body::from_stream(UnboundedReceiverStream::new(receiver)).into_response()
        }
        "/delayed" => {
            let number = shared.delayed_count.fetch_add(1, Ordering::Relaxed);
            match shared.delays.get(number) {
                Some((status, delay)) => {
                    tokio::time::sleep(*delay).await;
                    (*status, "delayed").into_response()
                }
                None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        "/moved" => (StatusCode::FOUND, [(header::LOCATION, "/plain")]).into_response(),
        "/large" => "x".repeat(LARGE_BYTES).into_response(),
        "/nothing" => StatusCode::NO_CONTENT.into_response(),
        _ => "here".into_response(),
    };
    let headers = response.headers_mut();
    // Everything is allowed, so that a preflight is recorded here and does not fail the request.
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        header::ACCESS_CONTROL_ALLOW_METHODS,
    ] {
        headers.insert(name, HeaderValue::from_static("*"));
    }
    if hidden.is_none() {
        headers.insert(HeaderName::from_static("timing-allow-origin"), HeaderValue::from_static("*"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
