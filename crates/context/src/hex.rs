//! Hexadecimal digits by table: one look-up for a digit, one check for a whole id.

use std::fmt;

/// A table's entry for a byte that is no digit. Digits take the low four bits, so any high bit tells.
const NOT_A_DIGIT: u8 = 0xf0;

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Which letters count as digits.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// `a` to `f` only, as W3C headers have it.
    Lower,
    /// `A` to `F` too, as OTLP/JSON allows.
    Either,
}

static LOWER: [u8; 256] = table(false);
static EITHER: [u8; 256] = table(true);

const fn table(upper: bool) -> [u8; 256] {
    let mut table = [NOT_A_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        let byte = DIGITS[digit as usize];
        table[byte as usize] = digit;
        if upper {
            table[byte.to_ascii_uppercase() as usize] = digit;
        }
        digit += 1;
    }
    table
}

/// `2 * N` digits as `N` bytes; `None` for any other length or another byte among them.
#[inline]
pub(crate) fn decode<const N: usize>(text: &[u8], case: Case) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let table = match case {
        Case::Lower => &LOWER,
        Case::Either => &EITHER,
    };
    let mut bytes = [0; N];
    // One test at the end instead of one for each digit: valid input is what there mostly is.
    let mut seen = 0;
    let (pairs, _) = text.as_chunks::<2>();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (table[usize::from(*high)], table[usize::from(*low)]);
        seen |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    (seen & NOT_A_DIGIT == 0).then_some(bytes)
}

/// Writes two digits for each of `bytes` to the start of `text`, as far as there is room.
#[inline]
pub(crate) fn encode(bytes: &[u8], text: &mut [u8]) {
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (byte, pair) in bytes.iter().zip(pairs) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]];
    }
}

/// Hands ASCII to a formatter, with its width and alignment.
pub(crate) fn pad(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.pad(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}
