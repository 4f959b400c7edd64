//! `throughline import FILE…` stores the records of OTLP files.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use throughline_otlp::{Rejection, decode};
use throughline_store::{SpanStore as _, Store};
use tokio::runtime::Runtime;

use super::{
    Format, Kind, Usage,
    file::{self, Message},
    progress,
};

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The maximum number of rejections that are printed with their reasons.
const MAX_PRINTED: usize = 10;

/// The numbers of stored, duplicate and rejected records.
#[derive(Default)]
struct Sum {
    stored: usize,
    duplicates: usize,
    rejected: usize,
}

/// Stores the records of `files`, which may be compressed with gzip. No server may use the store, because its writer keeps summaries
/// of traces in memory.
pub(crate) fn run(store: &Store, files: &[PathBuf], format: Option<Format>, kind: Option<Kind>) -> anyhow::Result<()> {
    if let Some(absent) = files.iter().find(|file| !file.is_file()) {
        return Err(Usage(format!("`{}` is not a file", absent.display())).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sum = Sum::default();
    let mut result = Ok(());
    for file in files {
        result = import(&runtime, store, file, format, kind, &mut sum)
            .with_context(|| format!("cannot import all of `{}`", file.display()));
        if result.is_err() {
            break;
        }
    }
    runtime.block_on(store.close());
    // Records before an error are stored.
    println!("{} records stored, {} duplicates, {} rejected", sum.stored, sum.duplicates, sum.rejected);
    result
}

fn import(
    runtime: &Runtime,
    store: &Store,
    path: &Path,
    format: Option<Format>,
    kind: Option<Kind>,
    sum: &mut Sum,
) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let bar = progress::bar(file.metadata()?.len(), "bytes");
    let mut input = BufReader::new(bar.wrap_read(file));
    let is_gzip = input.fill_buf()?.starts_with(&GZIP);
    let input: Box<dyn BufRead> =
        if is_gzip { Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(input))) } else { Box::new(input) };
    // The format of `traces.json.gz` is JSON.
    let name = if is_gzip { path.with_extension("") } else { path.to_path_buf() };
    let format = format.unwrap_or_else(|| Format::of(&name));
    let result = file::each(input, format, kind, |message| append(runtime, store, format, &message, sum));
    bar.finish_and_clear();
    result
}

fn append(runtime: &Runtime, store: &Store, format: Format, message: &Message, sum: &mut Sum) -> anyhow::Result<()> {
    let (appended, rejections) = match message.kind {
        Kind::Traces => {
            let decoded = decode(&message.body, format.encoding())?;
            (runtime.block_on(store.append(decoded.records))?, decoded.rejections)
        }
        Kind::Logs => {
            let decoded = decode(&message.body, format.encoding())?;
            (runtime.block_on(store.append_logs(decoded.records))?, decoded.rejections)
        }
    };
    sum.stored += appended.stored;
    sum.duplicates += appended.duplicates;
    print_rejections(&rejections, sum);
    Ok(())
}

fn print_rejections(rejections: &[Rejection], sum: &mut Sum) {
    for rejection in rejections {
        if sum.rejected < MAX_PRINTED {
            eprintln!("throughline: rejected: {rejection}");
        }
        sum.rejected += 1;
    }
}
