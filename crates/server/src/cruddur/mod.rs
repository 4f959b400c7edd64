//! Cruddur: a small social feed, the application that is traced.

mod database;
mod routes;
mod rows;
mod schema;
mod session;

pub(crate) use database::Database;
pub(crate) use routes::router;
pub(crate) use session::identify;
