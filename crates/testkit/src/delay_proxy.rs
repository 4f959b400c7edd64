//! A TCP proxy whose two directions are delayed independently: a network with known latency.
//!
//! It uses plain threads, because the timers of an asynchronous runtime have a resolution of one millisecond: a writer
//! sleeps until shortly before a chunk is due and spins for the rest. Nothing spins while nothing is in flight.

use anyhow::Context as _;
use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The size of the read buffer.
const CHUNK_BYTES: usize = 16 * 1024;
/// The number of chunks that may be in flight in one direction: 16 MiB, above which the sender is blocked.
const CHUNKS_IN_FLIGHT: usize = 1024;
/// The system's sleep overruns by less than this on a machine that is not overloaded.
const SPIN: Duration = Duration::from_micros(150);
/// The timeout for connecting to the upstream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A proxy on 127.0.0.1 that forwards every byte a fixed time after it was read. It stops when dropped.
///
/// Bytes and the end of a stream are delayed; connecting is not: the kernel accepts the client at once, and the proxy
/// connects to the upstream as soon as the client is accepted.
#[derive(Debug)]
pub struct DelayProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    up_ns: AtomicU64,
    down_ns: AtomicU64,
    worst_lateness_ns: AtomicU64,
    stopped: AtomicBool,
    next_id: AtomicU64,
    /// The client's and the upstream's socket of each open connection, so that [`DelayProxy::stop`] can close them.
    open: Mutex<HashMap<u64, (TcpStream, TcpStream)>>,
}

/// A chunk or the end of a stream that a reader passes to its writer, with the time at which it is due.
enum Piece {
    Bytes(Instant, Vec<u8>),
    End(Instant),
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, (TcpStream, TcpStream)>> {
        // A map of sockets is consistent after any panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay(&self, direction: Direction) -> Duration {
        let cell = match direction {
            Direction::Up => &self.up_ns,
            Direction::Down => &self.down_ns,
        };
        Duration::from_nanos(cell.load(Ordering::Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl DelayProxy {
    /// Listens on a free port of 127.0.0.1 and forwards connections to `upstream`. Bytes from the client are delayed by
    /// `up`, bytes from the upstream by `down`.
    ///
    /// # Errors
    /// Returns an error if it cannot listen or cannot start a thread.
    pub fn start(upstream: SocketAddr, up: Duration, down: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.up_ns.store(nanos(up), Ordering::Relaxed);
        shared.down_ns.store(nanos(down), Ordering::Relaxed);
        let acceptor = thread::Builder::new().name("delay-accept".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, upstream, &shared)
        })?;
        Ok(Self { addr, shared, acceptor: Some(acceptor) })
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes both delays for chunks that are read from now on, also on open connections. Order is kept: a chunk never
    /// overtakes an earlier one.
    pub fn set_delays(&self, up: Duration, down: Duration) {
        self.shared.up_ns.store(nanos(up), Ordering::Relaxed);
        self.shared.down_ns.store(nanos(down), Ordering::Relaxed);
    }

    /// Returns the longest time by which a chunk was written too late since the start: the error of the configured
    /// delays, on a machine that is busy.
    #[must_use]
    pub fn worst_lateness(&self) -> Duration {
        Duration::from_nanos(self.shared.worst_lateness_ns.load(Ordering::Relaxed))
    }

    /// Closes every connection, also those being established, and the port.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which sees the flag.
        let woken = TcpStream::connect_timeout(&self.addr, CONNECT_TIMEOUT).is_ok();
        for (client, upstream) in self.shared.open().values() {
            close_both(client, upstream);
        }
        if woken && acceptor.join().is_err() {
            tracing::error!("the accepting thread of a delay proxy panicked");
        }
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.close();
    }
}

fn close_both(a: &TcpStream, b: &TcpStream) {
    // best effort: one that is closed already cannot be shut down
    let _ = a.shutdown(Shutdown::Both);
    // best effort: as above
    let _ = b.shutdown(Shutdown::Both);
}

fn accept(listener: &TcpListener, upstream: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new().name("delay-connect".to_owned()).spawn(move || {
            if let Err(error) = connect(&client, upstream, &shared) {
                tracing::debug!(%error, "delay proxy closed a connection");
                // best effort: the client may have closed it
                let _ = client.shutdown(Shutdown::Both);
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "delay proxy cannot start a thread for a connection");
        }
    }
}

fn connect(client: &TcpStream, upstream: SocketAddr, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let server = TcpStream::connect_timeout(&upstream, CONNECT_TIMEOUT)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    shared.open().insert(id, (client.try_clone()?, server.try_clone()?));
    if shared.stopped.load(Ordering::SeqCst) {
        close_both(client, &server);
    }
    let up = pump(client, &server, Direction::Up, shared);
    let down = pump(&server, client, Direction::Down, shared);
    let started = up.is_ok() && down.is_ok();
    if !started {
        close_both(client, &server);
    }
    for handle in [up, down].into_iter().flatten().flatten() {
        // best effort: a panic of the thread was printed to standard error, and its connection is closed
        let _ = handle.join();
    }
    shared.open().remove(&id);
    anyhow::ensure!(started, "cannot start the threads of a connection");
    Ok(())
}

/// Starts the two threads that copy bytes from `from` to `to`.
fn pump(
    from: &TcpStream,
    to: &TcpStream,
    direction: Direction,
    shared: &Arc<Shared>,
) -> anyhow::Result<[JoinHandle<()>; 2]> {
    let (sender, receiver) = sync_channel(CHUNKS_IN_FLIGHT);
    let (reader_from, reader_to) = (from.try_clone()?, to.try_clone()?);
    let (writer_from, writer_to) = (from.try_clone()?, to.try_clone()?);
    let reader_shared = Arc::clone(shared);
    let writer_shared = Arc::clone(shared);
    let writer = thread::Builder::new().name("delay-write".to_owned()).spawn(move || {
        if write(&writer_to, &receiver, &writer_shared).is_err() {
            close_both(&writer_from, &writer_to);
        }
    })?;
    let reader = thread::Builder::new().name("delay-read".to_owned()).spawn(move || {
        if read(&reader_from, &sender, direction, &reader_shared).is_err() {
            close_both(&reader_from, &reader_to);
        }
    })?;
    Ok([reader, writer])
}

fn read(
    mut from: &TcpStream,
    sender: &SyncSender<Piece>,
    direction: Direction,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let due = Instant::now() + shared.delay(direction);
        let piece = if length == 0 { Piece::End(due) } else { Piece::Bytes(due, buffer[..length].to_vec()) };
        // If sending fails, the writer has ended and closed the connection.
        if sender.send(piece).is_err() || length == 0 {
            return Ok(());
        }
    }
}

fn write(mut to: &TcpStream, receiver: &Receiver<Piece>, shared: &Shared) -> std::io::Result<()> {
    while let Ok(piece) = receiver.recv() {
        let (Piece::Bytes(due, _) | Piece::End(due)) = &piece;
        wait_until(*due);
        let lateness = nanos(Instant::now().saturating_duration_since(*due));
        match piece {
            Piece::Bytes(_, bytes) => {
                to.write_all(&bytes)?;
                shared.worst_lateness_ns.fetch_max(lateness, Ordering::Relaxed);
            }
            Piece::End(_) => {
                // The other direction stays open: a half-close is forwarded as one.
                // best effort: the receiver may have closed the connection
                let _ = to.shutdown(Shutdown::Write);
                return Ok(());
            }
        }
    }
    Ok(())
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > SPIN {
        thread::sleep(left - SPIN);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(proxy: &DelayProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.addr()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }

    fn receive(mut stream: &TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn directions_are_delayed_independently() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (up, down) = (Duration::from_millis(30), Duration::from_millis(5));
        let proxy = DelayProxy::start(listener.local_addr().unwrap(), up, down).unwrap();
        let (mut client, mut server) = pair(&proxy, &listener);
        let sent = Instant::now();
        client.write_all(b"ping").unwrap();
        assert_eq!(receive(&server, 4), b"ping");
        assert!(sent.elapsed() >= up);
        let sent = Instant::now();
        server.write_all(b"reply").unwrap();
        assert_eq!(receive(&client, 5), b"reply");
        assert!(sent.elapsed() >= down);

        proxy.set_delays(Duration::ZERO, Duration::from_millis(40));
        let sent = Instant::now();
        client.write_all(b"ping").unwrap();
        assert_eq!(receive(&server, 4), b"ping");
        server.write_all(b"reply").unwrap();
        assert_eq!(receive(&client, 5), b"reply");
        assert!(sent.elapsed() >= Duration::from_millis(40));
    }

    #[test]
    fn chunks_keep_their_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy =
            DelayProxy::start(listener.local_addr().unwrap(), Duration::from_millis(20), Duration::ZERO).unwrap();
        let (client, server) = pair(&proxy, &listener);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let writer = thread::spawn({
            let sent = sent.clone();
            move || {
                (&client).write_all(&sent).unwrap();
                client
            }
        });
        assert!(receive(&server, sent.len()) == sent);
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_half_close_is_forwarded_and_the_other_direction_stays_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy =
            DelayProxy::start(listener.local_addr().unwrap(), Duration::from_millis(5), Duration::from_millis(5))
                .unwrap();
        let (mut client, mut server) = pair(&proxy, &listener);
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = String::new();
        server.read_to_string(&mut received).unwrap();
        assert_eq!(received, "last words");
        server.write_all(b"still here").unwrap();
        drop(server);
        let mut received = String::new();
        client.read_to_string(&mut received).unwrap();
        assert_eq!(received, "still here");
    }

    #[test]
    fn an_unreachable_upstream_closes_the_connection() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let proxy = DelayProxy::start(gone, Duration::ZERO, Duration::ZERO).unwrap();
        let mut client = TcpStream::connect(proxy.addr()).unwrap();
        assert!(!matches!(client.read(&mut [0; 1]), Ok(1..)));
    }

    #[test]
    fn stop_closes_open_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy =
            DelayProxy::start(listener.local_addr().unwrap(), Duration::from_secs(3600), Duration::ZERO).unwrap();
        let (mut client, _server) = pair(&proxy, &listener);
        // A round trip from the upstream, so that the connection is known to the proxy.
        (&_server).write_all(b"x").unwrap();
        assert_eq!(receive(&client, 1), b"x");
        let addr = proxy.addr();
        proxy.stop();
        assert!(!matches!(client.read(&mut [0; 1]), Ok(1..)));
        assert!(TcpStream::connect(addr).is_err());
    }
}
