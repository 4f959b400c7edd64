//! Recompiles the crate when the built page changes, because its files are embedded, and warns if the page is not built.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=ui");
    if !Path::new("ui/index.html").exists() {
        println!(
            "cargo::warning=the inspector's page is not built, so /traces returns 503; run `cargo xtask dist` in the \
             Throughline repository first"
        );
    }
}
