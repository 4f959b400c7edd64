//! [`BodyClient`]: the requests of an exporter with bodies that it did not make.

use std::{
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    Request, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use opentelemetry_http::{HttpClient, HttpError};
use thiserror::Error;

/// The HTTP client of the exporter behind an [`EncodingSpanProcessor`](crate::EncodingSpanProcessor).
///
/// The exporter makes each request for no spans at all; the spans are put into it here. What the client below it answers goes back
/// to the exporter, so that the exporter tries again what can be tried again, with the same bytes.
///
/// It is for that exporter alone: whatever else is posted by it could have spans put in.
#[derive(Clone)]
pub struct BodyClient {
    inner: Arc<dyn HttpClient>,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

/// What goes into the next request.
struct Waiting {
    body: Bytes,
    /// The same, compressed, once it was asked for.
    gzipped: Option<Bytes>,
    outcome: Result<(), ClientError>,
}

/// Why an exporter's requests cannot be given a body.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum ClientError {
    #[error(
        "the exporter does not use the HTTP client that it was given: build it with `with_http()` and `with_http_client(client)`"
    )]
    NotUsed,
    #[error(
        "the exporter posts {0}, but spans are encoded as application/x-protobuf: choose the protocol http/protobuf"
    )]
    NotProtobuf(String),
    #[error("the exporter wants bodies in {0}, which is not known here; gzip is, with the feature `gzip`")]
    Encoding(String),
}

impl BodyClient {
    pub(crate) fn new(inner: Arc<dyn HttpClient>) -> Self {
        Self { inner, waiting: Arc::default() }
    }

    /// The requests that come are to have `body`.
    pub(crate) fn put(&self, body: Bytes) {
        // That a request was made is what is to be shown.
        self.set(Some(Waiting { body, gzipped: None, outcome: Err(ClientError::NotUsed) }));
    }

    /// No further request has it. The body comes back, and what became of it on this side of the client below.
    pub(crate) fn take(&self) -> (Bytes, Result<(), ClientError>) {
        match self.set(None) {
            Some(waiting) => (waiting.body, waiting.outcome),
            None => (Bytes::new(), Ok(())),
        }
    }

    fn set(&self, waiting: Option<Waiting>) -> Option<Waiting> {
        std::mem::replace(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner), waiting)
    }

    /// `request` with the body that waits.
    fn filled(&self, request: Request<Bytes>) -> Result<Request<Bytes>, ClientError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // A request of the exporter's own.
        let Some(waiting) = waiting.as_mut() else { return Ok(request) };
        let body = waiting.encoded_for(&request);
        waiting.outcome = body.as_ref().map(|_| ()).map_err(Clone::clone);
        let body = body?;
        Ok(request.map(|_| body))
    }
}

impl Waiting {
    fn encoded_for(&mut self, request: &Request<Bytes>) -> Result<Bytes, ClientError> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match request.headers().get(CONTENT_TYPE) {
            Some(kind) if kind != "application/x-protobuf" => return Err(ClientError::NotProtobuf(text(kind))),
            _ => {}
        }
        match request.headers().get(CONTENT_ENCODING) {
            None => Ok(self.body.clone()),
            Some(encoding) if encoding == "gzip" => self.gzipped(),
            Some(encoding) => Err(ClientError::Encoding(text(encoding))),
        }
    }

    #[cfg(feature = "gzip")]
    fn gzipped(&mut self) -> Result<Bytes, ClientError> {
        use std::io::Write as _;

        if let Some(gzipped) = &self.gzipped {
            return Ok(gzipped.clone());
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        // Writing to memory does not fail.
        let written = encoder.write_all(&self.body).and_then(|()| encoder.finish());
        let gzipped = Bytes::from(written.map_err(|_| ClientError::Encoding("gzip".to_owned()))?);
        self.gzipped = Some(gzipped.clone());
        Ok(gzipped)
    }

    #[cfg(not(feature = "gzip"))]
    fn gzipped(&mut self) -> Result<Bytes, ClientError> {
        self.gzipped.clone().ok_or_else(|| ClientError::Encoding("gzip".to_owned()))
    }
}

#[async_trait]
impl HttpClient for BodyClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = self.filled(request)?;
        self.inner.send_bytes(request).await
    }
}

impl Debug for BodyClient {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        // Not the bytes: they are of no use to who reads them.
        formatter.debug_struct("BodyClient").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl HttpClient for Nobody {
        async fn send_bytes(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            Err("nobody is there".into())
        }
    }

    fn client() -> BodyClient {
        BodyClient::new(Arc::new(Nobody))
    }

    fn request(kind: &str, encoding: Option<&str>) -> Request<Bytes> {
        let request = Request::post("http://door.example/v1/traces").header(CONTENT_TYPE, kind);
        let request =
            encoding.into_iter().fold(request, |request, encoding| request.header(CONTENT_ENCODING, encoding));
        request.body(Bytes::from_static(b"the exporter's")).unwrap()
    }

    #[test]
    fn a_body_goes_into_each_request_until_it_is_taken() {
        let client = client();
        let plain = || client.filled(request("application/x-protobuf", None)).unwrap().into_body();
        assert_eq!(plain(), "the exporter's");
        client.put(Bytes::from_static(b"spans"));
        assert_eq!([plain(), plain()], ["spans", "spans"]);
        assert_eq!(client.take(), (Bytes::from_static(b"spans"), Ok(())));
        assert_eq!(plain(), "the exporter's");
    }

    #[test]
    fn a_body_is_compressed_once() {
        let client = client();
        client.put(Bytes::from_static(b"spans"));
        let gzipped = || client.filled(request("application/x-protobuf", Some("gzip"))).unwrap().into_body();
        assert_eq!(gzipped().as_ptr(), gzipped().as_ptr());
    }

    #[test]
    fn requests_for_other_bodies_fail_and_say_why() {
        let client = client();
        for (kind, encoding, expected) in [
            ("application/json", None, ClientError::NotProtobuf("application/json".to_owned())),
            ("application/x-protobuf", Some("zstd"), ClientError::Encoding("zstd".to_owned())),
        ] {
            client.put(Bytes::from_static(b"spans"));
            assert_eq!(client.filled(request(kind, encoding)).unwrap_err(), expected);
            assert_eq!(client.take().1, Err(expected));
        }
        client.put(Bytes::from_static(b"spans"));
        assert_eq!(client.take().1, Err(ClientError::NotUsed));
    }
}
