//! Traced requests by gloo-net.

use std::rc::Rc;

use gloo_net::{Error, http::Request};
use gloo_utils::errors::JsError;
use serde::de::DeserializeOwned;
use throughline_context::{TraceParent, redact_url};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::{
    Tracer, current,
    finish::{self, Awaiting, UnderWay},
    platform, tracer,
};
use crate::{
    context::Scope,
    span::{Attributes, Kind, SpanData},
};

/// Methods that stand in a span's name and attributes as they are; any other is `_OTHER`.
const KNOWN_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Sends `request` as a CLIENT span, a child of the [current](super::current) context.
///
/// `route` is the template of the URL, such as `/api/users/{id}`: it becomes `url.template` and part of the span's name; without
/// it the name is the method alone, never the path. `traceparent` is added for the page's own origin and for those that
/// [`Config::propagate_to`](crate::Config::propagate_to) names. The span ends when the response's body has been read, or when
/// the [`Response`] is dropped.
///
/// # Errors
/// As gloo-net's `Request::send`. Nothing fails because of the tracing.
pub async fn send(request: Request, route: Option<&str>) -> Result<Response, Error> {
    let Some(tracer) = tracer() else {
        return send_untraced(request).await.map(|inner| Response { inner, call: None });
    };
    let mut call = Call::begin(&tracer, &request, route);
    match fetch(request).await {
        Ok(inner) => {
            call.answered(&inner);
            Ok(Response { inner, call: Some(call) })
        }
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}

/// Sends `request` without a span and without `traceparent`.
///
/// # Errors
/// As gloo-net's `Request::send`.
pub async fn send_untraced(request: Request) -> Result<gloo_net::http::Response, Error> {
    fetch(request).await
}

/// As gloo-net sends, but for an abort with a reason that is no `Error`: that would be a panic there.
async fn fetch(request: Request) -> Result<gloo_net::http::Response, Error> {
    let window = web_sys::window().ok_or_else(|| Error::GlooError("there is no window to fetch with".to_owned()))?;
    let request: web_sys::Request = request.into();
    match JsFuture::from(window.fetch_with_request(&request)).await {
        Ok(response) => Ok(response.unchecked_into::<web_sys::Response>().into()),
        Err(error) => Err(match JsError::try_from(error) {
            Ok(error) => Error::JsError(error),
            Err(reason) => Error::GlooError(reason.to_string()),
        }),
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
        self.call.as_ref().map(|call| call.span.as_ref().map(|span| span.context.trace_id.to_string()))?
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
        if let Some(mut call) = self.call.take() {
            // JSON that does not parse is the application's affair: the transfer was good.
            if let Err(error @ Error::JsError(_)) = read {
                call.failed(error);
            }
        }
    }
}

/// A request under way. Its span ends when this is dropped.
struct Call {
    tracer: Rc<Tracer>,
    span: Option<SpanData>,
    scope: Option<Rc<dyn Scope>>,
    url: String,
    anchor_ms: f64,
    start_page_ms: f64,
    server_timing: Option<String>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("span", &self.span).finish_non_exhaustive()
    }
}

impl Call {
    fn begin(tracer: &Rc<Tracer>, request: &Request, route: Option<&str>) -> Self {
        let parent = current();
        let url = request.url();
        let method = format!("{:?}", request.method());
        let known = KNOWN_METHODS.into_iter().find(|known| *known == method);
        // The conventions name a span with an unknown method `HTTP`.
        let name_method = known.unwrap_or("HTTP");
        let name = route.map_or_else(|| name_method.to_owned(), |route| format!("{name_method} {route}"));
        let mut span = tracer.start(&parent, name, Kind::Client);
        span.attributes.set("http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            span.attributes.set("http.request.method_original", method);
        }
        if let Some(route) = route {
            span.attributes.set("url.template", route.to_owned());
        }
        let origin = describe_url(&mut span.attributes, &url);
        if origin.is_some_and(|origin| tracer.propagates_to(&origin)) {
            let context = span.context;
            let header = TraceParent::new(context.trace_id, context.span_id, context.flags);
            request.headers().set("traceparent", &header.to_string());
        }
        if let Some(scope) = &parent.scope {
            scope.begin();
        }
        let start_page_ms = tracer.clock.page_ms();
        let under_way = UnderWay { span_id: span.context.span_id, url: url.clone(), start_page_ms };
        tracer.under_way.borrow_mut().push(under_way);
        Self {
            span: Some(span),
            scope: parent.scope,
            url,
            anchor_ms: tracer.clock.anchor_ms(),
            start_page_ms,
            server_timing: None,
            tracer: Rc::clone(tracer),
        }
    }

    fn answered(&mut self, response: &gloo_net::http::Response) {
        self.server_timing = response.headers().get("server-timing");
        let Some(span) = &mut self.span else { return };
        let status = response.status();
        if status > 0 {
            span.attributes.set("http.response.status_code", i64::from(status));
        }
        if status >= 400 {
            span.error = true;
            span.attributes.set("error.type", status.to_string());
        }
    }

    fn failed(&mut self, error: &Error) {
        let Some(span) = &mut self.span else { return };
        let name = match error {
            Error::JsError(error) => error.name.clone(),
            // Only an abort rejects with something that is no `Error`: the reason that was given for it.
            _ => "AbortError".to_owned(),
        };
        // Somebody meant it to stop: that is no failure.
        if name != "AbortError" {
            span.error = true;
            span.attributes.set("error.type", name);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(span) = self.span.take() else { return };
        self.tracer.under_way.borrow_mut().retain(|one| one.span_id != span.context.span_id);
        let awaiting = Awaiting {
            span,
            url: std::mem::take(&mut self.url),
            anchor_ms: self.anchor_ms,
            start_page_ms: self.start_page_ms,
            end_page_ms: self.tracer.clock.page_ms(),
            server_timing: self.server_timing.take(),
        };
        finish::ended(&self.tracer, awaiting);
        if let Some(scope) = self.scope.take() {
            scope.end();
        }
    }
}

/// Sets `url.full`, `server.address` and `server.port`; gives the origin.
pub(super) fn describe_url(attributes: &mut Attributes, url: &str) -> Option<String> {
    attributes.set("url.full", redact_url(url));
    let base = platform::origin();
    let url = web_sys::Url::new_with_base(url, &base).ok()?;
    attributes.set("server.address", url.hostname());
    let port = url.port().parse::<i64>().ok().or_else(|| match url.protocol().as_str() {
        "http:" => Some(80),
        "https:" => Some(443),
        _ => None,
    });
    if let Some(port) = port {
        attributes.set("server.port", port);
    }
    Some(url.origin())
}

/// A plain value for `JsValue`-typed bodies.
pub(super) fn bytes(body: &[u8]) -> JsValue {
    js_sys::Uint8Array::from(body).into()
}
