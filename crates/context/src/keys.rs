//! The attribute keys that Throughline defines. All other keys are OpenTelemetry semantic conventions.

/// Network time up and down together, without the server's time, in milliseconds; measured.
pub const NETWORK_TOTAL_MS: &str = "throughline.network.total_ms";
/// Network time from the browser to the server, in milliseconds; an estimate, ± [`NETWORK_ERROR_MS`].
pub const NETWORK_UPLINK_MS: &str = "throughline.network.uplink_ms";
/// Network time from the server to the browser, in milliseconds; an estimate, ± [`NETWORK_ERROR_MS`].
pub const NETWORK_DOWNLINK_MS: &str = "throughline.network.downlink_ms";
/// Half the width of the interval in which the true uplink lies, in milliseconds.
pub const NETWORK_ERROR_MS: &str = "throughline.network.error_ms";
/// The method of the uplink/downlink split: `measured`, `bounded`, `assumed_symmetric`.
pub const NETWORK_METHOD: &str = "throughline.network.method";
/// The quality of the browser's timing of the request: `fine`, `unsynced`, `coarse`.
pub const NETWORK_QUALITY: &str = "throughline.network.quality";
/// Time from the receipt of the request to the response head, by the server's own clock, in milliseconds.
pub const SERVER_DURATION_MS: &str = "throughline.server.duration_ms";
/// Time from the receipt of the request to the first byte of the response, by the server's own clock, in milliseconds.
/// On the server's span, which ends with the last byte.
pub const SERVER_FIRST_BYTE_MS: &str = "throughline.server.time_to_first_byte_ms";
/// Server clock minus browser clock, in milliseconds.
pub const CLOCK_OFFSET_MS: &str = "throughline.clock.offset_ms";
/// Half the width of the interval in which the true offset lies, in milliseconds.
pub const CLOCK_ERROR_MS: &str = "throughline.clock.error_ms";
/// The shift that was added to the times of a page's record before it was forwarded, in milliseconds, so that they are
/// in the server's clock. Stored records never have it.
pub const CLOCK_SHIFT_MS: &str = "throughline.clock.shift_ms";
/// The prefix of the durations of a request's phases, in milliseconds: `throughline.phase.dns_ms` and so on.
pub const PHASE_PREFIX: &str = "throughline.phase.";

/// Returns the key of a phase's duration: `phase_ms("dns")` is `throughline.phase.dns_ms`.
#[must_use]
pub fn phase_ms(phase: &str) -> String {
    let mut key = String::with_capacity(PHASE_PREFIX.len() + phase.len() + 3);
    key.push_str(PHASE_PREFIX);
    key.push_str(phase);
    key.push_str("_ms");
    key
}

/// Set on a span that had not ended when its page was closed; the span ends at that time.
pub const UNFINISHED: &str = "throughline.unfinished";
/// The number of times an error has occurred in its page so far. It is reported the first time and at each doubling.
pub const ERROR_COUNT: &str = "throughline.error.count";
/// The source of an error: `panic`, `error`, `unhandledrejection`, `resource`, `csp`, `console`, `application`.
pub const ERROR_SOURCE: &str = "throughline.error.source";
/// The reason why a session ended: `idle`, `age`.
pub const SESSION_END: &str = "throughline.session.end_reason";

/// Whether a record was reported by a browser. The server can only vouch for its joins and bounds.
pub const CLIENT_REPORTED: &str = "throughline.client_reported";
/// The time at which the server received a browser's span, in Unix nanoseconds.
pub const RECEIVED_NS: &str = "throughline.received_ns";
/// Set if a browser's times are far from the time at which they were received (clock skew). The times are not changed.
pub const TIME_SKEWED: &str = "throughline.time.far_off";
/// The kind of a user action: `click`, `submit`, `key`.
pub const ACTION_KIND: &str = "throughline.action.kind";
/// The stable name of the target of a user action.
pub const ACTION_NAME: &str = "throughline.action.name";

/// The id of the acting user, under a key of the application.
pub const APP_USER_ID: &str = "app.user_id";
/// The keys of the acting user's id, in order of preference: OpenTelemetry's, then the application's.
pub const USER_IDS: [&str; 2] = ["user.id", APP_USER_ID];
