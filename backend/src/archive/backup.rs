//! `throughline backup FILE`.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::Context;

use super::{must_be_new, progress};

/// Copies the store into `file`, while the server runs or not. The copy has its name when it is whole.
pub(crate) fn run(data_dir: &Path, file: &Path) -> anyhow::Result<()> {
    must_be_new(file)?;
    let mut partial = file.to_path_buf().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    must_be_new(partial)?;
    let bar = progress::bar(0, "pages");
    let copied = throughline_store::backup(data_dir, partial, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let copied = copied.with_context(|| format!("the store in `{}` cannot be copied", data_dir.display()));
    let moved = copied.and_then(|()| {
        // What is said to be there is there after a power cut too.
        File::open(partial).and_then(|copy| copy.sync_all()).context("the copy cannot be written to disk")?;
        fs::rename(partial, file).with_context(|| format!("the copy cannot be named `{}`", file.display()))
    });
    if moved.is_err() {
        // It is ours, and half a copy is none.
        let _ = fs::remove_file(partial);
    }
    moved?;
    let bytes = fs::metadata(file).map_or(0, |metadata| metadata.len());
    println!("{} has {bytes} bytes; put it into a data directory as `traces.db` to use it", file.display());
    Ok(())
}
