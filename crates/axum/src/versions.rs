//! HTTP versions as named by the semantic conventions.

use http::Version;

pub(crate) const VERSIONS: [(Version, &str); 5] = [
    (Version::HTTP_11, "1.1"),
    (Version::HTTP_2, "2"),
    (Version::HTTP_3, "3"),
    (Version::HTTP_10, "1.0"),
    (Version::HTTP_09, "0.9"),
];
