//! Recompiles the program when the built page changes, because its files are embedded.

fn main() {
    println!("cargo::rerun-if-changed=../frontend/dist");
}
