//! Names under which a page gets its ingest token and sends it, for the page and the receiver alike.

/// The path at which a page asks for a token, by `POST`.
pub const PATH: &str = "/v1/ingest-token";

/// The `Server-Timing` metric whose description is a token that comes with a document.
pub const METRIC: &str = "ingest_token";

/// The request header in which a page sends its token.
pub const HEADER: &str = "x-throughline-ingest-token";

/// The query parameter that carries the token where headers cannot be set, as by `sendBeacon`.
pub const PARAMETER: &str = "ingest_token";

/// The former name of [`PATH`], still accepted.
pub const FORMER_PATH: &str = "/v1/ticket";

/// The former name of [`HEADER`], still accepted.
pub const FORMER_HEADER: &str = "x-throughline-ticket";

/// The former name of [`PARAMETER`], still accepted.
pub const FORMER_PARAMETER: &str = "ticket";
