//! Grouping of records by resource and scope, as in an OTLP body.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::{Record, Resource, Scope, protobuf};

/// The records of one resource.
pub(crate) struct ResourceGroup<'a, R> {
    pub(crate) resource: &'a Resource,
    pub(crate) scopes: Vec<ScopeGroup<'a, R>>,
}

/// The records of one scope in one resource.
pub(crate) struct ScopeGroup<'a, R> {
    pub(crate) scope: &'a Scope,
    pub(crate) records: Vec<&'a R>,
}

/// Groups records by resource and scope, in the order of first appearance. Equal resources form one group even if they
/// are not shared. They are compared by their encoded bytes, so that NaN equals itself.
pub(crate) fn by_resource_and_scope<R: Record>(records: &[R]) -> Vec<ResourceGroup<'_, R>> {
    let mut groups: Vec<ResourceGroup<'_, R>> = Vec::new();
    let mut resources = Index::default();
    let mut scopes = Index::default();
    for record in records {
        let (resource_of, scope_of) = record.source();
        let address = Arc::as_ptr(resource_of).addr();
        let resource = resources.number(address, groups.len(), || protobuf::resource_bytes(resource_of));
        if resource == groups.len() {
            groups.push(ResourceGroup { resource: resource_of, scopes: Vec::new() });
        }
        let group = &mut groups[resource].scopes;
        let address = (resource, Arc::as_ptr(scope_of).addr());
        let next = group.len();
        let scope = scopes.number(address, next, || (resource, protobuf::scope_bytes(scope_of)));
        if scope == next {
            group.push(ScopeGroup { scope: scope_of, records: Vec::new() });
        }
        group[scope].records.push(record);
    }
    groups
}

/// Assigns numbers to items: by address, which is cheap, and by content if the address is new.
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
    /// Returns the number of the item at `address`, or `next` if its content is new.
    fn number(&mut self, address: A, next: usize, content: impl FnOnce() -> C) -> usize {
        let by_content = &mut self.by_content;
        *self.by_address.entry(address).or_insert_with(|| *by_content.entry(content()).or_insert(next))
    }
}
