//! Copying to the clipboard.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Copies `text` to the clipboard; returns false if the browser does not allow it.
pub(crate) async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    // Outside a secure context, `clipboard` is undefined.
    let available =
        js_sys::Reflect::get(&navigator, &JsValue::from_str("clipboard")).is_ok_and(|value| !value.is_undefined());
    available && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}

/// The path of the copy icon: two overlapping sheets.
const SHEETS: &str = "M6 6h7v7H6z M10 6V3H3v7h3";
/// The path of a check mark.
const DONE: &str = "M3 8.5l3.2 3.2L13 5";

/// A button that copies a text and confirms it.
#[component]
pub(crate) fn CopyButton(
    /// Returns the text to copy; called on click.
    #[prop(into)]
    text: Callback<(), String>,
    /// The text of the button, or its accessible name when `icon` is set.
    label: &'static str,
    /// Whether only an icon is shown.
    #[prop(optional)]
    icon: bool,
) -> impl IntoView {
    let result = RwSignal::new(None::<&'static str>);
    let click = move |_| {
        let text = text.run(());
        spawn_local(async move {
            let ok = copy(&text).await;
            result.try_set(Some(if ok { "Copied" } else { "Copying failed" }));
            set_timeout(
                move || {
                    result.try_set(None);
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
                            d=move || if result.get().is_some() { DONE } else { SHEETS }
                            fill="none"
                            stroke="currentColor"
                            stroke-width="1.4"
                            stroke-linejoin="round"
                        ></path>
                    </svg>
                    <span class="sr-only" role="status">{move || result.get().unwrap_or(label)}</span>
                }
                    .into_any()
            } else {
                view! { <span role="status">{move || result.get().unwrap_or(label)}</span> }.into_any()
            }}
        </button>
    }
}
