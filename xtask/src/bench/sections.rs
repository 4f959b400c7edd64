//! Where the bytes of a WASM module are.

use anyhow::{Context, Result, bail};

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
    let mut sections = Sections::default();
    each(module, |section| {
        *match section.id {
            CODE => &mut sections.code,
            DATA => &mut sections.data,
            _ => &mut sections.other,
        } += section.bytes;
        Ok(())
    })?;
    Ok(sections)
}

/// One section of a module.
pub(super) struct Section<'a> {
    /// What it is, by the specification's number.
    pub(super) id: u8,
    /// What is in it.
    pub(super) body: &'a [u8],
    /// Its size with what stands before the body.
    pub(super) bytes: usize,
}

/// Calls `look` with each section.
pub(super) fn each(module: &[u8], mut look: impl FnMut(Section<'_>) -> Result<()>) -> Result<()> {
    let mut rest = Reader(module.strip_prefix(b"\0asm\x01\0\0\0").context("this is no WASM module of version 1")?);
    while !rest.0.is_empty() {
        let before = rest.0.len();
        let (id, body) = (rest.byte()?, rest.bytes()?);
        look(Section { id, body, bytes: before - rest.0.len() })?;
    }
    Ok(())
}

/// What is left to read of a module.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().context("the module ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned 32-bit number, LEB128.
    pub(super) fn number(&mut self) -> Result<usize> {
        const LONGEST: u32 = 5;
        let mut value = 0_u64;
        for index in 0..LONGEST {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(usize::try_from(value)?);
            }
        }
        bail!("a number has no end")
    }

    /// As many bytes as the number before them says.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length).context("something is longer than the module")?;
        self.0 = rest;
        Ok(bytes)
    }
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
