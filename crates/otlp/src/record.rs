//! The common trait of spans, log records and data points.

use std::{fmt, sync::Arc};

use crate::{KeyValue, Reason, Resource, Scope, Signal, json::Json, protobuf::Protobuf};

/// A span, a log record or a data point, with its resource and scope. Other crates cannot implement this trait.
pub trait Record: Protobuf + Json + Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The signal of the record.
    const SIGNAL: Signal;

    /// Returns the name of the record for messages; may be empty.
    fn title(&self) -> &str;

    /// Returns the resource and the scope.
    fn source(&self) -> (&Arc<Resource>, &Arc<Scope>);

    /// Returns the attributes of the record itself.
    fn attributes(&self) -> &[KeyValue];

    /// Returns the resource, the scope and the attributes of the record, mutably.
    fn parts_mut(&mut self) -> (&mut Arc<Resource>, &mut Arc<Scope>, &mut Vec<KeyValue>);
}

/// The resource and scope that the records of one list share.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Arc<Scope>,
    /// Why the resource or the scope is invalid, and with it all of its records.
    pub(crate) broken: Option<Reason>,
}
