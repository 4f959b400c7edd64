//! Enrichment: the identity that a browser claims is replaced with what the server knows.

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
/// An attribute by which upstreams multiply counts; it is not accepted from browsers.
const SAMPLE_RATE: &str = "SampleRate";

/// The prefixes of the resource attributes that are accepted from a browser. They describe the device and the program,
/// not the service.
const RESOURCE_PREFIXES: [&str; 5] = ["browser.", "device.", "os.", "telemetry.sdk.", "user_agent."];

/// The identity that the server assigns to the records of one browser request.
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

/// The resources and scopes already replaced, by address. The originals are kept so that no address is reused.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    resources: HashMap<*const Resource, (Arc<Resource>, Arc<Resource>)>,
    scopes: HashMap<*const Scope, (Arc<Scope>, Arc<Scope>)>,
}

impl Enrichment<'_> {
    /// Returns whether the record's `session.id`, if present, is that of the ingest token.
    pub(crate) fn owns(&self, record: &impl Item) -> bool {
        let session_id = self.session_id.to_string();
        record
            .attributes()
            .iter()
            .filter(|attribute| attribute.key == SESSION_ID)
            .all(|attribute| attribute.value.as_str() == Some(&session_id))
    }

    /// Redacts, limits and enriches the record. Secrets are removed first, since a truncated secret may no longer be
    /// recognized. The server's attributes are added last, so that no limit removes them.
    pub(crate) fn apply(&self, record: &mut impl FromBrowser, limits: &Limits, replaced: &mut Replaced, cut: &mut Cut) {
        record.redact(self.redactor, &mut cut.redacted);
        let is_clock_skewed = self.is_clock_skewed(record.times_ns(), limits);
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

        let server_keys =
            [CLIENT_ADDRESS, SESSION_ID, keys::CLIENT_REPORTED, keys::RECEIVED_NS, keys::TIME_SKEWED, SAMPLE_RATE];
        attributes.retain(|attribute| !server_keys.contains(&attribute.key.as_str()));
        if let Some(address) = self.client_address {
            attributes.push(KeyValue::new(CLIENT_ADDRESS, address.to_string()));
        }
        attributes.push(KeyValue::new(SESSION_ID, self.session_id.to_string()));
        attributes.push(KeyValue::new(keys::CLIENT_REPORTED, true));
        attributes.push(KeyValue::new(keys::RECEIVED_NS, self.received_ns));
        if is_clock_skewed {
            attributes.push(KeyValue::new(keys::TIME_SKEWED, true));
            cut.clock_skewed += 1;
        }
    }

    /// Returns whether a record began too long after it was received, or ended too long before. Absent times are not
    /// checked.
    fn is_clock_skewed(&self, (start_ns, end_ns): (u64, u64), limits: &Limits) -> bool {
        let received_ns = i128::from(self.received_ns);
        let ahead_ns = i128::from(start_ns) - received_ns;
        let behind_ns = received_ns - i128::from(end_ns);
        let ns = |limit: Duration| i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX);
        (start_ns != 0 || end_ns != 0) && (ahead_ns > ns(limits.time_ahead) || behind_ns > ns(limits.time_behind))
    }

    fn scope(&self, sent: &Scope, limits: &SpanLimits, cut: &mut Cut) -> Arc<Scope> {
        let mut scope = sent.clone();
        self.redactor.scope(&mut scope, &mut cut.redacted);
        limits.scope(&mut scope, cut);
        Arc::new(scope)
    }

    fn resource(&self, sent: &Resource, limits: &SpanLimits, cut: &mut Cut) -> Arc<Resource> {
        let allowed = |attribute: &&KeyValue| {
            RESOURCE_PREFIXES.iter().any(|prefix| attribute.key.starts_with(prefix))
                && !self.resource_attributes.iter().any(|server| server.key == attribute.key)
        };
        let mut attributes: Vec<_> = sent.attributes.iter().filter(allowed).cloned().collect();
        self.redactor.attributes(&mut attributes, &mut cut.redacted);
        let mut dropped_attributes_count = 0;
        limits.attributes(&mut attributes, &mut dropped_attributes_count, cut);
        let server_attributes = self.resource_attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME);
        attributes.extend(server_attributes.cloned());
        attributes.push(KeyValue { key: SERVICE_NAME.to_owned(), value: Value::from(self.service_name) });
        Arc::new(Resource { attributes, dropped_attributes_count, schema_url: String::new() })
    }
}
