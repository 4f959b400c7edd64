//! The pages, one per module.

pub(crate) mod feed;
pub(crate) mod home;
pub(crate) mod missing;
pub(crate) mod notifications;
pub(crate) mod profile;
pub(crate) mod search;
pub(crate) mod thread;
