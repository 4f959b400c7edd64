//! Traced requests with gloo-net.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use gloo_net::{Error, http::Request};
use gloo_utils::errors::JsError;
use js_sys::{Array, Promise};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::{
    js::{self, Name},
    with,
};
use crate::session::push_hex;

/// Sends `request` with a CLIENT span, a child of the [current](super::current) context.
///
/// `route` is the template of the URL, such as `/api/users/{id}`. It becomes `url.template` and part of the span's
/// name; without it and without [`Config::route`](crate::Config::route) the name is the method, never the path.
/// `traceparent` is added for the page's own origin and for those set by
/// [`Config::propagate_to`](crate::Config::propagate_to). The span ends when the response's body has been read, or when
/// the [`Response`] is dropped.
///
/// # Errors
/// The errors of gloo-net's `Request::send`. Tracing adds none.
pub fn send(request: Request, route: Option<&str>) -> Sending {
    let request: web_sys::Request = request.into();
    let arguments = js::list(&[&request]);
    let call = with(|tracer| {
        let number = tracer.fetch_called(&arguments, route, true)?;
        Some(Call(number))
    })
    .flatten();
    Sending { promise: fetched(&arguments), call }
}

/// Sends `request` without a span and without `traceparent`.
///
/// # Errors
/// The errors of gloo-net's `Request::send`.
pub async fn send_untraced(request: Request) -> Result<gloo_net::http::Response, Error> {
    let request: web_sys::Request = request.into();
    Sending { promise: fetched(&js::list(&[&request])), call: None }.await.map(|response| response.inner)
}

/// Calls the original `fetch`: the intercepted one would trace the request, or trace it again.
fn fetched(arguments: &Array) -> JsFuture {
    let window = js::window();
    let fetch = with(|tracer| tracer.fetch.clone()).unwrap_or_else(|| js::get(&window, Name::Fetch));
    match js::apply(&fetch, &window, arguments) {
        Ok(promise) => JsFuture::from(promise.unchecked_into::<Promise>()),
        Err(error) => JsFuture::from(Promise::reject(&error)),
    }
}

/// The future of a request in flight. Created by [`send`].
#[derive(Debug)]
#[must_use = "await it to receive the response"]
pub struct Sending {
    promise: JsFuture,
    call: Option<Call>,
}

impl Future for Sending {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(result) = Pin::new(&mut self.promise).poll(cx) else { return Poll::Pending };
        let call = self.call.take();
        if let Some(Call(number)) = &call {
            with(|tracer| match &result {
                Ok(response) => tracer.answered(*number, response),
                Err(error) => tracer.failed(*number, error),
            });
        }
        Poll::Ready(match result {
            Ok(response) => Ok(Response { inner: response.unchecked_into::<web_sys::Response>().into(), call }),
            Err(error) => Err(as_error(error)),
        })
    }
}

/// Converts an error as gloo-net does, except an abort whose reason is not an `Error`, for which gloo-net panics.
fn as_error(error: JsValue) -> Error {
    match JsError::try_from(error) {
        Ok(error) => Error::JsError(error),
        Err(reason) => Error::GlooError(reason.to_string()),
    }
}

/// The number of a request in flight, which ends when this is dropped.
#[derive(Debug)]
struct Call(u32);

impl Drop for Call {
    fn drop(&mut self) {
        with(|tracer| tracer.ended(self.0));
    }
}

/// A response whose body has not been read. Reading the body, or dropping the response, ends the span.
#[derive(Debug)]
pub struct Response {
    inner: gloo_net::http::Response,
    call: Option<Call>,
}

impl Response {
    /// Returns the status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status()
    }

    /// Returns whether the status code is 200 to 299.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.inner.ok()
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> gloo_net::http::Headers {
        self.inner.headers()
    }

    /// Returns the trace id of the request, 32 hexadecimal digits, if it was traced and its span has not ended.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let mut id = String::new();
        let trace_id = with(|tracer| tracer.trace_of(self.call.as_ref()?.0)).flatten()?;
        push_hex(&mut id, &trace_id.to_hex());
        Some(id)
    }

    /// Reads the body as text.
    ///
    /// # Errors
    /// If the body is incomplete or is not text.
    pub async fn text(mut self) -> Result<String, Error> {
        let read = self.inner.text().await;
        self.read(&read);
        read
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// If the body is incomplete or is not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        let read = self.inner.json().await;
        self.read(&read);
        read
    }

    /// Reads the body as bytes.
    ///
    /// # Errors
    /// If the body is incomplete.
    pub async fn binary(mut self) -> Result<Vec<u8>, Error> {
        let read = self.inner.binary().await;
        self.read(&read);
        read
    }

    fn read<T>(&mut self, read: &Result<T, Error>) {
        let Some(call) = self.call.take() else { return };
        // JSON that cannot be parsed is not an error of the request: the transfer succeeded.
        if let Err(Error::JsError(error)) = read {
            let is_failure = error.name != "AbortError";
            with(|tracer| tracer.failed_by(call.0, is_failure.then_some(error.name.as_str())));
        }
    }
}
