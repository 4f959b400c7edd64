//! Failed requests, and the sentences that describe them.

use throughline_inspector_api::{ErrorBody, ErrorDetail};

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There was no response.
    Unreachable,
    /// The server rejected the request with an error body.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The error body.
        detail: ErrorDetail,
    },
    /// The response could not be parsed.
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// Why it could not be parsed.
        reason: String,
    },
}

impl Problem {
    /// Parses the body of a response that is not a success.
    ///
    /// A proxy sends its own body when the server is down: 502, 503 and 504 without an [`ErrorBody`] are
    /// [`Problem::Unreachable`].
    #[must_use]
    pub fn from_body(status: u16, body: &str) -> Self {
        match serde_json::from_str::<ErrorBody>(body) {
            Ok(body) => Self::Rejected { status, detail: body.error },
            Err(_) if matches!(status, 502..=504) => Self::Unreachable,
            Err(_) => Self::Unreadable { status, reason: format!("the server returned {status} without a reason") },
        }
    }

    /// Returns the problem as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Unreachable => "The server cannot be reached.".to_owned(),
            Self::Rejected { detail, .. } => sentence(&detail.message),
            Self::Unreadable { reason, .. } => sentence(reason),
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Rejected { detail, .. } => &detail.code,
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Returns the trace id of the rejected request, if the server reported it.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Rejected { detail, .. } => detail.trace_id.as_deref(),
            Self::Unreachable | Self::Unreadable { .. } => None,
        }
    }

    /// Returns whether the resource does not exist (404).
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Rejected { status: 404, .. })
    }
}

/// Capitalizes the text and ends it with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return "Something went wrong.".to_owned() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_message_is_kept() {
        let problem = Problem::from_body(
            404,
            r#"{"error":{"code":"unknown_handle","message":"no user has this handle","trace_id":"ab"}}"#,
        );
        assert_eq!(problem.sentence(), "No user has this handle.");
        assert_eq!(problem.code(), "unknown_handle");
        assert_eq!(problem.trace_id(), Some("ab"));
        assert!(problem.is_missing());
    }

    #[test]
    fn a_gateway_error_of_a_proxy_is_an_unreachable_server() {
        assert_eq!(Problem::from_body(502, "<html>Bad Gateway</html>"), Problem::Unreachable);
        let problem = Problem::from_body(500, "<html>");
        assert_eq!(problem.sentence(), "The server returned 500 without a reason.");
        assert!(!problem.is_missing());
    }
}
