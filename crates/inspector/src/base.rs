//! The base path under which a server mounts the inspector.

/// What the built page has in place of the base path. A server replaces it; `trunk serve` does not.
const PLACEHOLDER: &str = "/__throughline_base__";

/// A base path: empty, or one with a leading and without a trailing slash, such as `/tl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// Reads the content of `<meta name="throughline-base">`. A placeholder that no server has replaced is an empty base.
    #[must_use]
    pub fn from_meta(content: &str) -> Self {
        let path = content.trim().trim_matches('/');
        if path.is_empty() || content.trim() == PLACEHOLDER {
            return Self::default();
        }
        Self(format!("/{path}"))
    }

    /// The base path itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `path`, which begins with a slash, below the base path.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_put_before_every_path() {
        assert_eq!(Base::from_meta("/tl").join("/traces"), "/tl/traces");
        assert_eq!(Base::from_meta(" /ops/tl/ ").as_str(), "/ops/tl");
        assert_eq!(Base::from_meta("tl").as_str(), "/tl");
    }

    #[test]
    fn without_a_base_path_paths_stay_as_they_are() {
        for content in ["", " ", "/", PLACEHOLDER] {
            assert_eq!(Base::from_meta(content).join("/api/traces"), "/api/traces", "{content:?}");
        }
    }
}
