//! Starting the tracer with the settings that most applications need.

use super::{
    init,
    js::{self, Tag},
    with,
};
use crate::config::Config;

/// Starts the tracer of this page for an application that is served together with Throughline's receiver.
///
/// Spans and events go to `/v1/traces` and `/v1/logs` of the page's own origin. The ingest token that comes with the page is
/// used, and `/v1/ingest-token` gives another one. The application counts as mounted, as after [`app_ready`](super::app_ready),
/// when the task that calls `start` is over; so the application is mounted in that task.
///
/// Call it before anything that fetches. A second call changes nothing, and nothing here panics or fails the page. For other
/// settings use [`init`] with a [`Config`].
///
/// ```no_run
/// throughline_browser::start();
/// // … mount the application here …
/// ```
pub fn start() {
    init(Config::new().ingest_token_endpoint("/v1/ingest-token"));
    // Only where the tracer runs: there is nobody to call back otherwise.
    with(|_| js::after(0.0, Tag::Ready, 0));
}
