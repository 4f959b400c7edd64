//! The store as files: `backup`, `export`, `import`.

mod backup;
mod export;
mod file;
mod import;
mod progress;

pub(crate) use self::{
    backup::run as backup,
    export::run as export,
    file::{Format, Kind},
    import::run as import,
};

use std::path::Path;

use thiserror::Error;

/// A command that is wrong, so that nothing was done.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

/// Returns an error if a file that is to be created exists: nothing is overwritten.
fn must_be_new(file: &Path) -> Result<(), Usage> {
    if file.exists() { Err(Usage(format!("`{}` is there already", file.display()))) } else { Ok(()) }
}
