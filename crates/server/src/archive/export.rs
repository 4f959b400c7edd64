//! `throughline export FILE`: writes records as OTLP.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::Context;
use throughline_otlp::{Record, encode};
use throughline_store::{Archive, StoreError};

use super::{Format, Kind, must_be_new, progress};

/// The largest number of records in a message.
const AT_ONCE: usize = 512;

/// Writes all spans, or all log records, to `file`, in the order in which they were received, while the server runs or not. The file
/// gets its name when it is complete.
pub(crate) fn run(data_dir: &Path, file: &Path, format: Option<Format>, kind: Kind) -> anyhow::Result<()> {
    must_be_new(file)?;
    let archive =
        Archive::open(data_dir).with_context(|| format!("the store in `{}` cannot be read", data_dir.display()))?;
    let counts = archive.counts()?;
    let format = format.unwrap_or_else(|| Format::of(file));
    let mut partial = file.to_path_buf().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    must_be_new(partial)?;
    let output = File::create_new(partial).with_context(|| format!("`{}` cannot be created", partial.display()))?;
    let output = BufWriter::new(output);
    let written = match kind {
        Kind::Traces => write(output, format, counts.spans, |cursor| archive.after(cursor, AT_ONCE)),
        Kind::Logs => write(output, format, counts.log_records, |cursor| archive.logs_after(cursor, AT_ONCE)),
    };
    let named = written.and_then(|count| {
        fs::rename(partial, file).with_context(|| format!("the file cannot be named `{}`", file.display()))?;
        Ok(count)
    });
    if named.is_err() {
        // best effort: the error that is returned matters more than the remains of the file.
        let _ = fs::remove_file(partial);
    }
    let what = match kind {
        Kind::Traces => "spans",
        Kind::Logs => "log records",
    };
    println!("{} has {} {what}", file.display(), named?);
    Ok(())
}

fn write<R: Record>(
    mut output: BufWriter<File>,
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
    let file = output.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all().context("the file cannot be written to disk")?;
    Ok(count)
}
