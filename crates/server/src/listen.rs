//! Connections: how many at once, and how long one may take to say what it wants.

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

/// How long a system that cannot accept, for want of file descriptors, is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is asked whether the other end of an HTTP/2 connection is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a client that is told that its connection ends may take to let go of it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a listener puts up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// For the head of a request; between requests too, on connections of HTTP/2 up to twice as long.
    pub(crate) read_timeout: Duration,
    /// Beyond them nobody is let in until somebody leaves.
    pub(crate) max_connections: usize,
}

/// Serves until `stopping` becomes true and all requests have been answered.
pub(crate) async fn listen(
    listener: TcpListener,
    router: Router,
    connection_limits: ConnectionLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let turns = Arc::new(Semaphore::new(connection_limits.max_connections));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(connection_limits.read_timeout);
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
        tokio::spawn(connection.serve(connection_limits.read_timeout, stopping.clone(), turn));
    }
    drop(listener);
    // Each connection gives its turn back when it has ended.
    let all = u32::try_from(connection_limits.max_connections).expect("the settings limit the number of connections");
    drop(turns.acquire_many(all).await.expect("the semaphore is never closed"));
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    turns: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let turn = Arc::clone(turns).acquire_owned().await.expect("the semaphore is never closed");
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
    async fn serve(self, read_timeout: Duration, mut stopping: watch::Receiver<bool>, _turn: OwnedSemaphorePermit) {
        let Self { stream, peer, router, builder } = self;
        // Small responses must not wait for each other's acknowledgement.
        // best effort: without the option they are slower, and a connection that is broken shows it when it is read.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request: Request<Incoming>| {
                let open = activity.begin();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let response = router.clone().oneshot(request);
                async move { response.await.map(|response| response.map(|body| Held { body, _open: open })) }
            })
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // An error means that the sender is gone: then it is over too.
        let stop = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            // HTTP/1 has a limit of its own between requests, and HTTP/2 has none. Before the first request hyper does not know
            // which of them it is.
            () = activity.idle(read_timeout) => {
                if !activity.has_begun() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = activity.idle(LAST_WORDS) => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(error, %peer, "a connection ended early");
        }
    }
}

/// What goes on on a connection.
struct Activity {
    open: AtomicUsize,
    /// Since when nothing is open, and whether anything ever was.
    quiet: Mutex<(Instant, bool)>,
}

impl Activity {
    fn new() -> Self {
        Self { open: AtomicUsize::new(0), quiet: Mutex::new((Instant::now(), false)) }
    }

    /// A request comes in, which is open until what is returned is dropped.
    fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.note();
        Open(Arc::clone(self))
    }

    fn note(&self) {
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), true);
    }

    fn quiet(&self) -> (Instant, bool) {
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_begun(&self) -> bool {
        self.quiet().1
    }

    /// Resolves when nothing was open for so long from now on; it may take up to twice as long. It looks now and then, so that
    /// requests do not have to wake anybody.
    async fn idle(&self, limit: Duration) {
        let mut from = Instant::now();
        loop {
            tokio::time::sleep_until(from + limit).await;
            if self.open.load(Ordering::Relaxed) > 0 {
                from = Instant::now();
                continue;
            }
            let since = self.quiet().0.max(from);
            if since == from {
                return;
            }
            from = since;
        }
    }
}

/// A request, from its head to the last byte of its response.
struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.note();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response whose request is open as long as it is there.
struct Held {
    body: Body,
    _open: Open,
}

impl hyper::body::Body for Held {
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

    /// Long enough for most requests to come in time; those that do not are sent again.
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
        let connection_limits = ConnectionLimits { read_timeout, max_connections };
        Bench { address, entered, release, stop, listening: tokio::spawn(listen(listener, router, connection_limits, stopping)) }
    }

    /// A client, and what drives its connection and says how it ended.
    type Client = (SendRequest<Body>, JoinHandle<hyper::Result<()>>);
    type Answer = JoinHandle<hyper::Result<Body>>;

    impl Bench {
        async fn connect(&self) -> Client {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            (sender, tokio::spawn(connection))
        }

        /// One that has been answered.
        async fn answered(&self) -> Client {
            loop {
                let mut client = self.connect().await;
                if let Ok(body) = ask(&mut client.0, "/").await.unwrap() {
                    assert_eq!(text(body).await, "here");
                    return client;
                }
            }
        }

        /// One with a request that is open until it is released.
        async fn held(&self) -> (Client, Answer) {
            loop {
                let mut client = self.connect().await;
                let mut answer = ask(&mut client.0, "/held");
                tokio::select! {
                    () = self.entered.notified() => return (client, answer),
                    _ = &mut answer => {}
                }
            }
        }
    }

    fn ask(sender: &mut SendRequest<Body>, path: &str) -> Answer {
        let response =
            sender.send_request(Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap());
        tokio::spawn(async move { Ok(Body::new(response.await?.into_body())) })
    }

    async fn text(body: Body) -> String {
        String::from_utf8(axum::body::to_bytes(body, 100).await.unwrap().to_vec()).unwrap()
    }

    async fn within<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, what).await.unwrap()
    }

    #[tokio::test]
    async fn an_idle_connection_of_http_2_ends_and_makes_room() {
        let bench = bench(SHORT, 1).await;
        let (sender, connection) = within(bench.answered()).await;
        // The client does not let go: the server says that it ends, in good order.
        within(connection).await.unwrap().unwrap();
        assert!(sender.is_closed());
        within(bench.answered()).await;
    }

    #[tokio::test]
    async fn a_connection_with_an_open_request_does_not_end() {
        let bench = bench(SHORT, 10).await;
        let ((mut sender, _connection), held) = within(bench.held()).await;
        // Some that came later and were idle have ended: so much time has passed.
        for _ in 0..3 {
            let (_sender, connection) = within(bench.answered()).await;
            within(connection).await.unwrap().unwrap();
        }
        let another = within(ask(&mut sender, "/")).await.unwrap().expect("new ones are taken");
        assert_eq!(text(another).await, "here");
        bench.release.notify_one();
        assert_eq!(text(within(held).await.unwrap().unwrap()).await, "held");
    }

    #[tokio::test]
    async fn one_that_says_nothing_at_all_ends_too() {
        let bench = bench(SHORT, 1).await;
        let silent = TcpStream::connect(bench.address).await.unwrap();
        within(silent.readable()).await.unwrap();
        assert!(matches!(silent.try_read(&mut [0]), Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn the_end_waits_for_what_is_open() {
        let bench = bench(DEADLINE, 10).await;
        let ((mut sender, connection), held) = within(bench.held()).await;
        assert_eq!(text(within(ask(&mut sender, "/")).await.unwrap().unwrap()).await, "here");
        bench.stop.send(true).unwrap();
        assert!(!bench.listening.is_finished());
        bench.release.notify_one();
        assert_eq!(text(within(held).await.unwrap().unwrap()).await, "held");
        within(connection).await.unwrap().unwrap();
        within(bench.listening).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_from_the_end_of_the_last_request_on() {
        let limit = Duration::from_secs(30);
        let activity = Arc::new(Activity::new());
        let start = Instant::now();
        activity.idle(limit).await;
        assert_eq!((start.elapsed(), activity.has_begun()), (limit, false));

        let start = Instant::now();
        let open = activity.begin();
        let idle = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { activity.idle(limit).await }
        });
        tokio::time::sleep(limit * 10 + limit / 2).await;
        assert!(!idle.is_finished());
        drop(open);
        // It looked at ten limits, and looks again at eleven: then it has been idle for half of one.
        idle.await.unwrap();
        assert_eq!(start.elapsed(), limit * 11 + limit / 2);
    }
}
