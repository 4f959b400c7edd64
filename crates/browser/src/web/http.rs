//! Traced requests by gloo-net.

use gloo_net::{Error, http::Request};
use gloo_utils::errors::JsError;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::{fetch, js, js::Name, tracer};

/// Sends `request` as a CLIENT span, a child of the [current](super::current) context.
///
/// `route` is the template of the URL, such as `/api/users/{id}`: it becomes `url.template` and part of the span's name; without
/// it and without [`Config::route`](crate::Config::route) the name is the method alone, never the path. `traceparent` is added
/// for the page's own origin and for those that [`Config::propagate_to`](crate::Config::propagate_to) names. The span ends when
/// the response's body has been read, or when the [`Response`] is dropped.
///
/// # Errors
/// As gloo-net's `Request::send`. Nothing fails because of the tracing.
pub async fn send(request: Request, route: Option<&str>) -> Result<Response, Error> {
    let Some(tracer) = tracer() else {
        return send_untraced(request).await.map(|inner| Response { inner, call: None });
    };
    let request: web_sys::Request = request.into();
    let begun = fetch::begin(&tracer, js_sys::Array::of1(&request), route, true);
    // From here on it ends, whatever becomes of this future.
    let call = begun.map(|(number, _)| Call { number, trace_id: fetch::trace_id(&tracer, number) });
    match fetched(&tracer.fetch, &request).await {
        Ok(response) => {
            if let Some(call) = &call {
                fetch::answered(&tracer, call.number, &response);
            }
            Ok(Response { inner: response.unchecked_into::<web_sys::Response>().into(), call })
        }
        Err(error) => {
            if let Some(call) = &call {
                fetch::failed(&tracer, call.number, &error);
            }
            Err(as_error(error))
        }
    }
}

/// Sends `request` without a span and without `traceparent`.
///
/// # Errors
/// As gloo-net's `Request::send`.
pub async fn send_untraced(request: Request) -> Result<gloo_net::http::Response, Error> {
    let request: web_sys::Request = request.into();
    let fetch = tracer().map_or_else(|| js::get(&js::window(), Name::Fetch), |tracer| tracer.fetch.clone());
    match fetched(&fetch, &request).await {
        Ok(response) => Ok(response.unchecked_into::<web_sys::Response>().into()),
        Err(error) => Err(as_error(error)),
    }
}

async fn fetched(fetch: &JsValue, request: &web_sys::Request) -> Result<JsValue, JsValue> {
    let promise = js::apply(fetch, &js::window(), &js_sys::Array::of1(request))?;
    JsFuture::from(promise.unchecked_into::<js_sys::Promise>()).await
}

/// As gloo-net says it, but for an abort with a reason that is no `Error`: that would be a panic there.
fn as_error(error: JsValue) -> Error {
    match JsError::try_from(error) {
        Ok(error) => Error::JsError(error),
        Err(reason) => Error::GlooError(reason.to_string()),
    }
}

/// A request under way, which ends when this is dropped.
#[derive(Debug)]
struct Call {
    number: u32,
    trace_id: Option<String>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(tracer) = tracer() {
            fetch::ended(&tracer, self.number);
        }
    }
}

/// A response whose body is still to be read; reading it, or dropping this, ends the span.
#[derive(Debug)]
pub struct Response {
    inner: gloo_net::http::Response,
    call: Option<Call>,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.inner.status()
    }

    /// Whether the status code is 200 to 299.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.inner.ok()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> gloo_net::http::Headers {
        self.inner.headers()
    }

    /// The trace of the request, 32 hex digits, if it was traced.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.call.as_ref()?.trace_id.clone()
    }

    /// Reads the body as text.
    ///
    /// # Errors
    /// If the body breaks off or is not text.
    pub async fn text(mut self) -> Result<String, Error> {
        let read = self.inner.text().await;
        self.read(&read);
        read
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// If the body breaks off or is not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        let read = self.inner.json().await;
        self.read(&read);
        read
    }

    /// Reads the body as bytes.
    ///
    /// # Errors
    /// If the body breaks off.
    pub async fn binary(mut self) -> Result<Vec<u8>, Error> {
        let read = self.inner.binary().await;
        self.read(&read);
        read
    }

    fn read<T>(&mut self, read: &Result<T, Error>) {
        let Some(call) = self.call.take() else { return };
        // JSON that does not parse is the application's affair: the transfer was good.
        if let (Err(Error::JsError(error)), Some(tracer)) = (read, tracer()) {
            let intended = error.name == "AbortError";
            fetch::failed_by(&tracer, call.number, if intended { None } else { Some(&error.name) });
        }
    }
}
