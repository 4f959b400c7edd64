//! The server of the benchmark: it serves the pages, responds to their requests, and accepts the telemetry that they post.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::telemetry::{self, DATA, SeenSpan};

/// A page posts to this path and its number when it has created its spans.
const MADE: &str = "/made/";
/// The page that other pages navigate to.
const GONE: &str = "/gone";
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The records received so far.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The number of telemetry bodies.
    pub(crate) posts: u64,
    /// Their size in bytes.
    pub(crate) bytes: u64,
    /// The number of bodies that could not be decoded.
    pub(crate) unreadable: u64,
    /// The numbers of the requests that have a span.
    pub(crate) items: HashSet<u64>,
    /// The number of distinct spans of each name.
    pub(crate) names: HashMap<String, u64>,
    /// The pages that have created their spans.
    pub(crate) made: HashSet<u64>,
    /// The pages that have navigated to another page.
    pub(crate) gone: HashSet<u64>,
    ids: HashSet<Vec<u8>>,
}

impl Received {
    /// Returns the number of requests in `from..from + count` that have a span.
    pub(crate) fn items_within(&self, from: u64, count: u64) -> u64 {
        (from..from + count).filter(|item| self.items.contains(item)).count() as u64
    }

    fn add(&mut self, spans: Vec<SeenSpan>) {
        for span in spans {
            // A batch may be sent twice when a page is closed.
            if self.ids.insert(span.id) {
                *self.names.entry(span.name).or_default() += 1;
                self.items.extend(span.item);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Notify,
    assets: PathBuf,
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Received> {
        // A panic elsewhere leaves no inconsistent state.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.received());
        self.changed.notify_waiters();
    }
}

/// A server on a free port of 127.0.0.1. It stops when dropped.
#[derive(Debug)]
pub(crate) struct Stub {
    /// `http://127.0.0.1:<port>`.
    pub(crate) base: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Stub {
    /// Starts it; it serves the files in `assets` in addition to its own pages.
    pub(crate) async fn start(assets: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let base = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared { assets: assets.to_owned(), ..Shared::default() });
        let router = Router::new()
            .fallback(respond)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the benchmark's server ended: {error}");
            }
        });
        Ok(Self { base, shared, server })
    }

    /// Removes the records received so far.
    pub(crate) fn forget(&self) {
        self.shared.change(|received| *received = Received::default());
    }

    /// Returns the result of `look` for the records received so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.shared.received())
    }

    /// Waits until `condition` is true; returns false if it is not within `timeout`.
    pub(crate) async fn until(&self, timeout: Duration, condition: impl Fn(&Received) -> bool) -> bool {
        let end = Instant::now() + timeout;
        loop {
            // Registered before the check, so that a change in between is not missed.
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.look(&condition) {
                return true;
            }
            if timeout_at(end, changed).await.is_err() {
                return false;
            }
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if method != Method::POST {
        return page(&shared, path, uri.query().unwrap_or("")).await;
    }
    if let Some(page) = path.strip_prefix(MADE).and_then(|page| page.parse().ok()) {
        shared.change(|received| _ = received.made.insert(page));
        return reply(StatusCode::NO_CONTENT, "text/plain", "");
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let content_type = text(header::CONTENT_TYPE);
    let spans = telemetry::spans(path, content_type, text(header::CONTENT_ENCODING), &body);
    shared.change(|received| {
        received.posts += 1;
        received.bytes += body.len() as u64;
        match spans {
            Ok(spans) => received.add(spans),
            Err(_) => received.unreadable += 1,
        }
    });
    // In protobuf, a response without partial success is empty.
    if content_type.contains("protobuf") {
        reply(StatusCode::OK, "application/x-protobuf", "")
    } else {
        reply(StatusCode::OK, "application/json", "{}")
    }
}

async fn page(shared: &Shared, path: &str, query: &str) -> Response {
    const HTML: &str = "text/html; charset=utf-8";
    const JS: &str = "text/javascript";
    match path {
        "/bench.html" => reply(StatusCode::OK, HTML, include_str!("../../pages/bench.html")),
        "/bench.js" => reply(StatusCode::OK, JS, include_str!("../../pages/bench.js")),
        "/exit.html" => reply(StatusCode::OK, HTML, include_str!("../../pages/exit.html")),
        "/exit.js" => reply(StatusCode::OK, JS, include_str!("../../pages/exit.js")),
        GONE => {
            if let Some(page) = query.strip_prefix("page=").and_then(|page| page.parse().ok()) {
                shared.change(|received| _ = received.gone.insert(page));
            }
            reply(StatusCode::OK, HTML, "<!doctype html><title>Gone</title><link rel=\"icon\" href=\"data:,\">")
        }
        path if path.starts_with(DATA) => {
            let Some(number) = telemetry::item(path) else { return reply(StatusCode::NOT_FOUND, "text/plain", "") };
            let json = format!("[{{\"id\":{number},\"name\":\"Item {number}\"}},{{\"id\":0,\"name\":\"The first\"}}]");
            reply(StatusCode::OK, "application/json", json)
        }
        path => asset(shared, path.trim_start_matches('/')).await,
    }
}

async fn asset(shared: &Shared, path: &str) -> Response {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let content_type = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => return reply(StatusCode::NOT_FOUND, "text/plain", "not found"),
    };
    if !inside {
        return reply(StatusCode::NOT_FOUND, "text/plain", "not found");
    }
    match tokio::fs::read(shared.assets.join(path)).await {
        Ok(bytes) => reply(StatusCode::OK, content_type, bytes),
        Err(error) => reply(StatusCode::NOT_FOUND, "text/plain", error.to_string()),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.insert(name, header::HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, content_type);
    set(header::CACHE_CONTROL, "no-store");
    // Isolated pages have timers with a resolution of 5 µs instead of 100 µs.
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-embedder-policy"), "require-corp");
    // No tracer can send data to other servers, regardless of its defaults.
    set(header::CONTENT_SECURITY_POLICY, "default-src 'self' 'wasm-unsafe-eval' 'unsafe-inline' data: blob:");
    response
}
