//! `throughline backup DIRECTORY`: copies the stores.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::Context;
use tempfile::TempDir;

use super::{must_be_new, progress};

/// Copies all stores of telemetry into the directory `to`, while the server runs or not. The copy gets its name when it is complete.
pub(crate) fn run(data_dir: &Path, to: &Path) -> anyhow::Result<()> {
    must_be_new(to)?;
    // It is removed when it is dropped: half a copy is none.
    let partial = partial(to).with_context(|| format!("no directory can be made beside `{}`", to.display()))?;
    let bar = progress::bar(0, "pages");
    let copied = throughline_store::backup(data_dir, partial.path(), |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied.with_context(|| format!("what is stored in `{}` cannot be copied", data_dir.display()))?;
    let bytes = write_out(partial.path()).context("the copy cannot be written to disk")?;
    fs::rename(partial.path(), to).with_context(|| format!("the copy cannot be named `{}`", to.display()))?;
    // Its name is another one now.
    drop(partial.keep());
    println!("{} has {bytes} bytes; it is a data directory, for --data-dir or to be put into one", to.display());
    Ok(())
}

/// A new directory beside `to`, for this user alone.
fn partial(to: &Path) -> io::Result<TempDir> {
    let name = to.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(dir)
}

/// What is said to be there is there after a power cut too. How many bytes it has.
fn write_out(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.len();
    }
    // The names too, where a directory can be opened.
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(bytes)
}
