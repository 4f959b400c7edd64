//! Identity: what a browser says about itself is replaced by what the server knows.

use crate::{
    SessionId,
    bounds::Cut,
    config::{Limits, SpanLimits},
    item::{FromBrowser, Item},
    redact::Redactor,
};
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};
use throughline_context::keys;
use throughline_otlp::{KeyValue, Resource, Scope, Value};

/// `client.address` (semantic conventions, client attributes).
const CLIENT_ADDRESS: &str = "client.address";
const SERVICE_NAME: &str = "service.name";
/// `session.id` (semantic conventions, session).
pub(crate) const SESSION_ID: &str = "session.id";
/// Upstreams multiply by it; a stranger has no say in that.
const SAMPLE_RATE: &str = "SampleRate";

/// What of its resource a browser may say: what it is, not whose.
const RESOURCE_PREFIXES: [&str; 5] = ["browser.", "device.", "os.", "telemetry.sdk.", "user_agent."];

/// What the server knows about one request of a browser.
#[derive(Debug)]
pub(crate) struct Enrichment<'a> {
    pub(crate) service_name: &'a str,
    pub(crate) resource_attributes: &'a [KeyValue],
    pub(crate) session_id: SessionId,
    pub(crate) client_address: Option<IpAddr>,
    /// Unix nanoseconds.
    pub(crate) received_ns: i64,
    pub(crate) redactor: &'a Redactor,
}

/// Resources and scopes already replaced. The old ones are kept, so that an address means one of them only.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    resources: HashMap<*const Resource, (Arc<Resource>, Arc<Resource>)>,
    scopes: HashMap<*const Scope, (Arc<Scope>, Arc<Scope>)>,
}

impl Enrichment<'_> {
    /// Whether the record's `session.id`, if it has one, is the ingest token's.
    pub(crate) fn owns(&self, record: &impl Item) -> bool {
        let session_id = self.session_id.to_string();
        record
            .attributes()
            .iter()
            .filter(|attribute| attribute.key == SESSION_ID)
            .all(|attribute| attribute.value.as_str() == Some(&session_id))
    }

    /// Takes secrets out of the record, cuts it down to size and enriches it. Secrets go first: half of one is one
    /// still. The enriches come last: none of them is ever left out.
    pub(crate) fn apply(&self, record: &mut impl FromBrowser, limits: &Limits, replaced: &mut Replaced, cut: &mut Cut) {
        record.redact(self.redactor, &mut cut.redacted);
        let is_far_off = self.is_far_off(record.times_ns(), limits);
        let limits = &limits.span;
        record.limit(limits, cut);
        let (resource, scope, attributes) = record.parts_mut();
        let (_, new_resource) = replaced
            .resources
            .entry(Arc::as_ptr(resource))
            .or_insert_with(|| (Arc::clone(resource), self.resource(resource, limits, cut)));
        *resource = Arc::clone(new_resource);
        let (_, new_scope) = replaced
            .scopes
            .entry(Arc::as_ptr(scope))
            .or_insert_with(|| (Arc::clone(scope), self.scope(scope, limits, cut)));
        *scope = Arc::clone(new_scope);

        let ours =
            [CLIENT_ADDRESS, SESSION_ID, keys::CLIENT_REPORTED, keys::RECEIVED_NS, keys::TIME_FAR_OFF, SAMPLE_RATE];
        attributes.retain(|attribute| !ours.contains(&attribute.key.as_str()));
        if let Some(address) = self.client_address {
            attributes.push(KeyValue::new(CLIENT_ADDRESS, address.to_string()));
        }
        attributes.push(KeyValue::new(SESSION_ID, self.session_id.to_string()));
        attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
        attributes.push(KeyValue::new(keys::RECEIVED_NS, self.received_ns));
        if is_far_off {
            attributes.push(KeyValue::new(keys::TIME_FAR_OFF, true));
            cut.far_off += 1;
        }
    }

    /// Whether it began too long after it was received, or ended too long before. A time that is not given is not
    /// wrong.
    fn is_far_off(&self, (start_ns, end_ns): (u64, u64), limits: &Limits) -> bool {
        let received_ns = i128::from(self.received_ns);
        let ahead_ns = i128::from(start_ns) - received_ns;
        let behind_ns = received_ns - i128::from(end_ns);
        let most = |limit: Duration| i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX);
        (start_ns != 0 || end_ns != 0) && (ahead_ns > most(limits.time_ahead) || behind_ns > most(limits.time_behind))
    }

    fn scope(&self, said: &Scope, limits: &SpanLimits, cut: &mut Cut) -> Arc<Scope> {
        let mut scope = said.clone();
        self.redactor.scope(&mut scope, &mut cut.redacted);
        limits.scope(&mut scope, cut);
        Arc::new(scope)
    }

    fn resource(&self, said: &Resource, limits: &SpanLimits, cut: &mut Cut) -> Arc<Resource> {
        let allowed = |attribute: &&KeyValue| {
            RESOURCE_PREFIXES.iter().any(|prefix| attribute.key.starts_with(prefix))
                && !self.resource_attributes.iter().any(|ours| ours.key == attribute.key)
        };
        let mut attributes: Vec<_> = said.attributes.iter().filter(allowed).cloned().collect();
        self.redactor.attributes(&mut attributes, &mut cut.redacted);
        let mut dropped_attributes_count = 0;
        limits.attributes(&mut attributes, &mut dropped_attributes_count, cut);
        let ours = self.resource_attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME);
        attributes.extend(ours.cloned());
        attributes.push(KeyValue { key: SERVICE_NAME.to_owned(), value: Value::from(self.service_name) });
        Arc::new(Resource { attributes, dropped_attributes_count, schema_url: String::new() })
    }
}
