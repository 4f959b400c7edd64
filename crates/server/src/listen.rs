//! The accept loop of a listener, with limits on the number of connections and on idle time.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::{
    body::{Bytes, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tower::ServiceExt as _;

/// The delay after a failed accept, which may be caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The interval of keep-alive pings on HTTP/2 connections.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The time that a client has to close an idle connection after the server has started its graceful shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// The timeout for the head of a request, and for idle connections. An idle HTTP/2 connection may last up to twice as long.
    pub(crate) read_timeout: Duration,
    /// The maximum number of open connections. Above the limit, new connections wait until another one closes.
    pub(crate) max_connections: usize,
}

/// Serves `router` on `listener` until `stopping` becomes true and all requests in flight are complete.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.read_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL);
    let builder = Arc::new(builder);
    loop {
        let accepted = tokio::select! {
            // An error means that the sender was dropped, which also stops the listener.
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let connection = Connection { stream, peer, router: router.clone(), builder: Arc::clone(&builder) };
        tokio::spawn(connection.serve(limits.read_timeout, stopping.clone(), slot));
    }
    drop(listener);
    // Each connection releases its slot when it ends.
    let all = u32::try_from(limits.max_connections).expect("the settings limit the number of connections");
    drop(slots.acquire_many(all).await.expect("the semaphore is never closed"));
}

/// Waits for a free slot, and accepts the next connection. Returns `None` after an error.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection");
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
    async fn serve(self, read_timeout: Duration, mut stopping: watch::Receiver<bool>, _slot: OwnedSemaphorePermit) {
        let Self { stream, peer, router, builder } = self;
        // Without TCP_NODELAY, small responses wait for the acknowledgement of earlier ones.
        // best effort: responses are only slower without the option, and a broken connection fails when it is read.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request: Request<Incoming>| {
                let in_flight = activity.begin();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let response = router.clone().oneshot(request);
                async move {
                    response.await.map(|response| response.map(|body| TrackedBody { body, _in_flight: in_flight }))
                }
            })
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // An error means that the sender was dropped, which also stops the connection.
        let stop = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            // hyper's read timeout covers idle HTTP/1 connections, but neither HTTP/2 nor the time before the first byte, when the
            // protocol is not known yet.
            () = activity.idle(read_timeout) => {
                if !activity.has_begun() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = activity.idle(CLOSE_TIMEOUT) => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(error, %peer, "a connection ended early");
        }
    }
}

/// The requests in flight on a connection.
struct Activity {
    in_flight: AtomicUsize,
    /// The time of the last start or end of a request, and whether there was a request.
    last: Mutex<(Instant, bool)>,
}

impl Activity {
    fn new() -> Self {
        Self { in_flight: AtomicUsize::new(0), last: Mutex::new((Instant::now(), false)) }
    }

    /// Records the start of a request, which is in flight until the returned guard is dropped.
    fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.record();
        InFlight(Arc::clone(self))
    }

    fn record(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), true);
    }

    fn last(&self) -> (Instant, bool) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_begun(&self) -> bool {
        self.last().1
    }

    /// Resolves when no request has been in flight for `limit`, counted from the call, at most one further `limit` later. It polls, so
    /// that requests do not have to wake the task.
    async fn idle(&self, limit: Duration) {
        let mut from = Instant::now();
        loop {
            tokio::time::sleep_until(from + limit).await;
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                from = Instant::now();
                continue;
            }
            let since = self.last().0.max(from);
            if since == from {
                return;
            }
            from = since;
        }
    }
}

/// A guard for a request in flight, from its head to the last byte of its response.
struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.record();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response body that keeps its request in flight until it is dropped.
struct TrackedBody {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use tokio::{sync::Notify, task::JoinHandle};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// A timeout that most requests meet. Requests that do not are sent again.
    const SHORT: Duration = Duration::from_millis(50);

    struct Bench {
        address: SocketAddr,
        entered: Arc<Notify>,
        release: Arc<Notify>,
        stop: watch::Sender<bool>,
        listening: JoinHandle<()>,
    }

    async fn bench(read_timeout: Duration, max_connections: usize) -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, held) = (Arc::clone(&entered), Arc::clone(&release));
        let router = Router::new().route("/", get(|| async { "here" })).route(
            "/held",
            get(move || async move {
                enter.notify_one();
                held.notified().await;
                "held"
            }),
        );
        let (stop, stopping) = watch::channel(false);
        let limits = ConnectionLimits { read_timeout, max_connections };
        Bench { address, entered, release, stop, listening: tokio::spawn(listen(listener, router, limits, stopping)) }
    }

    /// A client, and the task that drives its connection.
    type Client = (SendRequest<Body>, JoinHandle<hyper::Result<()>>);
    type PendingResponse = JoinHandle<hyper::Result<Body>>;

    impl Bench {
        async fn connect(&self) -> Client {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            (sender, tokio::spawn(connection))
        }

        /// Returns a client that has received a response.
        async fn connected(&self) -> Client {
            loop {
                let mut client = self.connect().await;
                if let Ok(body) = send(&mut client.0, "/").await.unwrap() {
                    assert_eq!(text(body).await, "here");
                    return client;
                }
            }
        }

        /// Returns a client with a request that is in flight until it is released.
        async fn held(&self) -> (Client, PendingResponse) {
            loop {
                let mut client = self.connect().await;
                let mut response = send(&mut client.0, "/held");
                tokio::select! {
                    () = self.entered.notified() => return (client, response),
                    _ = &mut response => {}
                }
            }
        }
    }

    fn send(sender: &mut SendRequest<Body>, path: &str) -> PendingResponse {
        let response =
            sender.send_request(Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap());
        tokio::spawn(async move { Ok(Body::new(response.await?.into_body())) })
    }

    async fn text(body: Body) -> String {
        String::from_utf8(axum::body::to_bytes(body, 100).await.unwrap().to_vec()).unwrap()
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, future).await.unwrap()
    }

    #[tokio::test]
    async fn an_idle_http_2_connection_is_closed_and_frees_its_slot() {
        let bench = bench(SHORT, 1).await;
        let (sender, connection) = within(bench.connected()).await;
        // The client keeps the connection open: the server closes it gracefully.
        within(connection).await.unwrap().unwrap();
        assert!(sender.is_closed());
        within(bench.connected()).await;
    }

    #[tokio::test]
    async fn a_connection_with_a_request_in_flight_is_not_closed() {
        let bench = bench(SHORT, 10).await;
        let ((mut sender, _connection), held) = within(bench.held()).await;
        // Three later connections are closed as idle, so at least three timeouts pass.
        for _ in 0..3 {
            let (_sender, connection) = within(bench.connected()).await;
            within(connection).await.unwrap().unwrap();
        }
        let another = within(send(&mut sender, "/")).await.unwrap().expect("new requests are accepted");
        assert_eq!(text(another).await, "here");
        bench.release.notify_one();
        assert_eq!(text(within(held).await.unwrap().unwrap()).await, "held");
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        let bench = bench(SHORT, 1).await;
        let silent = TcpStream::connect(bench.address).await.unwrap();
        within(silent.readable()).await.unwrap();
        assert!(matches!(silent.try_read(&mut [0]), Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn shutdown_waits_for_requests_in_flight() {
        let bench = bench(DEADLINE, 10).await;
        let ((mut sender, connection), held) = within(bench.held()).await;
        assert_eq!(text(within(send(&mut sender, "/")).await.unwrap().unwrap()).await, "here");
        bench.stop.send(true).unwrap();
        assert!(!bench.listening.is_finished());
        bench.release.notify_one();
        assert_eq!(text(within(held).await.unwrap().unwrap()).await, "held");
        within(connection).await.unwrap().unwrap();
        within(bench.listening).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_starts_at_the_end_of_the_last_request() {
        let limit = Duration::from_secs(30);
        let activity = Arc::new(Activity::new());
        let start = Instant::now();
        activity.idle(limit).await;
        assert_eq!((start.elapsed(), activity.has_begun()), (limit, false));

        let start = Instant::now();
        let in_flight = activity.begin();
        let idle = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { activity.idle(limit).await }
        });
        tokio::time::sleep(limit * 10 + limit / 2).await;
        assert!(!idle.is_finished());
        drop(in_flight);
        // The request ends half a limit after the tenth poll, so that the eleventh poll waits for another half.
        idle.await.unwrap();
        assert_eq!(start.elapsed(), limit * 11 + limit / 2);
    }
}
