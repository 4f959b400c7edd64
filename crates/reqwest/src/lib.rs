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

/// Makes a request a traced one.
pub trait RequestBuilderExt {
    /// The same request, with a span around it when it is sent.
    #[must_use = "the request is not sent yet"]
    fn traced(self) -> TracedRequest;
}

impl RequestBuilderExt for RequestBuilder {
    fn traced(self) -> TracedRequest {
        let (client, request) = self.build_split();
        TracedRequest { client, request, about: About::default(), propagation: Propagation::Global }
    }
}

/// A request that becomes a span when it is sent.
#[derive(Debug)]
#[must_use = "the request is not sent yet"]
pub struct TracedRequest {
    client: Client,
    request: reqwest::Result<Request>,
    about: About,
    propagation: Propagation,
}

/// What writes the context into the request's headers.
#[derive(Clone, Debug)]
enum Propagation {
    Global,
    Own(Arc<dyn TextMapPropagator + Send + Sync>),
    None,
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

    /// Writes trace context and baggage by this propagator. Default: OpenTelemetry's global one.
    pub fn propagator(mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.propagation = Propagation::Own(Arc::new(propagator));
        self
    }

    /// Sends neither trace context nor baggage, for a server that must not know them.
    pub fn without_propagation(mut self) -> Self {
        self.propagation = Propagation::None;
        self
    }

    /// The same request once more, to be sent again if the first time fails; `None` if its body is a stream.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let request = self.request.as_ref().ok()?.try_clone()?;
        let about = About { url_template: self.about.url_template.clone(), resend_count: self.about.resend_count };
        Some(Self { client: self.client.clone(), request: Ok(request), about, propagation: self.propagation.clone() })
    }

    /// Sends the request, as [`RequestBuilder::send`] does.
    ///
    /// # Errors
    /// Those of [`RequestBuilder::send`]. A status such as 404 is none.
    pub async fn send(self) -> Result<Response, reqwest::Error> {
        // What cannot be built is never sent.
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

/// Writes the context of `span`, or what surrounds it if nobody makes a span of it.
fn propagate(propagator: &dyn TextMapPropagator, span: &Span, headers: &mut HeaderMap) {
    let mut context = span.context();
    if !context.has_active_span() {
        context = Context::current();
    }
    // A list must not stay that belongs to another context. Baggage that the application has set belongs to none.
    for field in propagator.fields().filter(|field| *field != BAGGAGE) {
        headers.remove(field);
    }
    propagator.inject_context(&context, &mut HeaderInjector(headers));
}

/// The response, whose body keeps the span open until its end.
fn with_span(response: Response, span: Span) -> Response {
    let url = response.url().clone();
    let failed = span::is_error(response.status());
    let (mut parts, body) = http::Response::from(response).into_parts();
    // reqwest keeps the address apart, and takes it back from the extensions that its builder sets.
    let carrier = http::response::Builder::new().url(url).body(()).expect("a builder without headers does not fail");
    parts.extensions.extend(carrier.into_parts().0.extensions);
    let body = reqwest::Body::wrap(TracedBody::new(body, span, failed));
    Response::from(http::Response::from_parts(parts, body))
}
