//! Conversion of protobuf messages to the model, for the parts that all records share.

use opentelemetry_proto::tonic::{common::v1 as common, resource::v1::Resource as ResourceMessage};

use crate::{KeyValue, Resource, Scope, Value};

pub(super) fn resource(message: Option<ResourceMessage>, schema_url: String) -> Resource {
    // default: in proto3, a message that is absent is an empty one
    let message = message.unwrap_or_default();
    Resource {
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        schema_url,
    }
}

pub(super) fn scope(message: Option<common::InstrumentationScope>, schema_url: String) -> Scope {
    // default: in proto3, a message that is absent is an empty one
    let message = message.unwrap_or_default();
    Scope {
        name: message.name,
        version: message.version,
        attributes: attributes(message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        schema_url,
    }
}

pub(super) fn attributes(messages: Vec<common::KeyValue>) -> Vec<KeyValue> {
    messages
        .into_iter()
        .map(|message| KeyValue { key: message.key, value: message.value.map_or(Value::Empty, value) })
        .collect()
}

// The recursion is bounded: prost has a limit of 100 levels.
pub(super) fn value(message: common::AnyValue) -> Value {
    use common::any_value::Value as Any;
    match message.value {
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(truth)) => Value::Bool(truth),
        Some(Any::IntValue(number)) => Value::Int(number),
        Some(Any::DoubleValue(number)) => Value::Double(number),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(Any::ArrayValue(array)) => Value::Array(array.values.into_iter().map(value).collect()),
        Some(Any::KvlistValue(list)) => Value::Map(attributes(list.values)),
        // References into a string table exist in profiles only.
        None | Some(Any::StringValueStrindex(_)) => Value::Empty,
    }
}
