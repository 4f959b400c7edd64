//! Start of the tracer with the settings for Throughline's own receiver.

use super::{
    init,
    js::{self, Tag},
    with,
};
use crate::config::Config;

/// Starts the tracer of this page, for an application that is served together with Throughline's receiver.
///
/// Spans and events are sent to `/v1/traces` and `/v1/logs` of the page's own origin, with the ingest token that came
/// with the page or one from `/v1/ingest-token`. `start` also calls [`app_ready`](super::app_ready) when the current
/// task ends, so mount the application in the task that calls `start`.
///
/// Call it before any code that fetches. A second call has no effect. It does not panic or throw. For other settings
/// use [`init`] with a [`Config`].
///
/// ```no_run
/// throughline_browser::start();
/// // … mount the application here …
/// ```
pub fn start() {
    init(Config::new().ingest_token_endpoint("/v1/ingest-token"));
    // Only if the tracer is running, because otherwise there is no callback handler.
    with(|_| js::after(0.0, Tag::Ready, 0));
}
