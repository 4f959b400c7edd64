//! What spans, log records and data points have in common.

use std::{fmt, sync::Arc};

use crate::{KeyValue, Reason, Resource, Scope, Signal, json::Json, protobuf::Protobuf};

/// A span, a log record or a data point: what a body holds many of, each from a resource and a scope. Nothing else
/// implements it.
pub trait Record: Protobuf + Json + Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// What it belongs to.
    const SIGNAL: Signal;

    /// What messages about it call it; may be empty.
    fn title(&self) -> &str;

    /// Who made it, and with which library.
    fn source(&self) -> (&Arc<Resource>, &Arc<Scope>);

    /// Its own attributes.
    fn attributes(&self) -> &[KeyValue];

    /// Who made it, with which library, and its own attributes, to be changed.
    fn parts_mut(&mut self) -> (&mut Arc<Resource>, &mut Arc<Scope>, &mut Vec<KeyValue>);
}

/// Where the records of one list come from.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Arc<Scope>,
    /// A rule that resource or scope break, and with them all that is theirs.
    pub(crate) broken: Option<Reason>,
}
