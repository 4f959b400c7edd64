//! The keys, in a dialog.

use leptos::{html::Dialog, prelude::*};

/// Keys everywhere in Cruddur, in the list of traces, in a trace.
const KEYS: [(&str, &[(&str, &str)]); 3] = [
    (
        "Cruddur",
        &[
            ("n", "write a crud"),
            ("Ctrl Enter", "send it"),
            ("/", "search"),
            ("t", "open or close the dock"),
            ("?", "this help"),
        ],
    ),
    ("Traces", &[("/", "filter"), ("↑ ↓", "move among traces"), ("Enter", "open")]),
    (
        "A trace",
        &[
            ("↑ ↓ ← →", "move and fold"),
            ("Enter", "details"),
            ("Esc", "close them"),
            ("e", "next error"),
            ("/", "search, Enter for the next"),
            ("z", "zoom to the span"),
            ("0", "show everything"),
            ("c", "copy the link"),
        ],
    ),
];

#[component]
pub(crate) fn Help(dialog: NodeRef<Dialog>) -> impl IntoView {
    let close = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    view! {
        <dialog class="help" node_ref=dialog aria-labelledby="help-title">
            <div class="help-head">
                <h2 id="help-title">"Keys"</h2>
                <button type="button" class="icon-button" aria-label="Close" on:click=close>"×"</button>
            </div>
            {KEYS
                .into_iter()
                .map(|(where_, keys)| {
                    view! {
                        <h3>{where_}</h3>
                        <dl>
                            {keys
                                .iter()
                                .map(|(key, what)| {
                                    view! {
                                        <dt>
                                            <kbd>{*key}</kbd>
                                        </dt>
                                        <dd>{*what}</dd>
                                    }
                                })
                                .collect_view()}
                        </dl>
                    }
                })
                .collect_view()}
        </dialog>
    }
}
