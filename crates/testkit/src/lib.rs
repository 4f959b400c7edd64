//! Fakes and fixtures for the tests of this workspace: an upstream that is as strict as Honeycomb, a network with known
//! delays, and a running server ([`mod@bench`]).

pub mod bench;
mod delay_proxy;
mod fake_honeycomb;
mod server_process;

pub use delay_proxy::DelayProxy;
pub use fake_honeycomb::{Behaviour, FakeHoneycomb, RecordedRequest};
pub use server_process::{Addresses, ServerOptions, ServerProcess};
