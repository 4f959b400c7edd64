//! Upgraded connections, such as WebSocket: their span ends when the connection closes.
//!
//! After `101 Switching Protocols` hyper hands the connection to the handler, and the layer cannot observe it any more.
//! So the layer requests the upgraded connection itself and gives the handler one end of a pipe instead; a task copies
//! bytes between the pipe and the connection. This copies each byte once, and only for requests with an upgrade.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use http::{Extensions, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::oneshot,
};

use crate::in_flight::{End, InFlight};

/// The capacity of the pipe in each direction.
const PIPE_BYTES: usize = 16 * 1024;
/// The size of a copy buffer.
const BUFFER_BYTES: usize = 8 * 1024;
/// The in-memory upgrade takes a few polls; more would mean that it never completes.
const MAX_POLLS: usize = 64;

/// Copies between a connection and the handler that upgraded it.
pub(crate) struct Bridge {
    connection: OnUpgrade,
    near: DuplexStream,
    dropped: oneshot::Receiver<()>,
}

impl Bridge {
    /// Replaces the connection's upgrade in a request with the pipe's. Returns `None`, and changes nothing, if the
    /// request has no upgrade.
    pub(crate) fn install(extensions: &mut Extensions) -> Option<Self> {
        let connection = extensions.get::<OnUpgrade>()?.clone();
        tokio::runtime::Handle::try_current().ok()?;
        let (near, far, dropped) = pipe()?;
        extensions.insert(far);
        Some(Self { connection, near, dropped })
    }

    /// Copies bytes in both directions until the connection closes, and then ends the span.
    pub(crate) fn copy(self, mut in_flight: InFlight) {
        tokio::spawn(async move {
            let Ok(connection) = self.connection.await else {
                in_flight.end(&End::Cancelled);
                return;
            };
            let (sent, received) = copy(TokioIo::new(connection), self.near, self.dropped).await;
            in_flight.sent(sent);
            in_flight.received(received);
            in_flight.end(&End::Complete);
        });
    }
}

/// Creates a pipe whose far end is a hyper [`OnUpgrade`]. Only hyper can create one, so it serves an upgrade request
/// over the pipe, immediately and in memory.
fn pipe() -> Option<(DuplexStream, OnUpgrade, oneshot::Receiver<()>)> {
    let (mut near, stream) = tokio::io::duplex(PIPE_BYTES);
    let (here, dropped) = oneshot::channel();
    let far = Far { stream, _here: here };
    let taken = Arc::new(Mutex::new(None));
    let upgrade = Arc::clone(&taken);
    let service = service_fn(move |mut request: Request<Incoming>| {
        *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(&mut request));
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "pipe")
            .body(Nothing);
        std::future::ready(response)
    });
    let serve = http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades();
    let handshake = async move {
        near.write_all(b"GET / HTTP/1.1\r\nhost: pipe\r\nconnection: upgrade\r\nupgrade: pipe\r\n\r\n").await.ok()?;
        let mut last = [0; 4];
        while last != *b"\r\n\r\n" {
            last.rotate_left(1);
            last[3] = near.read_u8().await.ok()?;
        }
        Some(near)
    };
    let (mut serve, mut handshake) = (pin!(serve), pin!(handshake));
    let mut near = None;
    let mut is_served = false;
    // Each side waits only for the other, so no waker is needed.
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..MAX_POLLS {
        if !is_served {
            is_served = serve.as_mut().poll(&mut cx).is_ready();
        }
        if near.is_none()
            && let Poll::Ready(stream) = handshake.as_mut().poll(&mut cx)
        {
            near = Some(stream?);
        }
        if is_served && near.is_some() {
            break;
        }
    }
    let far = taken.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    if is_served { Some((near?, far, dropped)) } else { None }
}

/// Copies until both directions have ended or the handler has dropped its end. Returns the bytes sent to and received
/// from the client.
async fn copy(
    connection: impl AsyncRead + AsyncWrite,
    near: DuplexStream,
    mut dropped: oneshot::Receiver<()>,
) -> (u64, u64) {
    let (mut from_client, mut to_client) = tokio::io::split(connection);
    let (mut from_handler, mut to_handler) = tokio::io::split(near);
    let (mut sent, mut received) = (0, 0);
    {
        let mut down = pin!(pump(&mut from_handler, &mut to_client, &mut sent));
        let mut up = pin!(pump(&mut from_client, &mut to_handler, &mut received));
        let (mut is_down_over, mut is_up_over, mut is_dropped) = (false, false, false);
        // Bytes that the handler wrote before it dropped its end are still sent.
        while !(is_down_over && (is_up_over || is_dropped)) {
            tokio::select! {
                ended = &mut down, if !is_down_over => {
                    is_down_over = true;
                    // The client accepts no more bytes, so there is nothing left to send.
                    is_dropped |= ended.is_err();
                }
                _ = &mut up, if !is_up_over => is_up_over = true,
                _ = &mut dropped, if !is_dropped => is_dropped = true,
            }
        }
    }
    (sent, received)
}

/// Copies from `from` to `to` until the end, shuts `to` down, and adds the bytes to `count`. Returns an error if a
/// write fails.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &mut u64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // A read error counts as the end of the connection.
        let length = from.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..length).expect("a read does not exceed the buffer")).await?;
        to.flush().await?;
        *count = count.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
}

/// The handler's end of the pipe; signals when it is dropped.
struct Far {
    stream: DuplexStream,
    _here: oneshot::Sender<()>,
}

impl AsyncRead for Far {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Far {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The empty body of a response that switches protocols.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
