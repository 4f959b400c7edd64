//! The names with which a page requests and sends its ingest token, shared by the page and the receiver.

/// The path at which a page requests a token with `POST`.
pub const PATH: &str = "/v1/ingest-token";

/// The `Server-Timing` metric whose description is a token delivered with a document.
pub const METRIC: &str = "ingest_token";

/// The request header in which a page sends its token.
pub const HEADER: &str = "x-throughline-ingest-token";

/// The query parameter that carries the token if headers cannot be set, as with `sendBeacon`.
pub const PARAMETER: &str = "ingest_token";

/// The former name of [`PATH`], still accepted.
pub const FORMER_PATH: &str = "/v1/ticket";

/// The former name of [`HEADER`], still accepted.
pub const FORMER_HEADER: &str = "x-throughline-ticket";

/// The former name of [`PARAMETER`], still accepted.
pub const FORMER_PARAMETER: &str = "ticket";
