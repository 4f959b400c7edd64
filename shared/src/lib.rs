//! The JSON bodies of Cruddur's API, shared by the frontend and the backend.
//!
//! The only dependency is `serde`, so that both sides can use it.

pub mod cruddur;
pub mod error;

/// The limit on the text of a crud, in Unicode scalar values.
pub const CRUD_MAX_CHARS: usize = 280;
