//! Conversion of the model to protobuf messages, for the parts that all records share.

use opentelemetry_proto::tonic::{common::v1 as common, resource::v1::Resource as ResourceMessage};

use crate::{KeyValue, Resource, Scope, Value};

pub(super) fn resource(resource: &Resource) -> ResourceMessage {
    ResourceMessage {
        attributes: attributes(&resource.attributes),
        dropped_attributes_count: resource.dropped_attributes_count,
        entity_refs: Vec::new(),
    }
}

pub(super) fn scope(scope: &Scope) -> common::InstrumentationScope {
    common::InstrumentationScope {
        name: scope.name.clone(),
        version: scope.version.clone(),
        attributes: attributes(&scope.attributes),
        dropped_attributes_count: scope.dropped_attributes_count,
    }
}

pub(super) fn attributes(attributes: &[KeyValue]) -> Vec<common::KeyValue> {
    attributes
        .iter()
        .map(|attribute| common::KeyValue {
            key: attribute.key.clone(),
            value: Some(value(&attribute.value)),
            key_strindex: 0,
        })
        .collect()
}

pub(super) fn value(value_of: &Value) -> common::AnyValue {
    use common::any_value::Value as Any;
    let value = match value_of {
        Value::Empty => None,
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Bool(truth) => Some(Any::BoolValue(*truth)),
        Value::Int(number) => Some(Any::IntValue(*number)),
        Value::Double(number) => Some(Any::DoubleValue(*number)),
        Value::Bytes(bytes) => Some(Any::BytesValue(bytes.clone())),
        Value::Array(values) => {
            Some(Any::ArrayValue(common::ArrayValue { values: values.iter().map(value).collect() }))
        }
        Value::Map(entries) => Some(Any::KvlistValue(common::KeyValueList { values: attributes(entries) })),
    };
    common::AnyValue { value }
}
