//! Faulty request bodies.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::gzip;

/// A body that fails at once.
pub(crate) struct Broken;

/// A body that begins and then stalls.
pub(crate) struct Silent {
    pub(crate) head: Option<axum::body::Bytes>,
}

/// An endless gzip stream of zeros.
pub(crate) struct Bomb;

pub(crate) type Frame = Poll<Option<Result<http_body::Frame<axum::body::Bytes>, std::io::Error>>>;

impl http_body::Body for Broken {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Frame {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

impl http_body::Body for Silent {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Frame {
        self.head.take().map_or(Poll::Pending, |head| Poll::Ready(Some(Ok(http_body::Frame::data(head)))))
    }
}

impl http_body::Body for Bomb {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Frame {
        // Each frame is a gzip member with 1 MiB of zeros.
        let member = gzip(&vec![0; 1 << 20]);
        Poll::Ready(Some(Ok(http_body::Frame::data(member.into()))))
    }
}
