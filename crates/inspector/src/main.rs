//! The inspector's pages: the live list of traces and the waterfall of one trace.
//!
//! The pages do not trace themselves. They are served by `throughline-inspector-server`, under any base path.

mod web;

fn main() {
    web::start();
}
