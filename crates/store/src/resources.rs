//! Inserts into the table of resources and scopes.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension};
use throughline_otlp::{Record, encode_resource_scope};

/// The ids of the resources and scopes of one batch, most of which are shared by its records. They are keyed by address, which
/// is valid as long as the batch exists.
#[derive(Default)]
pub(crate) struct Resources {
    ids: HashMap<(usize, usize), i64>,
}

impl Resources {
    /// Returns the id of a record's resource and scope, inserting them if they are new. Equal resources and scopes have the
    /// same id as long as they are in the file.
    pub(crate) fn id(&mut self, connection: &Connection, record: &impl Record) -> rusqlite::Result<i64> {
        let (resource, scope) = record.source();
        let address = (Arc::as_ptr(resource).addr(), Arc::as_ptr(scope).addr());
        if let Some(id) = self.ids.get(&address) {
            return Ok(*id);
        }
        let body = encode_resource_scope(resource, scope);
        let known = connection
            .prepare_cached("SELECT id FROM resources WHERE body = ?1")?
            .query_row([&body], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => connection.prepare_cached("INSERT INTO resources (body) VALUES (?1)")?.insert([&body])?,
        };
        self.ids.insert(address, id);
        Ok(id)
    }
}
