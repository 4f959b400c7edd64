//! Compiles the crate again when the built page changes, because its files are embedded, and reports a page that is not built.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=ui");
    if !Path::new("ui/index.html").exists() {
        println!(
            "cargo::warning=the page of the inspector is not built, so that /traces answers 503; run `cargo xtask dist` in the \
             repository of Throughline first"
        );
    }
}
