//! Bodies that do not behave.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::gzip;

/// A body that breaks off at once.
pub(crate) struct Broken;

/// A body that begins and does not go on.
pub(crate) struct Silent {
    pub(crate) head: Option<axum::body::Bytes>,
}

/// Zeros in gzip, for ever.
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
        // One member after the other, each a megabyte of zeros.
        let member = gzip(&vec![0; 1 << 20]);
        Poll::Ready(Some(Ok(http_body::Frame::data(member.into()))))
    }
}
