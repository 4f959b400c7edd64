//! Why a request did not bring what was asked for.

use throughline_inspector_api::{ErrorBody, ErrorDetail};

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No response came.
    Unreachable,
    /// The server refused, and says why.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        detail: ErrorDetail,
    },
    /// A response came that is not what was agreed.
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
}

impl Problem {
    /// What a response that is not a success says.
    ///
    /// A proxy between answers in its own words when the server is down: 502, 503 and 504 without our body are
    /// [`Problem::Unreachable`].
    #[must_use]
    pub fn from_body(status: u16, body: &str) -> Self {
        match serde_json::from_str::<ErrorBody>(body) {
            Ok(body) => Self::Refused { status, detail: body.error },
            Err(_) if matches!(status, 502..=504) => Self::Unreachable,
            Err(_) => Self::Unreadable { status, reason: format!("the server answered {status} without a reason") },
        }
    }

    /// A sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Unreachable => "The server cannot be reached.".to_owned(),
            Self::Refused { detail, .. } => sentence(&detail.message),
            Self::Unreadable { reason, .. } => sentence(reason),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused { detail, .. } => &detail.code,
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// The trace of the refused request, where the server said it.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Refused { detail, .. } => detail.trace_id.as_deref(),
            Self::Unreachable | Self::Unreadable { .. } => None,
        }
    }

    /// Whether what was asked for does not exist.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// With a capital and a full stop, whatever the writer used.
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
    fn the_servers_own_words_are_kept() {
        let problem = Problem::from_body(
            404,
            r#"{"error":{"code":"unknown_handle","message":"nobody is called @x","trace_id":"ab"}}"#,
        );
        assert_eq!(problem.sentence(), "Nobody is called @x.");
        assert_eq!(problem.code(), "unknown_handle");
        assert_eq!(problem.trace_id(), Some("ab"));
        assert!(problem.is_missing());
    }

    #[test]
    fn a_proxy_without_a_server_is_an_unreachable_server() {
        assert_eq!(Problem::from_body(502, "<html>Bad Gateway</html>"), Problem::Unreachable);
        let problem = Problem::from_body(500, "<html>");
        assert_eq!(problem.sentence(), "The server answered 500 without a reason.");
        assert!(!problem.is_missing());
    }
}
