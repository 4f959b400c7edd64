//! A failed request, said in words.

use leptos::prelude::*;

use throughline_inspector::problem::Problem;

/// The sentence, the code, the trace, and a button to try again.
#[component]
pub fn ProblemView(
    /// What went wrong.
    problem: Problem,
    /// What to do on `Try again`; no button without it.
    #[prop(optional, into)]
    retry: Option<Callback<()>>,
) -> impl IntoView {
    let hint = match problem {
        Problem::Unreachable => Some("Check that it is running, then try again."),
        Problem::Refused { .. } | Problem::Unreadable { .. } => None,
    };
    let trace = problem.trace_id().map(|id| {
        view! { <a href=super::api::url(&format!("/traces/{id}"))>"See its trace"</a> }
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
