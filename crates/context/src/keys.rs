//! Every attribute key that is ours. All other keys are OpenTelemetry semantic conventions.

/// Network up and down together, without the server's time, in milliseconds; measured.
pub const NETWORK_TOTAL_MS: &str = "throughline.network.total_ms";
/// Network from the browser to the server, in milliseconds; an estimate, ± [`NETWORK_ERROR_MS`].
pub const NETWORK_UPLINK_MS: &str = "throughline.network.uplink_ms";
/// Network from the server to the browser, in milliseconds; an estimate, ± [`NETWORK_ERROR_MS`].
pub const NETWORK_DOWNLINK_MS: &str = "throughline.network.downlink_ms";
/// Half the width of the interval in which the true uplink lies, in milliseconds.
pub const NETWORK_ERROR_MS: &str = "throughline.network.error_ms";
/// How the split came about: `measured`, `bounded`, `assumed_symmetric`.
pub const NETWORK_METHOD: &str = "throughline.network.method";
/// How good the browser's timing of the request is: `fine`, `unsynced`, `coarse`.
pub const NETWORK_QUALITY: &str = "throughline.network.quality";
/// From request received to response head sent, by the server's own clock, in milliseconds.
pub const SERVER_DURATION_MS: &str = "throughline.server.duration_ms";
/// From request received to the first byte of the response, by the server's own clock, in milliseconds; on the server's span,
/// whose end is the last byte.
pub const SERVER_FIRST_BYTE_MS: &str = "throughline.server.time_to_first_byte_ms";
/// Server clock minus browser clock, in milliseconds.
pub const CLOCK_OFFSET_MS: &str = "throughline.clock.offset_ms";
/// Half the width of the interval in which the true offset lies, in milliseconds.
pub const CLOCK_ERROR_MS: &str = "throughline.clock.error_ms";
/// What was added to the times of a page's record before it was sent on, in milliseconds: they are in the server's clock
/// then. Nothing that is stored has it.
pub const CLOCK_SHIFT_MS: &str = "throughline.clock.shift_ms";
/// Prefix of the length of each phase of a request, in milliseconds: `throughline.phase.dns_ms` and so on.
pub const PHASE_PREFIX: &str = "throughline.phase.";

/// The key of the length of a phase: `phase_ms("dns")` is `throughline.phase.dns_ms`.
#[must_use]
pub fn phase_ms(phase: &str) -> String {
    let mut key = String::with_capacity(PHASE_PREFIX.len() + phase.len() + 3);
    key.push_str(PHASE_PREFIX);
    key.push_str(phase);
    key.push_str("_ms");
    key
}

/// Set on a span that had not ended when its page went away; its end is that moment.
pub const UNFINISHED: &str = "throughline.unfinished";
/// How often an error has happened in its page so far; it is told the first time and at each doubling.
pub const ERROR_COUNT: &str = "throughline.error.count";
/// Where an error comes from: `panic`, `error`, `unhandledrejection`, `resource`, `csp`, `console`, `application`.
pub const ERROR_SOURCE: &str = "throughline.error.source";
/// Why a session ended: `idle`, `age`.
pub const SESSION_END: &str = "throughline.session.end_reason";

/// Whether a browser said it (and the server can vouch for joins and bounds only).
pub const CLIENT_REPORTED: &str = "throughline.client_reported";
/// When the server received a browser's span, Unix nanoseconds.
pub const RECEIVED_NS: &str = "throughline.received_ns";
/// Set where a browser's times are far from the time at which it was received; they are left as they were.
pub const TIME_FAR_OFF: &str = "throughline.time.far_off";
/// What a user action was: `click`, `submit`, `key`.
pub const ACTION_KIND: &str = "throughline.action.kind";
/// The stable name of what was acted upon.
pub const ACTION_NAME: &str = "throughline.action.name";

/// The user who acted, under a key of the application.
pub const APP_USER_ID: &str = "app.user_id";
/// Keys that name the user who acted, in order of preference: OpenTelemetry's, then the application's.
pub const USER_IDS: [&str; 2] = ["user.id", APP_USER_ID];
