// The first definition of a link wins: in rustdoc the guides are modules, in the README they are files.
//! [add_to_leptos]: crate::guide::add_to_leptos
//! [settings]: crate::guide::settings
//! [captured]: crate::guide::captured
//!
#![doc = include_str!("../README.md")]

mod attributes;
mod clock;
mod config;
mod context;
mod delivery;
pub mod guide;
mod measure;
#[cfg(any(feature = "offline", test))]
mod offline;
mod protobuf;
mod record;
#[cfg(any(feature = "errors", test))]
mod repeat;
mod request;
mod session;
mod summary;
#[cfg(feature = "tracing")]
pub mod tracing;
#[cfg(any(feature = "vitals", test))]
mod vitals;
mod web;

pub use attributes::{Attributes, Value};
pub use config::Config;
pub use context::{Context, InContext};
pub use record::SpanContext;
pub use summary::{Network, RequestSummary, Status};
pub use web::{
    action::{InSpan, action, span},
    app_ready, buffer_requests, current, dropped, event, flush, http, init, navigation, on_request, on_status,
    session_id, set_attribute, set_baggage, set_user_id, start,
};

#[cfg(feature = "errors")]
pub use web::record_error;

#[doc(hidden)]
#[cfg(feature = "offline")]
pub mod fuzzing {
    //! Entry points of the fuzz targets.

    use crate::{delivery::Batch, offline, session::Session};

    /// Restores the stored records of an earlier page and stores them again.
    #[must_use]
    pub fn stored_again(text: &str) -> String {
        let mut again = String::new();
        for (signal, record) in offline::restore(text) {
            offline::store(&mut again, &Batch::new(signal, record.session, vec![record]));
        }
        again
    }

    /// Parses the session shared by the tabs and prints it again.
    #[must_use]
    pub fn session_again(text: &str) -> Option<String> {
        Session::parse(text).map(|session| session.print())
    }
}
