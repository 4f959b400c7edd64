//! Recording of the headers that were selected by name.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};

/// Headers that carry credentials. Never recorded, even if selected.
const NEVER: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::SET_COOKIE];

/// The headers to record, with their attribute keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedHeaders(Vec<(HeaderName, Key)>);

impl RecordedHeaders {
    /// Adds a header as the attribute `<prefix>.<name>`, unless it is one that is never recorded.
    pub(crate) fn add(&mut self, prefix: &str, name: HeaderName) {
        if !NEVER.contains(&name) && !self.0.iter().any(|(known, _)| *known == name) {
            let key: Arc<str> = format!("{prefix}.{name}").into();
            self.0.push((name, Key::from(key)));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the values of the headers that are present, each as a list, as the semantic conventions require.
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
