//! The base path under which a server mounts the inspector.

/// The placeholder for the base path in the built page. The server replaces it; `trunk serve` does not.
const PLACEHOLDER: &str = "/__throughline_base__";

/// A base path: empty, or with a leading slash and no trailing slash, such as `/tl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// Parses the content of `<meta name="throughline-base">`. A placeholder that was not replaced is an empty base path.
    #[must_use]
    pub fn from_meta(content: &str) -> Self {
        let path = content.trim().trim_matches('/');
        if path.is_empty() || content.trim() == PLACEHOLDER {
            return Self::default();
        }
        Self(format!("/{path}"))
    }

    /// Returns the base path as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `path`, which must begin with a slash, below the base path.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_prepended_to_every_path() {
        assert_eq!(Base::from_meta("/tl").join("/traces"), "/tl/traces");
        assert_eq!(Base::from_meta(" /ops/tl/ ").as_str(), "/ops/tl");
        assert_eq!(Base::from_meta("tl").as_str(), "/tl");
    }

    #[test]
    fn without_a_base_path_paths_are_unchanged() {
        for content in ["", " ", "/", PLACEHOLDER] {
            assert_eq!(Base::from_meta(content).join("/api/traces"), "/api/traces", "{content:?}");
        }
    }
}
