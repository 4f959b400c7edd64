//! Recompiles the crate when the built page changes, because its files are embedded, and warns if the page is not built.

use std::{env, path::Path};

fn main() {
    // With debug assertions the page is read from this folder at run time instead.
    if env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_some() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    println!("cargo::rerun-if-changed=ui");
    if !Path::new("ui/index.html").exists() {
        println!(
            "cargo::warning=the inspector's page is not built, so /traces returns 503; run `cargo xtask dist` in the \
             Throughline repository first"
        );
    }
}
