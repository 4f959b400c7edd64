//! The body of every response that is not a success.

use serde::{Deserialize, Serialize};

/// A refused request: a stable `code` for programs, a sentence for people, and the trace that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// See [`ErrorBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Stable, in `snake_case`: programs may compare it.
    pub code: String,
    /// One sentence for a person; its wording may change.
    pub message: String,
    /// The trace of the refused request, 32 hex digits, where it was traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
