//! Search within a trace.

use throughline_inspector_api::{Attribute, AttributeValue, Span};

/// Returns whether `needle` occurs in a span's name, service, id, attributes, events, or status message. Case is
/// ignored.
///
/// An empty needle matches nothing.
#[must_use]
pub fn matches(span: &Span, needle: &str) -> bool {
    let needle = needle.trim().to_lowercase();
    if needle.is_empty() {
        return false;
    }
    let has = |text: &str| text.to_lowercase().contains(&needle);
    has(&span.name)
        || has(&span.service)
        || has(&span.status_message)
        || span.span_id.starts_with(&needle)
        || span.attributes.iter().any(|attribute| attribute_matches(attribute, &needle))
        || span.events.iter().any(|event| {
            has(&event.name) || event.attributes.iter().any(|attribute| attribute_matches(attribute, &needle))
        })
}

/// Returns whether the key or the value of an attribute contains `needle`, which must be lower case.
#[must_use]
pub fn attribute_matches(attribute: &Attribute, needle: &str) -> bool {
    attribute.key.to_lowercase().contains(needle) || text(&attribute.value).to_lowercase().contains(needle)
}

/// Formats a value as one line of text.
#[must_use]
pub fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::String(value) | AttributeValue::Bytes(value) => value.clone(),
        AttributeValue::Bool(value) => value.to_string(),
        AttributeValue::Int(value) => value.to_string(),
        AttributeValue::Double(value) => value.to_string(),
        AttributeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(text).collect();
            format!("[{}]", values.join(", "))
        }
        AttributeValue::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|entry| format!("{}: {}", entry.key, text(&entry.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        AttributeValue::Empty => String::new(),
    }
}

/// Returns the first of `hits` (ascending) after `at`, and wraps around to the first hit.
#[must_use]
pub fn next(hits: &[usize], at: Option<usize>) -> Option<usize> {
    at.and_then(|at| hits.iter().find(|hit| **hit > at)).or(hits.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::span;

    #[test]
    fn all_texts_of_a_span_are_searched() {
        let mut span = span("1111111111111111", None, 0, 1);
        span.name = "POST /api/activities".into();
        span.attributes.push(Attribute {
            key: "db.query.text".into(),
            value: AttributeValue::Array(vec![AttributeValue::String("INSERT".into()), AttributeValue::Int(7)]),
        });
        for needle in ["post", "ACTIV", "insert, 7", "query.text", "1111", " web "] {
            assert!(matches(&span, needle), "{needle}");
        }
        for needle in ["", "  ", "delete"] {
            assert!(!matches(&span, needle), "{needle}");
        }
    }

    #[test]
    fn the_next_hit_wraps_around() {
        assert_eq!(next(&[2, 5, 9], None), Some(2));
        assert_eq!(next(&[2, 5, 9], Some(5)), Some(9));
        assert_eq!(next(&[2, 5, 9], Some(9)), Some(2));
        assert_eq!(next(&[], Some(9)), None);
    }
}
