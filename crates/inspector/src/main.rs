//! The inspector's pages: the live list of traces and the waterfall of one trace.
//!
//! The pages do not trace themselves. `throughline-inspector-server` serves them under any base path.

mod web;

fn main() {
    web::start();
}
