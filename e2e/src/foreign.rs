//! Somebody else's server: it is on another origin than the page, and knows nothing of tracing.

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

/// More than a browser takes in without a reader.
const LARGE_BYTES: usize = 16 << 20;

type Part = Result<String, std::io::Error>;

/// A request that arrived there.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    unfinished: Mutex<Vec<UnboundedSender<Part>>>,
    delays: Vec<(StatusCode, Duration)>,
    answered: AtomicUsize,
}

/// A server on 127.0.0.1 that any page may ask (CORS `*`). It answers `/hang` never, `/parts` in two parts, `/delayed` as
/// [`Foreign::start`] was told, `/moved` with the way to `/plain`, `/large` with much, `/nothing` with 204, and anything else at
/// once. Any page may see its timing, but not that of `/hidden/…`, which
/// answers as the rest of that path does.
#[derive(Debug)]
pub struct Foreign {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Foreign {
    /// Starts it. The n-th request to `/delayed` gets the n-th of `delays`: the status code, and when it comes.
    ///
    /// # Errors
    /// No port is to be had.
    pub async fn start(delays: Vec<(StatusCode, Duration)>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            unfinished: Mutex::default(),
            delays,
            answered: AtomicUsize::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { addr, shared, task })
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.addr.port()
    }

    /// What arrived so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Sends the rest of every answer to `/parts`.
    pub fn finish(&self) {
        for sender in lock(&self.shared.unfinished).drain(..) {
            // Nobody may be listening any more.
            let _ = sender.send(Ok("and the rest".to_owned()));
        }
    }

    /// Breaks every answer to `/parts` off.
    pub fn break_off(&self) {
        for sender in lock(&self.shared.unfinished).drain(..) {
            let _ = sender.send(Err(std::io::Error::other("broken off")));
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list is whole after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    lock(&shared.seen).push(Seen {
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
            // The receiver is here.
            let _ = sender.send(Ok("one part ".repeat(100)));
            lock(&shared.unfinished).push(sender);
            Body::from_stream(UnboundedReceiverStream::new(receiver)).into_response()
        }
        "/delayed" => {
            let number = shared.answered.fetch_add(1, Ordering::Relaxed);
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
    // Each is allowed, so that a preflight is seen here and does not fail the request.
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
