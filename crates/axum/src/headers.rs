//! Headers that the span records because somebody asked for them by name.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};

/// Carry credentials; not recorded, even if they are named.
const NEVER: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::SET_COOKIE];

/// Names of headers, with the keys of their attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedHeaders(Vec<(HeaderName, Key)>);

impl RecordedHeaders {
    /// Adds `name`, under `prefix` and a dot, unless it is one that is never recorded.
    pub(crate) fn add(&mut self, prefix: &str, name: HeaderName) {
        if !NEVER.contains(&name) && !self.0.iter().any(|(known, _)| *known == name) {
            let key: Arc<str> = format!("{prefix}.{name}").into();
            self.0.push((name, Key::from(key)));
        }
    }

    /// The values of those headers that are there: a list each, as the conventions want it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn record(&self, headers: &HeaderMap, attributes: &mut Vec<KeyValue>) {
        for (name, key) in &self.0 {
            let values: Vec<StringValue> = headers
                .get_all(name)
                .iter()
                .map(|value| match value.is_sensitive() {
                    true => "REDACTED".into(),
                    false => String::from_utf8_lossy(value.as_bytes()).into_owned().into(),
                })
                .collect();
            if !values.is_empty() {
                attributes.push(KeyValue::new(key.clone(), Value::Array(Array::String(values))));
            }
        }
    }
}
