//! The server as its users meet it: a real process, asked over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archive;
mod attacks;
mod config_file;
mod crash;
mod cruddur;
mod doctor;
mod doctor_reads;
mod doors;
mod elsewhere;
mod inspector;
mod logs;
mod misbehaviour;
mod outbox;
mod pages;
mod proxies;
mod refusals;
mod restore;
mod settings;
mod support;
mod traces;
mod upstream;
