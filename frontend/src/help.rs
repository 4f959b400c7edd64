//! The dialog that lists the keys.

use leptos::{html::Dialog, prelude::*};

const KEYS: [(&str, &str); 5] = [
    ("n", "write a crud"),
    ("Ctrl Enter", "publish it"),
    ("/", "search"),
    ("t", "show or hide recent requests"),
    ("?", "show this help"),
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
            <dl>
                {KEYS
                    .into_iter()
                    .map(|(key, action)| {
                        view! {
                            <dt>
                                <kbd>{key}</kbd>
                            </dt>
                            <dd>{action}</dd>
                        }
                    })
                    .collect_view()}
            </dl>
        </dialog>
    }
}
