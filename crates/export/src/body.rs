//! Encoded spans, by the scopes that made them, and the bodies of requests made of those.

use bytes::Bytes;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;

use crate::encode::{self, framed_len, head, text};

/// Spans that go in one request.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    scopes: Vec<Scope>,
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Scope {
    scope: InstrumentationScope,
    /// Each a field `ScopeSpans.spans` with its tag and length.
    spans: Vec<u8>,
}

impl Batch {
    /// Takes the encoding of a span in.
    pub(crate) fn push(&mut self, scope: &InstrumentationScope, span: &[u8]) {
        let index = self.scopes.iter().position(|known| known.scope == *scope).unwrap_or_else(|| {
            self.scopes.push(Scope { scope: scope.clone(), spans: Vec::new() });
            self.scopes.len() - 1
        });
        if let Some(Scope { spans, .. }) = self.scopes.get_mut(index) {
            head(spans, 2, span.len());
            spans.extend_from_slice(span);
        }
        self.spans += 1;
        self.bytes += framed_len(span.len());
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans == 0
    }

    /// Empties it, and keeps its memory for the scopes that had spans.
    pub(crate) fn clear(&mut self) {
        self.scopes.retain(|scope| !scope.spans.is_empty());
        self.scopes.iter_mut().for_each(|scope| scope.spans.clear());
        (self.spans, self.bytes) = (0, 0);
    }
}

/// A resource as requests have it.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// A `Resource`.
    resource: Vec<u8>,
    schema_url: String,
}

impl Source {
    pub(crate) fn of(resource: &Resource) -> Self {
        let mut encoded = Vec::new();
        encode::resource(&mut encoded, resource);
        Self { resource: encoded, schema_url: resource.schema_url().unwrap_or_default().to_owned() }
    }

    /// An `ExportTraceServiceRequest` with all that is in `batch`, in the memory of `body`.
    pub(crate) fn body(&self, batch: &Batch, mut body: Vec<u8>) -> Bytes {
        let with_spans = batch.scopes.iter().filter(|scope| !scope.spans.is_empty());
        let scopes: Vec<(Vec<u8>, &Scope)> = with_spans.map(|scope| (scope.head(), scope)).collect();
        let inner: usize = scopes.iter().map(|(head, scope)| framed_len(scope.len(head))).sum();
        let length = framed_len(self.resource.len()) + inner + text_len(&self.schema_url);
        body.clear();
        body.reserve(framed_len(length));
        head(&mut body, 1, length);
        head(&mut body, 1, self.resource.len());
        body.extend_from_slice(&self.resource);
        for (scope_head, scope) in scopes {
            head(&mut body, 2, scope.len(&scope_head));
            body.extend_from_slice(&scope_head);
            body.extend_from_slice(&scope.spans);
            text(&mut body, 3, scope.schema_url());
        }
        text(&mut body, 3, &self.schema_url);
        body.into()
    }
}

impl Scope {
    /// The field `ScopeSpans.scope`.
    fn head(&self) -> Vec<u8> {
        let (mut scope, mut framed) = (Vec::new(), Vec::new());
        encode::scope(&mut scope, &self.scope);
        head(&mut framed, 1, scope.len());
        framed.append(&mut scope);
        framed
    }

    fn len(&self, head: &[u8]) -> usize {
        head.len() + self.spans.len() + text_len(self.schema_url())
    }

    fn schema_url(&self) -> &str {
        self.scope.schema_url().unwrap_or_default()
    }
}

fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { framed_len(text.len()) }
}
