//! What frontend and backend say to each other: one definition of every JSON body.
//!
//! Nothing but `serde` is imported here, so that both sides can use it.

pub mod cruddur;
pub mod error;

/// The limit on the text of a crud, in Unicode scalar values.
pub const CRUD_MAX_CHARS: usize = 280;
