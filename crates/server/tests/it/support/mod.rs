//! Starts the program `throughline` for a test.

use std::path::Path;

pub(crate) use throughline_testkit::bench::*;

/// Returns the path of the program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_throughline"))
}

/// Starts the program under test.
pub(crate) trait Start: Sized {
    /// Starts the program with default settings, except for the ports and the data directory.
    fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts the program with these arguments and environment variables.
    fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self;
}

impl Start for Bench {
    fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_program(binary(), args, env)
    }
}
