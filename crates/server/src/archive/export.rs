//! `throughline export FILE` writes records as OTLP.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context;
use tempfile::NamedTempFile;
use throughline_otlp::{Record, encode};
use throughline_store::{Archive, StoreError};

use super::{Format, Kind, must_be_new, progress};

/// The maximum number of records in a message.
const MESSAGE_RECORDS: usize = 512;

/// Writes all spans, or all log records, to the new file `file`, in the order in which they were received. The file is renamed into
/// place when it is complete. A server may be running.
pub(crate) fn run(data_dir: &Path, file: &Path, format: Option<Format>, kind: Kind) -> anyhow::Result<()> {
    must_be_new(file)?;
    let archive =
        Archive::open(data_dir).with_context(|| format!("cannot read the store in `{}`", data_dir.display()))?;
    let counts = archive.counts()?;
    let format = format.unwrap_or_else(|| Format::of(file));
    // Dropping it removes the incomplete file.
    let mut partial = partial(file).with_context(|| format!("cannot create a file beside `{}`", file.display()))?;
    let output = BufWriter::new(partial.as_file_mut());
    let count = match kind {
        Kind::Traces => write(output, format, counts.spans, |cursor| archive.after(cursor, MESSAGE_RECORDS)),
        Kind::Logs => write(output, format, counts.log_records, |cursor| archive.logs_after(cursor, MESSAGE_RECORDS)),
    }?;
    partial.persist_noclobber(file).with_context(|| format!("cannot rename the file to `{}`", file.display()))?;
    let records = match kind {
        Kind::Traces => "spans",
        Kind::Logs => "log records",
    };
    println!("wrote {count} {records} to {}", file.display());
    Ok(())
}

/// Creates a temporary file in the directory of `file`, with the default mode of new files.
fn partial(file: &Path) -> io::Result<NamedTempFile> {
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

fn write<R: Record>(
    mut output: BufWriter<&mut File>,
    format: Format,
    total: u64,
    after: impl Fn(u64) -> Result<Vec<(u64, R)>, StoreError>,
) -> anyhow::Result<u64> {
    let bar = progress::bar(total, "records");
    let (mut cursor, mut count) = (0, 0);
    loop {
        let page = after(cursor)?;
        let Some((last, _)) = page.last() else { break };
        cursor = *last;
        let records: Vec<R> = page.into_iter().map(|(_, record)| record).collect();
        let message = encode(&records, format.encoding());
        match format {
            Format::Json => {
                output.write_all(&message)?;
                output.write_all(b"\n")?;
            }
            Format::Protobuf => {
                let length = u32::try_from(message.len()).context("a message is larger than 4 GiB")?;
                output.write_all(&length.to_be_bytes())?;
                output.write_all(&message)?;
            }
        }
        count += records.len() as u64;
        bar.set_position(count);
    }
    bar.finish_and_clear();
    let file = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all().context("cannot write the file to disk")?;
    Ok(count)
}
