//! Compiles the crate again when the built page changes: its files are embedded.

fn main() {
    println!("cargo::rerun-if-changed=ui");
}
