//! The W3C Baggage format.

use opentelemetry::{
    Context,
    baggage::{BaggageExt, KeyValueMetadata},
    propagation::{Extractor, Injector},
};
use throughline_context::{Baggage, Entry};

const BAGGAGE: &str = "baggage";
pub(crate) const FIELDS: [&str; 1] = [BAGGAGE];

pub(crate) fn inject(context: &Context, injector: &mut dyn Injector) {
    let baggage = to_send(context);
    if !baggage.is_empty() {
        injector.set(BAGGAGE, baggage.to_string());
    }
}

/// Returns `context` with the baggage of a request; `None` if there is no valid baggage.
pub(crate) fn extract(context: &Context, extractor: &dyn Extractor) -> Option<Context> {
    let values = extractor.get_all(BAGGAGE)?;
    let baggage = Baggage::parse_headers(values.into_iter().map(str::as_bytes));
    if baggage.is_empty() {
        return None;
    }
    Some(context.with_baggage(baggage.entries().iter().map(|entry| {
        let properties = entry.properties().iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
        KeyValueMetadata::new(entry.key().to_owned(), entry.value().to_owned(), properties.as_str())
    })))
}

/// Returns the baggage to send on, sorted by key: opentelemetry keeps no order, and the same members should be dropped
/// each time if there are too many.
fn to_send(context: &Context) -> Baggage {
    let mut members: Vec<_> = context.baggage().iter().collect();
    members.sort_unstable_by_key(|(key, _)| key.as_str());
    let mut baggage = Baggage::default();
    for (key, (value, properties)) in members {
        let entry = Entry::new(key.as_str(), value.as_str())
            .and_then(|entry| entry.with_properties(properties.as_str()))
            .and_then(|entry| baggage.push(entry));
        if let Err(error) = entry {
            tracing::debug!(target: "throughline::http", key = key.as_str(), %error, "baggage member is not sent");
        }
    }
    baggage
}
