//! `throughline backup DIRECTORY`: copies the stores.

use std::{
    fs::{self, DirBuilder, File},
    io,
    path::Path,
};

use anyhow::Context;

use super::{must_be_new, progress};

/// Copies all stores of telemetry into the directory `to`, while the server runs or not. The copy gets its name when it is complete.
pub(crate) fn run(data_dir: &Path, to: &Path) -> anyhow::Result<()> {
    must_be_new(to)?;
    let mut partial = to.to_path_buf().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    must_be_new(partial)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(partial).with_context(|| format!("`{}` cannot be created", partial.display()))?;
    let bar = progress::bar(0, "pages");
    let copied = throughline_store::backup(data_dir, partial, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let copied = copied.with_context(|| format!("the stores in `{}` cannot be copied", data_dir.display()));
    let moved = copied.and_then(|()| {
        let bytes = write_out(partial).context("the copy cannot be written to disk")?;
        fs::rename(partial, to).with_context(|| format!("the copy cannot be named `{}`", to.display()))?;
        Ok(bytes)
    });
    if moved.is_err() {
        // best effort: the error that is returned matters more than the remains of the copy.
        let _ = fs::remove_dir_all(partial);
    }
    let bytes = moved?;
    println!("{} has {bytes} bytes; it is a data directory, for --data-dir or to be put into one", to.display());
    Ok(())
}

/// Flushes the files to disk, so that a power cut does not lose them, and returns their size in bytes.
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
