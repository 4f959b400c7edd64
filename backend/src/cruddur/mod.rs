//! Cruddur: a small social feed, the application that is traced.

mod database;
mod rows;
mod routes;
mod schema;
mod session;

pub(crate) use database::Database;
pub(crate) use routes::router;
pub(crate) use session::identify;
