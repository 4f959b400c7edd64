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

/// Why nothing was done: somebody has to say it otherwise.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

/// A file that is to be made must not be there: nothing is written over.
fn must_be_new(file: &Path) -> Result<(), Usage> {
    if file.exists() { Err(Usage(format!("`{}` is there already", file.display()))) } else { Ok(()) }
}
