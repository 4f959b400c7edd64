//! The format of the configuration file, and its error messages. No message contains a value, which may be a secret.

use std::{collections::BTreeMap, fmt};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::{Spanned, Value};

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) sinks: Vec<SinkTable>,
    pub(super) retention: RetentionTable,
    /// All other top-level keys, known or not.
    pub(super) others: Vec<(Spanned<String>, Spanned<Value>)>,
}

/// `[[sink]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [[sink]]")]
pub(super) struct SinkTable {
    pub(super) name: Spanned<String>,
    /// The base URL of an OTLP/HTTP receiver.
    pub(super) url: Spanned<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<HeaderSource>>,
}

/// `[retention]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [retention]")]
pub(super) struct RetentionTable {
    #[serde(rename = "for")]
    pub(super) age: Option<Spanned<Value>>,
    pub(super) bytes: Option<Spanned<Value>>,
    pub(super) unsent_bytes: Option<Spanned<Value>>,
}

/// The source of a header's value.
#[derive(Debug)]
pub(super) enum HeaderSource {
    Text(SecretString),
    /// `{ env = "NAME" }`
    Variable(String),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    match key.get_ref().as_str() {
                        "sink" => document.sinks = map.next_value()?,
                        "retention" => document.retention = map.next_value()?,
                        _ => document.others.push((key, map.next_value()?)),
                    }
                }
                Ok(document)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for HeaderSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Variable {
            env: String,
        }

        struct Source;

        impl<'de> Visitor<'de> for Source {
            type Value = HeaderSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or { env = \"NAME\" }")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<HeaderSource, E> {
                Ok(HeaderSource::Text(value.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderSource, A::Error> {
                let variable = Variable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(HeaderSource::Variable(variable.env))
            }
        }

        deserializer.deserialize_any(Source)
    }
}

/// Rewrites a message of serde or of the TOML parser: it removes the value, and adds the closest known key.
pub(super) fn describe(message: &str) -> String {
    if message.starts_with("unknown field `") {
        // Each name is between two backticks: first the unknown one, then the known ones.
        let mut names = message.split('`').skip(1).step_by(2);
        let unknown = names.next().expect("the message has a name");
        return unknown_key(unknown, &names.collect::<Vec<_>>());
    }
    match message.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("wrong type; expected {expected}"),
        _ => message.replace('\n', "; "),
    }
}

/// Returns the error message for an unknown key.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().max_by(|one, other| strsim::jaro_winkler(key, one).total_cmp(&strsim::jaro_winkler(key, other)));
    match nearest {
        Some(nearest) => format!("unknown key `{key}`; the closest known key is `{nearest}`"),
        None => format!("unknown key `{key}`"),
    }
}
