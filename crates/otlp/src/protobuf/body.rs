//! The levels around the records of a body: resources and scopes.

use std::sync::Arc;

use opentelemetry_proto::tonic::{common::v1 as common, resource::v1::Resource as ResourceMessage};
use prost::{Message, bytes::Bytes};

use super::{read, write};
use crate::{
    DecodeError, Decoded, Record, Resource, Scope,
    group::{self, ScopeGroup},
    record::Shared,
};

// The three messages around a record, with their content left as bytes. They have the same wire format for spans
// (`TracesData`, `ResourceSpans`, `ScopeSpans`), log records (`LogsData` and so on) and metrics (`MetricsData`).
// Records are decoded one at a time, so that a body of empty records does not grow to many times its size in memory.

#[derive(Clone, PartialEq, Message)]
struct Data {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    resources: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    scopes: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<common::InstrumentationScope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

pub(crate) fn decode<R: Record>(body: &[u8]) -> Result<Decoded<R>, DecodeError> {
    let mut decoded = Decoded::default();
    for of_resource in Data::decode(Bytes::copy_from_slice(body))?.resources {
        let of_resource = OfResource::decode(of_resource)?;
        let of = Shared::of_resource(read::resource(of_resource.resource, of_resource.schema_url));
        for of_scope in of_resource.scopes {
            let of_scope = OfScope::decode(of_scope)?;
            let shared = of.with_scope(read::scope(of_scope.scope, of_scope.schema_url));
            for record in of_scope.records {
                R::all_from_protobuf(&record, &shared, &mut decoded)?;
            }
        }
    }
    Ok(decoded)
}

pub(crate) fn encode<R: Record>(records: &[R]) -> Vec<u8> {
    let groups = group::by_resource_and_scope(records).into_iter();
    let resources = groups.map(|group| {
        let scopes = group.scopes.into_iter().map(scope_records).collect();
        OfResource { scopes, ..of_resource(group.resource) }.encode_to_vec().into()
    });
    Data { resources: resources.collect() }.encode_to_vec()
}

fn scope_records<R: Record>(group: ScopeGroup<'_, R>) -> Bytes {
    let records = group.records.into_iter().map(|record| record.to_protobuf().into()).collect();
    OfScope { records, ..of_scope(group.scope) }.encode_to_vec().into()
}

fn of_resource(resource: &Resource) -> OfResource {
    OfResource {
        resource: Some(write::resource(resource)),
        scopes: Vec::new(),
        schema_url: resource.schema_url.clone(),
    }
}

fn of_scope(scope: &Scope) -> OfScope {
    OfScope { scope: Some(write::scope(scope)), records: Vec::new(), schema_url: scope.schema_url.clone() }
}

pub(crate) fn decode_resource_scope(body: &[u8]) -> Result<(Arc<Resource>, Arc<Scope>), DecodeError> {
    let mut of_resource = OfResource::decode(body)?;
    let of_scope = OfScope::decode(of_resource.scopes.pop().ok_or(DecodeError::NoResource)?)?;
    Ok((
        Arc::new(read::resource(of_resource.resource, of_resource.schema_url)),
        Arc::new(read::scope(of_scope.scope, of_scope.schema_url)),
    ))
}

pub(crate) fn encode_resource_scope(resource: &Resource, scope: &Scope) -> Vec<u8> {
    OfResource { scopes: vec![scope_bytes(scope).into()], ..of_resource(resource) }.encode_to_vec()
}

/// Encodes a resource; equal resources have equal bytes.
pub(crate) fn resource_bytes(resource: &Resource) -> Vec<u8> {
    of_resource(resource).encode_to_vec()
}

/// Encodes a scope; equal scopes have equal bytes.
pub(crate) fn scope_bytes(scope: &Scope) -> Vec<u8> {
    of_scope(scope).encode_to_vec()
}
