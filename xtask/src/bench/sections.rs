//! The sections of a WASM module and their sizes.

use anyhow::{Context, Result, bail};

/// The bytes of a module by kind of section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    /// Function bodies.
    pub(super) code: usize,
    /// Constants: strings, tables of numbers, vtables.
    pub(super) data: usize,
    /// Types, imports, exports, tables and custom sections.
    pub(super) other: usize,
}

/// Returns the sizes of the sections of `module`.
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
    /// Its id, as in the specification.
    pub(super) id: u8,
    /// Its contents.
    pub(super) body: &'a [u8],
    /// Its size including its header.
    pub(super) bytes: usize,
}

/// Calls `visit` with each section.
pub(super) fn each(module: &[u8], mut visit: impl FnMut(Section<'_>) -> Result<()>) -> Result<()> {
    let mut rest = Reader(module.strip_prefix(b"\0asm\x01\0\0\0").context("not a WASM module of version 1")?);
    while !rest.0.is_empty() {
        let before = rest.0.len();
        let (id, body) = (rest.byte()?, rest.bytes()?);
        visit(Section { id, body, bytes: before - rest.0.len() })?;
    }
    Ok(())
}

/// A reader of the rest of a module.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Reads one byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().context("the module is truncated")?;
        self.0 = rest;
        Ok(*first)
    }

    /// Reads an unsigned 32-bit number, LEB128.
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
        bail!("a LEB128 number is longer than {LONGEST} bytes")
    }

    /// Reads a length and that number of bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length).context("the module is truncated")?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_sizes_add_up_to_the_module() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([1, 2, 0xaa, 0xaa]);
        module.extend([10, 0x83, 0x00, 1, 2, 3]);
        module.extend([11, 1, 0]);
        let sections = read(&module).unwrap();
        assert_eq!(sections, Sections { code: 6, data: 3, other: 4 });
        assert_eq!(sections.code + sections.data + sections.other + 8, module.len());
    }

    #[test]
    fn a_truncated_module_is_an_error() {
        assert!(read(b"\0asm").is_err());
        assert!(read(b"\0asm\x01\0\0\0\x0a\x05\x00").is_err());
        assert!(read(b"\0asm\x01\0\0\0\x0a\x80\x80\x80\x80\x80\x00").is_err());
    }
}
