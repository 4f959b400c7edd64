//! The levels around the records of a body: resources and scopes. The three signals differ only in the names of three
//! lists.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::{
    number::{Whole, nullable},
    read::parse_seed,
    value::{KeyValueIn, KeyValueOut, attributes, attributes_out},
    write::{is_zero, to_vec},
};
use crate::{
    DecodeError, Decoded, Record, Resource, Scope, Signal,
    group::{self, ResourceGroup, ScopeGroup},
    record::Shared,
};

/// The names of the lists in a body.
struct Lists {
    resources: &'static str,
    scopes: &'static str,
    records: &'static str,
}

const fn lists(signal: Signal) -> Lists {
    match signal {
        Signal::Traces => Lists { resources: "resourceSpans", scopes: "scopeSpans", records: "spans" },
        Signal::Logs => Lists { resources: "resourceLogs", scopes: "scopeLogs", records: "logRecords" },
        Signal::Metrics => Lists { resources: "resourceMetrics", scopes: "scopeMetrics", records: "metrics" },
    }
}

const RESOURCE: &str = "resource";
const SCOPE: &str = "scope";
const SCHEMA_URL: &str = "schemaUrl";

/// An object that holds a list: its owner (a resource or a scope), and the items.
///
/// The items are left as text and decoded one at a time, so that a body of `{},{},{}` does not grow to a hundred times
/// its size in memory. The protobuf decoder does the same.
struct LevelIn<'a, O> {
    owner: O,
    list: Vec<&'a RawValue>,
    schema_url: String,
}

/// Deserializes a [`LevelIn`] whose fields have these names.
struct LevelSeed<O> {
    owner: Option<&'static str>,
    list: &'static str,
    of: PhantomData<O>,
}

fn level<'a, O>(
    text: &'a [u8],
    owner: Option<&'static str>,
    list: &'static str,
) -> Result<LevelIn<'a, O>, serde_json::Error>
where
    O: Deserialize<'a> + Default,
{
    parse_seed(text, LevelSeed { owner, list, of: PhantomData })
}

impl<'a, O: Deserialize<'a> + Default> DeserializeSeed<'a> for LevelSeed<O> {
    type Value = LevelIn<'a, O>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, O: Deserialize<'a> + Default> Visitor<'a> for LevelSeed<O> {
    type Value = LevelIn<'a, O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a list {}", self.list)
    }

    // As in protobuf, the last of several fields wins. `null` means absent.
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut level = LevelIn { owner: O::default(), list: Vec::new(), schema_url: String::new() };
        while let Some(name) = map.next_key::<Cow<'a, str>>()? {
            if name == self.list {
                level.list = null_is_default(&mut map)?;
            } else if Some(name.as_ref()) == self.owner {
                level.owner = null_is_default(&mut map)?;
            } else if name == SCHEMA_URL {
                level.schema_url = null_is_default(&mut map)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(level)
    }
}

/// Returns the next value of an object, or the default if it is `null`.
fn null_is_default<'a, T: Deserialize<'a> + Default, A: MapAccess<'a>>(map: &mut A) -> Result<T, A::Error> {
    // default: `null` is the default of its field in ProtoJSON
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceIn {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeIn {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValueIn>,
    #[serde(deserialize_with = "nullable")]
    dropped_attributes_count: Whole<u32>,
}

pub(crate) fn decode<R: Record>(body: &[u8]) -> Result<Decoded<R>, DecodeError> {
    let mut decoded = Decoded::default();
    if body.trim_ascii().is_empty() {
        return Ok(decoded);
    }
    let names = lists(R::SIGNAL);
    for of_resource in level::<IgnoredAny>(body, None, names.resources)?.list {
        let of_resource = level::<ResourceIn>(of_resource.get().as_bytes(), Some(RESOURCE), names.scopes)?;
        let of = Shared::of_resource(Resource {
            attributes: attributes(of_resource.owner.attributes),
            dropped_attributes_count: of_resource.owner.dropped_attributes_count.0,
            schema_url: of_resource.schema_url,
        });
        for of_scope in of_resource.list {
            let of_scope = level::<ScopeIn>(of_scope.get().as_bytes(), Some(SCOPE), names.records)?;
            let shared = of.with_scope(Scope {
                name: of_scope.owner.name,
                version: of_scope.owner.version,
                attributes: attributes(of_scope.owner.attributes),
                dropped_attributes_count: of_scope.owner.dropped_attributes_count.0,
                schema_url: of_scope.schema_url,
            });
            for record in of_scope.list {
                R::all_from_json(record.get().as_bytes(), &shared, &mut decoded)?;
            }
        }
    }
    Ok(decoded)
}

/// The serializable form of a [`LevelIn`].
struct LevelOut<'a, O, T> {
    owner: Option<(&'static str, O)>,
    list: (&'static str, Vec<T>),
    schema_url: &'a str,
}

impl<O: Serialize, T: Serialize> Serialize for LevelOut<'_, O, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some((name, owner)) = &self.owner {
            map.serialize_entry(name, owner)?;
        }
        let (name, list) = &self.list;
        map.serialize_entry(name, list)?;
        if !self.schema_url.is_empty() {
            map.serialize_entry(SCHEMA_URL, self.schema_url)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceOut<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeOut<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValueOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

pub(crate) fn encode<R: Record>(records: &[R]) -> Vec<u8> {
    let groups = group::by_resource_and_scope(records);
    to_vec(&LevelOut {
        owner: None::<(&str, ())>,
        list: (lists(R::SIGNAL).resources, groups.iter().map(of_resource).collect()),
        schema_url: "",
    })
}

fn of_resource<'a, R: Record>(group: &ResourceGroup<'a, R>) -> impl Serialize + use<'a, R> {
    let resource = ResourceOut {
        attributes: attributes_out(&group.resource.attributes),
        dropped_attributes_count: group.resource.dropped_attributes_count,
    };
    LevelOut {
        owner: Some((RESOURCE, resource)),
        list: (lists(R::SIGNAL).scopes, group.scopes.iter().map(of_scope).collect()),
        schema_url: &group.resource.schema_url,
    }
}

fn of_scope<'a, R: Record>(group: &ScopeGroup<'a, R>) -> impl Serialize + use<'a, R> {
    let scope = ScopeOut {
        name: &group.scope.name,
        version: &group.scope.version,
        attributes: attributes_out(&group.scope.attributes),
        dropped_attributes_count: group.scope.dropped_attributes_count,
    };
    LevelOut {
        owner: Some((SCOPE, scope)),
        list: (lists(R::SIGNAL).records, group.records.iter().map(|record| record.to_json()).collect()),
        schema_url: &group.scope.schema_url,
    }
}
