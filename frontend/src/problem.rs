//! A request that failed, and how the page shows it.

use cruddur_shared::error::{ErrorBody, ErrorDetail};
use leptos::prelude::*;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There was no response.
    Unreachable,
    /// The server rejected the request with a reason.
    Rejected { status: u16, detail: ErrorDetail },
    /// The response could not be parsed.
    Unreadable { reason: String },
}

impl Problem {
    /// Parses the body of a response with an error status.
    ///
    /// A proxy sends its own body when the server is down: 502, 503 and 504 without an [`ErrorBody`] are
    /// [`Problem::Unreachable`].
    pub(crate) fn from_body(status: u16, body: &str) -> Self {
        match serde_json::from_str::<ErrorBody>(body) {
            Ok(body) => Self::Rejected { status, detail: body.error },
            Err(_) if matches!(status, 502..=504) => Self::Unreachable,
            Err(_) => Self::Unreadable { reason: format!("the server returned {status} without a reason") },
        }
    }

    /// Returns the problem as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let text = match self {
            Self::Unreachable => "The server cannot be reached",
            Self::Rejected { detail, .. } => detail.message.trim(),
            Self::Unreadable { reason } => reason,
        };
        let mut chars = text.chars();
        let Some(first) = chars.next() else { return "Something went wrong.".to_owned() };
        let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
        format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
    }

    /// Returns the stable code.
    fn code(&self) -> String {
        match self {
            Self::Unreachable => "unreachable".to_owned(),
            Self::Rejected { detail, .. } => detail.code.clone(),
            Self::Unreadable { .. } => "unreadable".to_owned(),
        }
    }

    fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Rejected { detail, .. } => detail.trace_id.as_deref(),
            Self::Unreachable | Self::Unreadable { .. } => None,
        }
    }

    /// Returns whether the resource does not exist (404).
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self, Self::Rejected { status: 404, .. })
    }
}

/// The sentence, the code, a link to the trace, and a retry button.
#[component]
pub(crate) fn ProblemView(
    problem: Problem,
    /// Called on `Try again`; without it, there is no button.
    #[prop(optional, into)]
    retry: Option<Callback<()>>,
) -> impl IntoView {
    let hint = (problem == Problem::Unreachable).then_some("Check that it is running. Your text is kept.");
    let trace = problem.trace_id().map(|id| {
        view! { <a href=format!("/traces/{id}") rel="external">"View trace"</a> }
    });
    view! {
        <div class="problem" role="alert">
            <p class="problem-sentence">
                <span class="error-icon" aria-hidden="true">"!"</span>
                {problem.sentence()}
            </p>
            {hint.map(|hint| view! { <p class="quiet">{hint}</p> })}
            <p class="problem-facts">
                <code>{problem.code()}</code>
                {trace}
                {retry
                    .map(|retry| {
                        view! {
                            <button type="button" class="button" on:click=move |_| retry.run(())>
                                "Try again"
                            </button>
                        }
                    })}
            </p>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_server_becomes_a_sentence() {
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
    fn a_gateway_error_is_an_unreachable_server() {
        assert_eq!(Problem::from_body(502, "<html>Bad Gateway</html>"), Problem::Unreachable);
        let problem = Problem::from_body(500, "<html>");
        assert_eq!(problem.sentence(), "The server returned 500 without a reason.");
        assert!(!problem.is_missing());
    }
}
