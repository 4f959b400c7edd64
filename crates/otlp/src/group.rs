//! Spans by resource and scope, as the wire wants them.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::{Resource, Scope, Span, protobuf};

/// The spans of one resource.
pub(crate) struct ResourceGroup<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) scopes: Vec<ScopeGroup<'a>>,
}

/// The spans of one scope in one resource.
pub(crate) struct ScopeGroup<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) spans: Vec<&'a Span>,
}

/// Groups spans, keeping the order of first appearance. Equal resources are one group even if they are not
/// shared; equal means the same bytes, so that NaN equals itself.
pub(crate) fn by_resource_and_scope(spans: &[Span]) -> Vec<ResourceGroup<'_>> {
    let mut groups: Vec<ResourceGroup<'_>> = Vec::new();
    let mut resources = Index::default();
    let mut scopes = Index::default();
    for span in spans {
        let address = Arc::as_ptr(&span.resource).addr();
        let resource = resources.number(address, groups.len(), || protobuf::resource_bytes(&span.resource));
        if resource == groups.len() {
            groups.push(ResourceGroup { resource: &span.resource, scopes: Vec::new() });
        }
        let group = &mut groups[resource].scopes;
        let address = (resource, Arc::as_ptr(&span.scope).addr());
        let next = group.len();
        let scope = scopes.number(address, next, || (resource, protobuf::scope_bytes(&span.scope)));
        if scope == next {
            group.push(ScopeGroup { scope: &span.scope, spans: Vec::new() });
        }
        group[scope].spans.push(span);
    }
    groups
}

/// Numbers things by address first, which is cheap, and by content if the address is new.
struct Index<A, C> {
    by_address: HashMap<A, usize>,
    by_content: HashMap<C, usize>,
}

impl<A, C> Default for Index<A, C> {
    fn default() -> Self {
        Self { by_address: HashMap::new(), by_content: HashMap::new() }
    }
}

impl<A: Eq + Hash, C: Eq + Hash> Index<A, C> {
    /// The number of what lies at `address`; `next` if its content was never seen.
    fn number(&mut self, address: A, next: usize, content: impl FnOnce() -> C) -> usize {
        let by_content = &mut self.by_content;
        *self.by_address.entry(address).or_insert_with(|| *by_content.entry(content()).or_insert(next))
    }
}
