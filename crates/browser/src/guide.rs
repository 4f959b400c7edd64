//! Guides: [adding it to an application](add_to_leptos), [settings], and [what is captured](captured).

// The first definition of a link wins: in rustdoc the guides are modules, in the Markdown they are files.

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
