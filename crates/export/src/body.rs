//! Batches of encoded spans, grouped by instrumentation scope, and the request bodies built from them.

use bytes::Bytes;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;

use crate::encode::{self, framed_len, head, text};

/// The maximum memory kept for reuse: twice the size of the largest batch with more than one span.
pub(crate) const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// The spans of one request.
#[derive(Default)]
pub(crate) struct Batch {
    scopes: Vec<Scope>,
    pub(crate) spans: usize,
    /// The encoded size of the spans and of the scopes that have spans.
    pub(crate) bytes: usize,
}

struct Scope {
    scope: InstrumentationScope,
    /// The encoded field `ScopeSpans.scope`.
    head: Vec<u8>,
    /// The encoded fields `ScopeSpans.spans`, each with its tag and length.
    spans: Vec<u8>,
}

impl Batch {
    /// Adds an encoded span.
    pub(crate) fn push(&mut self, scope: &InstrumentationScope, span: &[u8]) {
        let index = self.scopes.iter().position(|known| known.scope == *scope).unwrap_or_else(|| {
            self.scopes.push(Scope { scope: scope.clone(), head: scope_head(scope), spans: Vec::new() });
            self.scopes.len() - 1
        });
        if let Some(Scope { spans, head: scope_head, .. }) = self.scopes.get_mut(index) {
            if spans.is_empty() {
                self.bytes += scope_head.len();
            }
            head(spans, 2, span.len());
            spans.extend_from_slice(span);
        }
        self.spans += 1;
        self.bytes += framed_len(span.len());
    }

    /// Returns whether the batch has no spans.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans == 0
    }

    /// Removes all spans, and keeps the memory of the scopes that had spans, up to [`KEPT_BYTES`].
    pub(crate) fn clear(&mut self) {
        let mut kept = 0;
        self.scopes.retain(|scope| {
            let bytes = scope.spans.capacity() + scope.head.capacity();
            let is_kept = !scope.spans.is_empty() && kept + bytes <= KEPT_BYTES;
            kept += if is_kept { bytes } else { 0 };
            is_kept
        });
        self.scopes.iter_mut().for_each(|scope| scope.spans.clear());
        (self.spans, self.bytes) = (0, 0);
    }
}

/// The encoded resource of the requests.
#[derive(Default)]
pub(crate) struct Source {
    /// The encoded `Resource`.
    resource: Vec<u8>,
    schema_url: String,
}

impl Source {
    pub(crate) fn of(resource: &Resource) -> Self {
        let mut encoded = Vec::new();
        encode::resource(&mut encoded, resource);
        // In proto3, an empty string is the same as an absent one.
        let schema_url = resource.schema_url().unwrap_or("").to_owned();
        Self { resource: encoded, schema_url }
    }

    /// Encodes `batch` as an `ExportTraceServiceRequest`, into the memory of `body`.
    pub(crate) fn body(&self, batch: &Batch, mut body: Vec<u8>) -> Bytes {
        let scopes = batch.scopes.iter().filter(|scope| !scope.spans.is_empty());
        let inner: usize = scopes.clone().map(|scope| framed_len(scope.len())).sum();
        let length = framed_len(self.resource.len()) + inner + text_len(&self.schema_url);
        body.clear();
        body.reserve(framed_len(length));
        head(&mut body, 1, length);
        head(&mut body, 1, self.resource.len());
        body.extend_from_slice(&self.resource);
        for scope in scopes {
            head(&mut body, 2, scope.len());
            body.extend_from_slice(&scope.head);
            body.extend_from_slice(&scope.spans);
            text(&mut body, 3, scope.schema_url());
        }
        text(&mut body, 3, &self.schema_url);
        body.into()
    }
}

impl Scope {
    fn len(&self) -> usize {
        self.head.len() + self.spans.len() + text_len(self.schema_url())
    }

    /// Returns the schema URL, or an empty string if there is none, which is the same in proto3.
    fn schema_url(&self) -> &str {
        self.scope.schema_url().unwrap_or("")
    }
}

fn scope_head(scope: &InstrumentationScope) -> Vec<u8> {
    let (mut encoded, mut framed) = (Vec::new(), Vec::new());
    encode::scope(&mut encoded, scope);
    head(&mut framed, 1, encoded.len());
    framed.append(&mut encoded);
    framed
}

fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { framed_len(text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(name: usize) -> InstrumentationScope {
        InstrumentationScope::builder(name.to_string()).build()
    }

    #[test]
    fn bytes_count_the_spans_and_each_scope_once() {
        let mut batch = Batch::default();
        let with_scope = 2 + 2 + "1".len();
        for spans in 1..4 {
            batch.push(&scope(1), b"span");
            assert_eq!((batch.spans, batch.bytes), (spans, with_scope + spans * (2 + 4)));
        }
        batch.clear();
        batch.push(&scope(1), b"span");
        assert_eq!((batch.spans, batch.bytes), (1, with_scope + 2 + 4));
    }

    #[test]
    fn memory_is_kept_for_scopes_in_use() {
        let mut batch = Batch::default();
        for name in 0..100 {
            batch.push(&scope(name), b"span");
            batch.push(&scope(1_000), b"span");
            batch.clear();
        }
        let names: Vec<_> = batch.scopes.iter().map(|scope| scope.scope.name()).collect();
        assert_eq!(names, ["1000", "99"]);
        assert!(batch.scopes.iter().all(|scope| scope.spans.is_empty() && scope.spans.capacity() > 0));
        assert_eq!((batch.is_empty(), batch.bytes), (true, 0));
    }

    #[test]
    fn memory_of_large_spans_is_freed() {
        let mut batch = Batch::default();
        batch.push(&scope(0), b"span");
        batch.push(&scope(1), &vec![0; KEPT_BYTES]);
        batch.push(&scope(2), b"span");
        batch.clear();
        let names: Vec<_> = batch.scopes.iter().map(|scope| scope.scope.name()).collect();
        assert_eq!(names, ["0", "2"]);
    }
}
