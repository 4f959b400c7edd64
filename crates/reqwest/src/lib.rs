#![doc = include_str!("../README.md")]

mod body;
mod span;

use std::{borrow::Cow, sync::Arc};

use http::HeaderMap;
use opentelemetry::{Context, global, propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::HeaderInjector;
use reqwest::{Client, Request, RequestBuilder, Response, ResponseBuilderExt};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use body::TracedBody;

const BAGGAGE: &str = "baggage";

/// An extension trait that adds tracing to a request.
pub trait RequestBuilderExt {
    /// Returns the request with a span around its sending.
    #[must_use = "the request is not sent yet"]
    fn traced(self) -> TracedRequest;
}

impl RequestBuilderExt for RequestBuilder {
    fn traced(self) -> TracedRequest {
        let (client, request) = self.build_split();
        TracedRequest { client, request, about: About::default(), propagation: Propagation::Global }
    }
}

/// A request that creates a client span when it is sent.
#[derive(Debug)]
#[must_use = "the request is not sent yet"]
pub struct TracedRequest {
    client: Client,
    request: reqwest::Result<Request>,
    about: About,
    propagation: Propagation,
}

/// The propagator that injects the context into the request's headers.
#[derive(Clone, Debug)]
enum Propagation {
    Global,
    Own(Arc<dyn TextMapPropagator + Send + Sync>),
    None,
}

/// Facts about a request that it does not contain itself.
#[derive(Debug, Default)]
struct About {
    url_template: Option<Cow<'static, str>>,
    resend_count: u32,
}

impl TracedRequest {
    /// Sets the template of the path, such as `/users/{id}`. There should be few different templates, because the
    /// template is part of the span name.
    pub fn url_template(mut self, template: impl Into<Cow<'static, str>>) -> Self {
        self.about.url_template = Some(template.into());
        self
    }

    /// Sets how often this request has been sent before: 0 for the first time, 1 for the first retry. Each attempt has
    /// its own span.
    pub fn resend_count(mut self, count: u32) -> Self {
        self.about.resend_count = count;
        self
    }

    /// Sets the propagator that injects trace context and baggage. Default: OpenTelemetry's global one.
    pub fn propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.propagation = Propagation::Own(Arc::new(propagator));
        self
    }

    /// Sends neither trace context nor baggage. For servers that must not receive them.
    pub fn without_propagation(mut self) -> Self {
        self.propagation = Propagation::None;
        self
    }

    /// Clones the request, so that it can be sent again if the first attempt fails. Returns `None` if its body is a
    /// stream.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let request = self.request.as_ref().ok()?.try_clone()?;
        let about = About { url_template: self.about.url_template.clone(), resend_count: self.about.resend_count };
        Some(Self { client: self.client.clone(), request: Ok(request), about, propagation: self.propagation.clone() })
    }

    /// Sends the request, as [`RequestBuilder::send`] does.
    ///
    /// # Errors
    /// Returns the errors of [`RequestBuilder::send`]. A status such as 404 is not an error.
    pub async fn send(self) -> Result<Response, reqwest::Error> {
        // A request that cannot be built is never sent and has no span.
        let mut request = self.request?;
        let span = span::make_span(&request, &self.about);
        match &self.propagation {
            Propagation::Global => {
                global::get_text_map_propagator(|propagator| propagate(propagator, &span, request.headers_mut()));
            }
            Propagation::Own(propagator) => propagate(&**propagator, &span, request.headers_mut()),
            Propagation::None => {}
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

/// Injects the context of `span`, or the current context if the span is disabled.
fn propagate(propagator: &dyn TextMapPropagator, span: &Span, headers: &mut HeaderMap) {
    let mut context = span.context();
    if !context.has_active_span() {
        context = Context::current();
    }
    // Removes headers that belong to another context. Baggage set by the application belongs to no context and is kept.
    for field in propagator.fields().filter(|field| *field != BAGGAGE) {
        headers.remove(field);
    }
    propagator.inject_context(&context, &mut HeaderInjector(headers));
}

/// Returns the response with a body that keeps the span open until its end.
fn with_span(response: Response, span: Span) -> Response {
    let url = response.url().clone();
    let failed = span::is_error(response.status());
    let (mut parts, body) = http::Response::from(response).into_parts();
    // reqwest stores the URL separately, and reads it back from the extensions that its builder sets.
    let carrier = http::response::Builder::new().url(url).body(()).expect("a builder without headers does not fail");
    parts.extensions.extend(carrier.into_parts().0.extensions);
    let body = reqwest::Body::wrap(TracedBody::new(body, span, failed));
    Response::from(http::Response::from_parts(parts, body))
}
