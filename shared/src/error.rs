//! The body of every response that is not a success.

use serde::{Deserialize, Serialize};

/// The error of a rejected request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// The error in an [`ErrorBody`]: a stable code for programs, a message for people, and the trace of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A stable code in `snake_case`, for programs.
    pub code: String,
    /// One sentence for people; its wording may change.
    pub message: String,
    /// The trace id of the rejected request, 32 hex digits, if it was traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
