//! Tests of the program `throughline` as a process, over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alone;
mod archive;
mod attacks;
mod base_path;
mod config_file;
mod crash;
mod doctor;
mod doctor_reads;
mod elsewhere;
mod former_names;
mod inspector;
mod logs;
mod misbehaviour;
mod outbox;
mod pages;
mod proxies;
mod receivers;
mod restore;
mod settings;
mod support;
mod upstream;
