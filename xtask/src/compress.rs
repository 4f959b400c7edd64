//! Compressed copies of the built page, made once so that the server never compresses at run time.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, write::GzEncoder};

use crate::fingerprint::entries;

const EXTENSIONS: [&str; 6] = ["css", "html", "js", "json", "svg", "wasm"];

/// Smaller files fit in one packet either way.
const SMALLEST_BYTES: usize = 1024;

/// The sizes of one file in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The file.
    pub(crate) path: PathBuf,
    /// As built.
    pub(crate) raw: usize,
    /// With brotli, quality 11.
    pub(crate) brotli: usize,
    /// With gzip, level 9.
    pub(crate) gzip: usize,
}

/// Writes `x.br` and `x.gz` beside every compressible file `x` in `folder` that is worth it, unless copies that are
/// younger than it stand there. Copies whose file is gone are removed.
pub(crate) fn compress(folder: &Path) -> Result<Vec<Sizes>> {
    let mut sizes = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            sizes.extend(compress(&path)?);
        } else if is_copy(&path) {
            if !path.with_extension("").exists() {
                fs::remove_file(&path)?;
            }
        } else if path.extension().is_some_and(|found| EXTENSIONS.iter().any(|wanted| found == *wanted)) {
            let raw = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            if raw.len() >= SMALLEST_BYTES {
                let brotli = copy(&path, "br", &raw, brotli)?;
                let gzip = copy(&path, "gz", &raw, gzip)?;
                sizes.push(Sizes { path, raw: raw.len(), brotli, gzip });
            }
        }
    }
    Ok(sizes)
}

fn is_copy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "br" || extension == "gz")
}

/// Writes one copy if there is none as young as its file; its size either way.
fn copy(path: &Path, extension: &str, raw: &[u8], encode: fn(&[u8]) -> Result<Vec<u8>>) -> Result<usize> {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(extension);
    let copy = PathBuf::from(name);
    if let Ok(meta) = fs::metadata(&copy)
        && meta.modified()? >= fs::metadata(path)?.modified()?
    {
        return Ok(usize::try_from(meta.len())?);
    }
    let bytes = encode(raw)?;
    fs::write(&copy, &bytes).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(bytes.len())
}

/// With brotli, quality 11, as the page is served.
pub(crate) fn brotli(mut raw: &[u8]) -> Result<Vec<u8>> {
    let parameters =
        BrotliEncoderParams { quality: 11, lgwin: 22, size_hint: raw.len(), ..BrotliEncoderParams::default() };
    let mut bytes = Vec::new();
    brotli::BrotliCompress(&mut raw, &mut bytes, &parameters)?;
    Ok(bytes)
}

fn gzip(raw: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(raw)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, time::UNIX_EPOCH};

    fn page() -> String {
        "fn main() { console.log('hello'); }\n".repeat(100)
    }

    #[test]
    fn copies_hold_what_the_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let file = folder.path().join("sub/app.js");
        fs::write(&file, page()).unwrap();
        let sizes = compress(folder.path()).unwrap();
        assert_eq!(sizes.len(), 1);
        assert!(sizes[0].brotli < sizes[0].raw && sizes[0].gzip < sizes[0].raw);

        let mut text = String::new();
        let br = fs::File::open(folder.path().join("sub/app.js.br")).unwrap();
        brotli::Decompressor::new(br, 4096).read_to_string(&mut text).unwrap();
        assert_eq!(text, page());
        text.clear();
        let gz = fs::File::open(folder.path().join("sub/app.js.gz")).unwrap();
        flate2::read::GzDecoder::new(gz).read_to_string(&mut text).unwrap();
        assert_eq!(text, page());
    }

    #[test]
    fn small_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small.css"), "a {}").unwrap();
        fs::write(folder.path().join("photo.png"), vec![0; 4096]).unwrap();
        assert_eq!(compress(folder.path()).unwrap(), []);
        assert_eq!(entries(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn only_what_changed_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.js");
        let copy = folder.path().join("app.js.br");
        fs::write(&file, page()).unwrap();
        compress(folder.path()).unwrap();
        fs::write(&copy, "kept").unwrap();
        compress(folder.path()).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"kept");

        fs::File::options().write(true).open(&copy).unwrap().set_modified(UNIX_EPOCH).unwrap();
        compress(folder.path()).unwrap();
        assert_ne!(fs::read(&copy).unwrap(), b"kept");
    }

    #[test]
    fn copies_without_a_file_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gone.js.br"), "").unwrap();
        compress(folder.path()).unwrap();
        assert!(entries(folder.path()).unwrap().is_empty());
    }
}
