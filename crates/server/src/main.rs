//! The program `throughline`: receivers, store, inspector and forwarder, for applications in any language.

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline::Server::new().main()
}
