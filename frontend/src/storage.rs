//! Settings kept in local storage. A browser that blocks storage is not an error.

use leptos::prelude::window;

/// The keys in local storage.
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
        // If storage is full or blocked, the choice lasts until the page is closed.
        let _ = storage.set_item(key.as_str(), value);
    }
}
