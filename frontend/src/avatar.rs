//! An avatar made of initials.

use leptos::prelude::*;

/// The number of colours in the style sheet: `avatar-0` and so on.
const COLOURS: u32 = 8;

/// Returns the first letters of the first two words of the name, or of the handle if the name has no letters.
fn initials(display_name: &str, handle: &str) -> String {
    let of = |text: &str| -> String {
        text.split_whitespace()
            .filter_map(|word| word.chars().find(|c| c.is_alphanumeric()))
            .take(2)
            .flat_map(char::to_uppercase)
            .collect()
    };
    match of(display_name) {
        text if text.is_empty() => of(handle),
        text => text,
    }
}

/// Returns the colour of a handle: a hash (FNV-1a), so that it is the same on every machine.
fn colour(handle: &str) -> u32 {
    handle.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % COLOURS
}

#[component]
pub(crate) fn Avatar(
    handle: String,
    display_name: String,
    /// Whether the small size for menus is used.
    #[prop(optional)]
    small: bool,
) -> impl IntoView {
    let size = if small { "avatar avatar-small" } else { "avatar" };
    view! {
        <span class=format!("{size} avatar-{}", colour(&handle)) aria-hidden="true">
            {initials(&display_name, &handle)}
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_come_from_the_name_or_else_the_handle() {
        assert_eq!(initials("Andrew Brown", "andrewbrown"), "AB");
        assert_eq!(initials("  (ada) lovelace king ", "x"), "AL");
        assert_eq!(initials("", "bayko"), "B");
        assert_eq!(initials("—", ""), "");
    }

    #[test]
    fn a_handle_keeps_its_colour() {
        assert_eq!(colour("andrewbrown"), colour("andrewbrown"));
        assert!((0..1000).all(|n| colour(&n.to_string()) < COLOURS));
    }
}
