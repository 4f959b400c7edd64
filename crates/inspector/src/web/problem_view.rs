//! The view of a failed request.

use leptos::prelude::*;

use throughline_inspector::problem::Problem;

/// The sentence, the code, the trace, and a retry button of a problem.
#[component]
pub fn ProblemView(
    /// The problem to show.
    problem: Problem,
    /// Called on `Try again`; without it, there is no button.
    #[prop(optional, into)]
    retry: Option<Callback<()>>,
) -> impl IntoView {
    let hint = match problem {
        Problem::Unreachable => Some("Check that the server is running, then try again."),
        Problem::Rejected { .. } | Problem::Unreadable { .. } => None,
    };
    let trace = problem.trace_id().map(|id| {
        view! { <a href=super::api::url(&format!("/traces/{id}"))>"View trace"</a> }
    });
    view! {
        <div class="problem" role="alert">
            <p class="problem-sentence">
                <span class="error-icon" aria-hidden="true">"!"</span>
                {problem.sentence()}
            </p>
            {hint.map(|hint| view! { <p class="quiet">{hint}</p> })}
            <p class="problem-facts">
                <code>{problem.code().to_owned()}</code>
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
