//! Guides: [adding it to an application](add_to_leptos), [settings], and [what is captured](captured).

#[doc = include_str!("../docs/add_to_leptos.md")]
pub mod add_to_leptos {}

#[doc = include_str!("../docs/settings.md")]
pub mod settings {}

#[doc = include_str!("../docs/captured.md")]
pub mod captured {}
