//! The light and dark theme: that of the system unless another is chosen.

use leptos::prelude::*;

/// The key in local storage; its value is `light` or `dark`.
const KEY: &str = "throughline:theme";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    Light,
    Dark,
}

impl Theme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Light => Self::Dark,
            Self::Dark => Self::Light,
        }
    }

    fn remembered() -> Option<Self> {
        let value = window().local_storage().ok()??.get_item(KEY).ok()??;
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.as_str() == value)
    }

    fn remember(self) {
        if let Ok(Some(storage)) = window().local_storage() {
            // best effort: if storage is full or blocked, the choice lasts until the page is closed.
            let _ = storage.set_item(KEY, self.as_str());
        }
    }

    fn of_the_system() -> Self {
        let query = window().match_media("(prefers-color-scheme: dark)").ok().flatten();
        if query.is_some_and(|query| query.matches()) { Self::Dark } else { Self::Light }
    }

    fn apply(self) {
        if let Some(root) = document().document_element() {
            // infallible: it throws only for an invalid attribute name.
            let _ = root.set_attribute("data-theme", self.as_str());
        }
    }
}

/// Applies the remembered theme to the page, if there is one.
pub(crate) fn apply_remembered() {
    if let Some(theme) = Theme::remembered() {
        theme.apply();
    }
}

/// The button that switches between light and dark.
#[component]
pub(crate) fn ThemeSwitch() -> impl IntoView {
    let theme = RwSignal::new(Theme::remembered().unwrap_or_else(Theme::of_the_system));
    let switch = move |_| {
        let next = theme.get_untracked().other();
        theme.set(next);
        next.apply();
        next.remember();
    };
    let label = move || match theme.get() {
        Theme::Light => "Use dark theme",
        Theme::Dark => "Use light theme",
    };
    view! {
        <button type="button" class="icon-button" aria-label=label title=label on:click=switch>
            <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
                <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.5"></circle>
                <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor"></path>
            </svg>
        </button>
    }
}
