//! Fakes for the tests of this workspace: an upstream that is as strict as the real one, and a network with known delays.

mod delay_proxy;
mod fake_honeycomb;
mod server_process;

pub use delay_proxy::DelayProxy;
pub use fake_honeycomb::{Behaviour, FakeHoneycomb, RecordedRequest};
pub use server_process::{Addresses, ServerOptions, ServerProcess};
