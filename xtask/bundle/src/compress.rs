//! Compressed copies of the files of a page, made at build time so that the server never compresses.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, write::GzEncoder};

use crate::folder::entries;

const EXTENSIONS: [&str; 6] = ["css", "html", "js", "json", "svg", "wasm"];

/// Smaller files fit in one packet uncompressed.
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

/// Writes `x.br` and `x.gz` for every compressible file `x` of at least 1 KiB in `folder`.
pub(crate) fn compress(folder: &Path) -> Result<Vec<Sizes>> {
    let mut sizes = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            sizes.extend(compress(&path)?);
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

/// Writes one copy and returns its size in bytes.
fn copy(path: &Path, extension: &str, raw: &[u8], encode: fn(&[u8]) -> Result<Vec<u8>>) -> Result<usize> {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(extension);
    let copy = PathBuf::from(name);
    let bytes = encode(raw)?;
    fs::write(&copy, &bytes).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(bytes.len())
}

/// Compresses with brotli, quality 11.
fn brotli(mut raw: &[u8]) -> Result<Vec<u8>> {
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

/// Returns the size in bytes of a file with brotli, quality 11.
pub(crate) fn brotli_bytes(path: &Path) -> Result<usize> {
    let raw = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(brotli(&raw)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn page() -> String {
        "fn main() { console.log('hello'); }\n".repeat(100)
    }

    #[test]
    fn copies_decompress_to_the_file() {
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
    fn small_files_and_images_are_not_compressed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small.css"), "a {}").unwrap();
        fs::write(folder.path().join("photo.png"), vec![0; 4096]).unwrap();
        assert_eq!(compress(folder.path()).unwrap(), []);
        assert_eq!(entries(folder.path()).unwrap().len(), 2);
    }
}
