//! Connections: how many at once, and how long one may take to say what it wants.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tower::ServiceExt as _;

/// How long a system that cannot accept, for want of file descriptors, is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is asked whether the other end of an HTTP/2 connection is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What a listener puts up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of a request; between requests too.
    pub(crate) read_timeout: Duration,
    /// Beyond them nobody is let in until somebody leaves.
    pub(crate) max_connections: usize,
}

/// Serves until `stopping` becomes true and all requests have been answered.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    mut stopping: watch::Receiver<bool>,
) {
    let turns = Arc::new(Semaphore::new(patience.max_connections));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.read_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL);
    let builder = Arc::new(builder);
    loop {
        let accepted = tokio::select! {
            // An error means that the sender is gone: then it is over too.
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = accept(&listener, &turns) => accepted,
        };
        let Some((stream, peer, turn)) = accepted else { continue };
        let connection = Connection { stream, peer, router: router.clone(), builder: Arc::clone(&builder) };
        tokio::spawn(connection.serve(patience.read_timeout, graceful.watcher(), turn));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    turns: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, turn)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
}

impl Connection {
    async fn serve(self, read_timeout: Duration, watcher: Watcher, _turn: OwnedSemaphorePermit) {
        let Self { stream, peer, router, builder } = self;
        // Small responses must not wait for each other's acknowledgement.
        drop(stream.set_nodelay(true));
        let has_asked = Arc::new(AtomicBool::new(false));
        let service = {
            let has_asked = Arc::clone(&has_asked);
            service_fn(move |request: Request<Incoming>| {
                has_asked.store(true, Ordering::Relaxed);
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                router.clone().oneshot(request)
            })
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = watcher.watch(connection);
        tokio::pin!(connection);
        // Until the first request hyper does not know which version of HTTP it is, and has no timeout.
        let result = tokio::select! {
            result = &mut connection => result,
            () = tokio::time::sleep(read_timeout) => {
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(error, %peer, "a connection ended early");
        }
    }
}
