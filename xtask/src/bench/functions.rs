//! The sizes of the functions of a WASM module with names, and the crates that they belong to.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::sections::{self, Reader, Section};

/// Returns the bytes of each function's body by name; functions with the same name are added up.
pub(super) fn read(module: &[u8]) -> Result<BTreeMap<String, i64>> {
    const CUSTOM: u8 = 0;
    const IMPORT: u8 = 2;
    const CODE: u8 = 10;
    let (mut imported, mut bodies, mut names) = (0, Vec::new(), BTreeMap::new());
    sections::each(module, |Section { id, body, .. }| {
        match id {
            IMPORT => imported = imported_functions(Reader(body))?,
            CODE => bodies = body_lengths(Reader(body))?,
            CUSTOM => {
                let mut reader = Reader(body);
                if reader.bytes()? == b"name" {
                    names = function_names(reader)?;
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    ensure!(!names.is_empty(), "the module has no function names");
    let mut sizes = BTreeMap::new();
    for (index, length) in bodies.into_iter().enumerate() {
        let name = names.get(&(imported + index)).map_or("?", String::as_str);
        *sizes.entry(without_hash(name)).or_default() += i64::try_from(length)?;
    }
    Ok(sizes)
}

/// Returns the crate that a function belongs to, from its name. A generic function counts for the crate that defines it.
pub(super) fn crate_of(name: &str) -> &str {
    let path = name.trim_start_matches(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let path = ["dyn ", "mut "].iter().fold(path, |path, word| path.strip_prefix(word).unwrap_or(path));
    match path.split_once("::") {
        Some((first, _)) if first.chars().all(|letter| letter.is_alphanumeric() || letter == '_') => first,
        _ => "other",
    }
}

/// Returns a name without the hash that differs between builds: `::h` and 16 hex digits at its end, or such digits in
/// brackets after a crate, depending on rustc's mangling scheme.
fn without_hash(name: &str) -> String {
    const DIGITS: usize = 16;
    let is_hash = |text: &str| text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((path, hash)) if is_hash(hash) => path,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if is_hash(hash) => text.push_str(rest),
            _ => {
                text.push('[');
                text.push_str(part);
            }
        }
    }
    text
}

fn imported_functions(mut reader: Reader<'_>) -> Result<usize> {
    const FUNCTION: u8 = 0;
    const TABLE: u8 = 1;
    const MEMORY: u8 = 2;
    const GLOBAL: u8 = 3;
    let mut functions = 0;
    for _ in 0..reader.number()? {
        reader.bytes()?;
        reader.bytes()?;
        match reader.byte()? {
            FUNCTION => {
                functions += 1;
                reader.number()?;
            }
            kind @ (TABLE | MEMORY) => {
                if kind == TABLE {
                    reader.byte()?;
                }
                let has_maximum = reader.byte()? & 1 == 1;
                reader.number()?;
                if has_maximum {
                    reader.number()?;
                }
            }
            GLOBAL => {
                reader.byte()?;
                reader.byte()?;
            }
            kind => anyhow::bail!("unknown kind of import: {kind}"),
        }
    }
    Ok(functions)
}

fn body_lengths(mut reader: Reader<'_>) -> Result<Vec<usize>> {
    let count = reader.number()?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        lengths.push(reader.bytes()?.len());
    }
    Ok(lengths)
}

fn function_names(mut reader: Reader<'_>) -> Result<BTreeMap<usize, String>> {
    const FUNCTIONS: u8 = 1;
    let mut names = BTreeMap::new();
    while !reader.0.is_empty() {
        let id = reader.byte()?;
        let mut part = Reader(reader.bytes()?);
        if id == FUNCTIONS {
            for _ in 0..part.number()? {
                let index = part.number()?;
                let name = std::str::from_utf8(part.bytes()?).context("a function's name is not UTF-8")?;
                names.insert(index, name.to_owned());
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_sizes_are_read_with_their_names() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        let mut section = |id: u8, body: &[u8]| {
            module.push(id);
            module.push(u8::try_from(body.len()).unwrap());
            module.extend(body);
        };
        // Imported: a memory without a maximum, and `a.b`, a function of type 0, which has therefore index 0.
        section(2, b"\x02\x01a\x01m\x02\x00\x01\x01a\x01b\x00\x00");
        // Two bodies, of 2 and of 3 bytes.
        section(10, b"\x02\x02\x00\x0b\x03\x00\x01\x0b");
        // In `name`, part 1: the names of functions 1 and 2.
        section(0, b"\x04name\x01\x0a\x02\x01\x01x\x02\x04y::z");
        let sizes = read(&module).unwrap();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [("x".to_owned(), 2), ("y::z".to_owned(), 3)]);
    }

    #[test]
    fn a_crate_is_the_first_word_of_a_path() {
        assert_eq!(crate_of("throughline_browser::web::init"), "throughline_browser");
        assert_eq!(crate_of("<throughline_browser::span::Value as core::fmt::Debug>::fmt"), "throughline_browser");
        assert_eq!(crate_of("<&mut leptos::X as Y>::z"), "leptos");
        assert_eq!(crate_of("memcpy"), "other");
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::hello"), "a::hello");
        assert_eq!(without_hash("<core[0123456789abcdef]::X<[u8]>>::fmt"), "<core::X<[u8]>>::fmt");
    }
}
