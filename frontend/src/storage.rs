//! What is remembered between visits. A browser that does not let us remember is no error.

use leptos::prelude::window;

/// Every name in the store that is ours.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// `light` or `dark`.
    Theme,
    /// `open` or `closed`.
    Dock,
}

impl Key {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Theme => "cruddur:theme",
            Self::Dock => "cruddur:dock",
        }
    }
}

pub(crate) fn recall(key: Key) -> Option<String> {
    window().local_storage().ok()??.get_item(key.as_str()).ok()?
}

pub(crate) fn remember(key: Key, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        // A full or forbidden store: the choice holds for this visit.
        let _ = storage.set_item(key.as_str(), value);
    }
}
