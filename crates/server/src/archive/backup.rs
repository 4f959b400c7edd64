//! `throughline backup DIRECTORY` copies the stores.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::Context;
use tempfile::TempDir;

use super::{must_be_new, progress};

/// Copies all stores into the new directory `to`, which is renamed into place when the copy is complete. A server may be running.
pub(crate) fn run(data_dir: &Path, to: &Path) -> anyhow::Result<()> {
    must_be_new(to)?;
    // Dropping it removes the incomplete copy.
    let partial = partial(to).with_context(|| format!("cannot create a directory beside `{}`", to.display()))?;
    let bar = progress::bar(0, "pages");
    let copied = throughline_store::backup(data_dir, partial.path(), |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied.with_context(|| format!("cannot copy the stores in `{}`", data_dir.display()))?;
    let bytes = write_out(partial.path()).context("cannot write the copy to disk")?;
    fs::rename(partial.path(), to).with_context(|| format!("cannot rename the copy to `{}`", to.display()))?;
    // The renamed directory must not be removed.
    drop(partial.keep());
    println!("wrote {bytes} bytes to {}, which can be used as a data directory", to.display());
    Ok(())
}

/// Creates a temporary directory beside `to`, with mode 0700.
fn partial(to: &Path) -> io::Result<TempDir> {
    let name = to.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(dir)
}

/// Syncs the files of a directory to disk, so that they survive a power failure, and returns their size in bytes.
fn write_out(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.len();
    }
    // The directory entries are synced where a directory can be opened.
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(bytes)
}
