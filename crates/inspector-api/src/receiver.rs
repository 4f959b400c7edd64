//! The address of the receiver for programs.

use serde::{Deserialize, Serialize};

/// The address to which programs send OTLP over HTTP: `GET /api/traces/receiver`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The base URL of the receiver for programs on the same machine, such as `http://127.0.0.1:4318`; `None` if it is not
    /// known.
    pub otlp_http: Option<String>,
}
