//! Copying text.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Puts `text` on the clipboard; false where the page may not.
pub(crate) async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    // Outside a secure context there is no clipboard at all.
    let there =
        js_sys::Reflect::get(&navigator, &JsValue::from_str("clipboard")).is_ok_and(|value| !value.is_undefined());
    there && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}

/// Two sheets, one behind the other.
const SHEETS: &str = "M6 6h7v7H6z M10 6V3H3v7h3";
/// A tick.
const DONE: &str = "M3 8.5l3.2 3.2L13 5";

/// A button that copies and says so.
#[component]
pub(crate) fn CopyButton(
    /// What is copied: asked for at the click.
    #[prop(into)]
    text: Callback<(), String>,
    /// What the button says, or what it is called when `icon` is set.
    label: &'static str,
    /// Only a sign is shown.
    #[prop(optional)]
    icon: bool,
) -> impl IntoView {
    let said = RwSignal::new(None::<&'static str>);
    let click = move |_| {
        let text = text.run(());
        spawn_local(async move {
            let ok = copy(&text).await;
            said.try_set(Some(if ok { "Copied" } else { "Not allowed here" }));
            set_timeout(
                move || {
                    said.try_set(None);
                },
                Duration::from_millis(1500),
            );
        });
    };
    view! {
        <button type="button" class=if icon { "copy copy-icon" } else { "copy button" } title=label on:click=click>
            {if icon {
                view! {
                    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
                        <path
                            d=move || if said.get().is_some() { DONE } else { SHEETS }
                            fill="none"
                            stroke="currentColor"
                            stroke-width="1.4"
                            stroke-linejoin="round"
                        ></path>
                    </svg>
                    <span class="sr-only" role="status">{move || said.get().unwrap_or(label)}</span>
                }
                    .into_any()
            } else {
                view! { <span role="status">{move || said.get().unwrap_or(label)}</span> }.into_any()
            }}
        </button>
    }
}
