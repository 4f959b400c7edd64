//! The light and dark theme: that of the system unless another is chosen.

use leptos::prelude::*;

use crate::storage::{self, Key};

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

    fn remembered() -> Option<Self> {
        match storage::recall(Key::Theme)?.as_str() {
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            _ => None,
        }
    }

    fn of_the_system() -> Self {
        let dark =
            window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|query| query.matches());
        if dark { Self::Dark } else { Self::Light }
    }

    fn apply(self) {
        if let Some(root) = document().document_element() {
            // Fails only for an invalid attribute name.
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
    let turn = move |_| {
        let next = match theme.get_untracked() {
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::Light,
        };
        theme.set(next);
        next.apply();
        storage::remember(Key::Theme, next.as_str());
    };
    let label = move || match theme.get() {
        Theme::Light => "Use dark theme",
        Theme::Dark => "Use light theme",
    };
    view! {
        <button type="button" class="icon-button" aria-label=label title=label on:click=turn>
            <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
                <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.5"></circle>
                <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor"></path>
            </svg>
        </button>
    }
}
