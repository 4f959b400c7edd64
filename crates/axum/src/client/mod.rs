//! Requests that go out: a CLIENT span around each request of [`reqwest`].
//!
//! [`traced`](RequestBuilderExt::traced) stands before `send`; everything else is reqwest's own.
//!
//! ```no_run
//! use throughline_axum::client::RequestBuilderExt;
//!
//! # async fn run(client: reqwest::Client) -> Result<(), reqwest::Error> {
//! let user = client
//!     .get("https://api.example/users/7")
//!     .traced()
//!     .url_template("/users/{id}")
//!     .send()
//!     .await?
//!     .error_for_status()?
//!     .text()
//!     .await?;
//! # let _ = user; Ok(()) }
//! ```
//!
//! The span follows the OpenTelemetry semantic conventions for HTTP clients:
//!
//! - It is named `GET /users/{id}`, or `GET` without a template; never after a path.
//! - `url.full` has neither user name nor password, and no value of a parameter that is known to be a credential.
//! - It fails, with `error.type`, for a status of 400 and above and where no response came. A request that was given up does not
//!   fail.
//! - It ends with the last byte of the response's body, or when response or request are dropped.
//!
//! Trace context and baggage go along by [`TraceContextPropagator`], whatever the global
//! propagator is.

mod body;
mod span;

use std::borrow::Cow;

use http::HeaderMap;
use opentelemetry::{Context, propagation::TextMapPropagator, trace::TraceContextExt};
use reqwest::{Client, Request, RequestBuilder, Response, ResponseBuilderExt};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::propagator::{Headers, TraceContextPropagator};
use body::TracedBody;

/// Makes a request a traced one.
pub trait RequestBuilderExt {
    /// The same request, with a span around it when it is sent.
    #[must_use = "the request is not sent yet"]
    fn traced(self) -> TracedRequest;
}

impl RequestBuilderExt for RequestBuilder {
    fn traced(self) -> TracedRequest {
        let (client, request) = self.build_split();
        TracedRequest { client, request, about: About::default(), propagates: true }
    }
}

/// A request that becomes a span when it is sent.
#[derive(Debug)]
#[must_use = "the request is not sent yet"]
pub struct TracedRequest {
    client: Client,
    request: reqwest::Result<Request>,
    about: About,
    propagates: bool,
}

/// What a request does not say of itself.
#[derive(Debug, Default)]
struct About {
    url_template: Option<Cow<'static, str>>,
    resend_count: u32,
}

impl TracedRequest {
    /// The template of the path, such as `/users/{id}`: few different ones, because it becomes part of the span's name.
    pub fn url_template(mut self, template: impl Into<Cow<'static, str>>) -> Self {
        self.about.url_template = Some(template.into());
        self
    }

    /// How often this request has been sent before: 0 for the first time, 1 for the first retry. Each time is a span of its own.
    pub fn resend_count(mut self, count: u32) -> Self {
        self.about.resend_count = count;
        self
    }

    /// Keeps trace context and baggage from a server that need not know them.
    pub fn without_propagation(mut self) -> Self {
        self.propagates = false;
        self
    }

    /// The same request once more, to be sent again if the first time fails; `None` if its body is a stream.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let request = self.request.as_ref().ok()?.try_clone()?;
        let about = About { url_template: self.about.url_template.clone(), resend_count: self.about.resend_count };
        Some(Self { client: self.client.clone(), request: Ok(request), about, propagates: self.propagates })
    }

    /// Sends the request, as [`RequestBuilder::send`] does.
    ///
    /// # Errors
    /// Those of [`RequestBuilder::send`]. A status such as 404 is none.
    pub async fn send(self) -> Result<Response, reqwest::Error> {
        // What cannot be built is never sent.
        let mut request = self.request?;
        let span = span::make_span(&request, &self.about);
        if self.propagates {
            propagate(&span, request.headers_mut());
        }
        match self.client.execute(request).instrument(span.clone()).await {
            Ok(response) => {
                span::on_response(&span, &response);
                Ok(with_span(response, span))
            }
            Err(error) => {
                span::on_error(&span, &error);
                Err(error)
            }
        }
    }
}

/// Writes the context of `span`, or what surrounds it if nobody makes a span of it.
fn propagate(span: &Span, headers: &mut HeaderMap) {
    let mut context = span.context();
    if !context.has_active_span() {
        context = Context::current();
    }
    let propagator = TraceContextPropagator::new();
    // A list must not stay that belongs to another context.
    headers.remove("traceparent");
    headers.remove("tracestate");
    propagator.inject_context(&context, &mut Headers(headers));
}

/// The response, whose body keeps the span open until its end.
fn with_span(response: Response, span: Span) -> Response {
    let url = response.url().clone();
    let failed = span::is_error(response.status());
    let (mut parts, body) = http::Response::from(response).into_parts();
    // reqwest keeps the address apart, and takes it back from the extensions that its builder sets.
    if let Ok(carrier) = http::response::Builder::new().url(url).body(()) {
        parts.extensions.extend(carrier.into_parts().0.extensions);
    }
    let body = reqwest::Body::wrap(TracedBody::new(body, span, failed));
    Response::from(http::Response::from_parts(parts, body))
}
