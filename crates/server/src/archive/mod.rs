//! The commands `backup`, `export` and `import`.

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

/// An error in the arguments of a command, which has done nothing.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

/// Returns an error if the file exists, because no command overwrites a file.
fn must_be_new(file: &Path) -> Result<(), Usage> {
    if file.exists() { Err(Usage(format!("`{}` already exists", file.display()))) } else { Ok(()) }
}
