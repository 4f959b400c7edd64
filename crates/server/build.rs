//! Rebuilds the binary when the built frontend changes: its files are embedded.

fn main() {
    println!("cargo::rerun-if-changed=../../frontend/dist");
}
