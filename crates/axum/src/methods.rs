//! Methods as the semantic conventions name them.

use http::Method;

/// Methods that stand in names and attributes as they are; any other is [`OTHER`].
pub(crate) const KNOWN: [(Method, &str); 9] = [
    (Method::GET, "GET"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::DELETE, "DELETE"),
    (Method::HEAD, "HEAD"),
    (Method::OPTIONS, "OPTIONS"),
    (Method::PATCH, "PATCH"),
    (Method::CONNECT, "CONNECT"),
    (Method::TRACE, "TRACE"),
];
/// What the conventions call a method that is not known.
pub(crate) const OTHER: &str = "_OTHER";
/// The known methods, and all others.
pub(crate) const COUNT: usize = KNOWN.len() + 1;

/// The place of a method in [`KNOWN`], or behind its end.
pub(crate) fn index_of(method: &Method) -> usize {
    KNOWN.iter().position(|(known, _)| known == method).unwrap_or(KNOWN.len())
}

/// What the method at such a place is called in names of spans: the conventions have `HTTP` for one that is not known.
pub(crate) fn name_of(index: usize) -> &'static str {
    KNOWN.get(index).map_or("HTTP", |(_, text)| text)
}
