//! Guides: [adding it to an application](add_to_leptos), [settings], and [what is captured](captured).

// The first definition of a link counts: here the guides are pages, in their texts they are files.

/// [settings]: crate::guide::settings
/// [captured]: crate::guide::captured
///
#[doc = include_str!("../docs/add_to_leptos.md")]
pub mod add_to_leptos {}

/// [captured]: crate::guide::captured
///
#[doc = include_str!("../docs/settings.md")]
pub mod settings {}

/// [settings]: crate::guide::settings
///
#[doc = include_str!("../docs/captured.md")]
pub mod captured {}
