//! HTTP methods as named by the semantic conventions.

use http::Method;

/// Methods that are used in names and attributes unchanged; any other method is [`OTHER`].
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
/// The attribute value for unknown methods.
pub(crate) const OTHER: &str = "_OTHER";
/// The number of known methods, plus one for all others.
pub(crate) const COUNT: usize = KNOWN.len() + 1;

/// Returns the index of a method in [`KNOWN`], or `KNOWN.len()` if it is unknown.
pub(crate) fn index_of(method: &Method) -> usize {
    KNOWN.iter().position(|(known, _)| known == method).unwrap_or(KNOWN.len())
}

/// Returns the name of a method in span names, given its index. The conventions use `HTTP` for an unknown method.
pub(crate) fn name_of(index: usize) -> &'static str {
    KNOWN.get(index).map_or("HTTP", |(_, text)| text)
}
