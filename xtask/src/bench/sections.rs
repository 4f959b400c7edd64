//! Where the bytes of a WASM module are.

use anyhow::{Context, Result, ensure};

/// The bytes of a module by the kinds of its sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    /// Functions' bodies.
    pub(super) code: usize,
    /// Constants: texts, tables of numbers, vtables.
    pub(super) data: usize,
    /// Types, imports, exports, tables, and what tools left behind.
    pub(super) other: usize,
}

/// Reads the outline of `module`.
pub(super) fn read(module: &[u8]) -> Result<Sections> {
    const CODE: u8 = 10;
    const DATA: u8 = 11;
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").context("this is no WASM module of version 1")?;
    let mut sections = Sections::default();
    while let Some((id, after)) = rest.split_first() {
        let (length, body) = leb128(after)?;
        ensure!(length <= body.len(), "a section is longer than the module");
        let bytes = rest.len() - body.len() + length;
        *match *id {
            CODE => &mut sections.code,
            DATA => &mut sections.data,
            _ => &mut sections.other,
        } += bytes;
        rest = &body[length..];
    }
    Ok(sections)
}

/// An unsigned 32-bit number, and what follows it.
fn leb128(bytes: &[u8]) -> Result<(usize, &[u8])> {
    const LONGEST: usize = 5;
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(LONGEST).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((usize::try_from(value)?, &bytes[index + 1..]));
        }
    }
    anyhow::bail!("a section has no length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart_and_add_up() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([1, 2, 0xaa, 0xaa]);
        module.extend([10, 0x83, 0x00, 1, 2, 3]);
        module.extend([11, 1, 0]);
        let sections = read(&module).unwrap();
        assert_eq!(sections, Sections { code: 6, data: 3, other: 4 });
        assert_eq!(sections.code + sections.data + sections.other + 8, module.len());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        assert!(read(b"\0asm").is_err());
        assert!(read(b"\0asm\x01\0\0\0\x0a\x05\x00").is_err());
        assert!(read(b"\0asm\x01\0\0\0\x0a\x80\x80\x80\x80\x80\x00").is_err());
    }
}
