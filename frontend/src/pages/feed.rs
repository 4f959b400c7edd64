//! A list of cruds.

use cruddur_shared::cruddur::Activity;
use leptos::prelude::*;

use crate::crud::{self, Crud};

/// The cruds, or `empty` if there are none.
#[component]
pub(crate) fn FeedList(
    #[prop(into)] activities: Signal<Vec<Activity>>,
    /// The view shown if there are none.
    #[prop(into)]
    empty: ViewFn,
) -> impl IntoView {
    let is_empty = Memo::new(move |_| activities.with(Vec::is_empty));
    view! {
        <Show when=move || !is_empty.get() fallback=move || empty.run()>
            <div class="feed" role="feed">
                <For each=move || activities.get() key=crud::key let:activity>
                    <Crud activity/>
                </For>
            </div>
        </Show>
    }
}
