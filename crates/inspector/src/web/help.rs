//! The dialog that lists the keys.

use leptos::{html::Dialog, prelude::*};

/// The keys of each page.
const KEYS: [(&str, &[(&str, &str)]); 3] = [
    ("Everywhere", &[("?", "show this help")]),
    ("Traces", &[("/", "filter"), ("↑ ↓", "move between traces"), ("Enter", "open")]),
    (
        "A trace",
        &[
            ("↑ ↓ ← →", "move and fold"),
            ("Enter", "show details"),
            ("Esc", "close details"),
            ("e", "next error"),
            ("/", "search; Enter for next match"),
            ("z", "zoom to span"),
            ("0", "show whole trace"),
            ("c", "copy link"),
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
                <h2 id="help-title">"Keyboard shortcuts"</h2>
                <button type="button" class="icon-button" aria-label="Close" on:click=close>"×"</button>
            </div>
            {KEYS
                .into_iter()
                .map(|(page, keys)| {
                    view! {
                        <h3>{page}</h3>
                        <dl>
                            {keys
                                .iter()
                                .map(|(key, action)| {
                                    view! {
                                        <dt>
                                            <kbd>{*key}</kbd>
                                        </dt>
                                        <dd>{*action}</dd>
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
