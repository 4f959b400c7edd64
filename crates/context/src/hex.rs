//! Hexadecimal digits. A server decodes eight at a time, because every header costs it nanoseconds; a page decodes them
//! one by one, because the code is part of its download.

use std::fmt;

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// The letters that are accepted as digits.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// Only `a` to `f`, as in W3C headers.
    Lower,
    /// Also `A` to `F`, as in OTLP/JSON.
    Either,
}

/// Decodes `2 * N` digits to `N` bytes; `None` for any other length or character.
#[inline]
pub(crate) fn decode<const N: usize>(text: &[u8], case: Case) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let (bytes, wrong) = decode_all(text, case);
    (wrong == 0).then_some(bytes)
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use by_words::decode_all;
#[cfg(target_arch = "wasm32")]
pub(crate) use one_by_one::decode_all;

/// Decodes like `decode`, but the caller checks the length, and the second value of the result: if it is not zero, the
/// text is invalid.
#[cfg(not(target_arch = "wasm32"))]
mod by_words {
    use super::Case;

    #[inline]
    pub(crate) fn decode_all<const N: usize>(text: &[u8], case: Case) -> ([u8; N], u64) {
        let mut bytes = [0; N];
        // One check at the end instead of one per word: the input is mostly valid.
        let mut wrong = 0;
        let (words, rest) = text.as_chunks::<8>();
        let (fours, last) = bytes.as_chunks_mut::<4>();
        for (digits, bytes) in words.iter().zip(fours) {
            let (decoded, wrong_here) = decode_word(*digits, case);
            *bytes = decoded;
            wrong |= wrong_here;
        }
        for ([high, low], byte) in rest.as_chunks::<2>().0.iter().zip(last) {
            let ([decoded, ..], wrong_here) = decode_word([*high, *low, b'0', b'0', b'0', b'0', b'0', b'0'], case);
            *byte = decoded;
            wrong |= wrong_here;
        }
        (bytes, wrong)
    }

    /// Returns the same byte eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// Decodes eight digits to four bytes; the second value is zero if all are digits. Sums of bytes stay below 256, so
    /// that none carries into the next byte.
    #[inline]
    const fn decode_word(digits: [u8; 8], case: Case) -> ([u8; 4], u64) {
        let mut text = u64::from_le_bytes(digits);
        if matches!(case, Case::Either) {
            // Letters, and all other bytes with the bit 0x40, become lower case.
            text |= (text & all(0x40)) >> 1;
        }
        let letters = (text & all(0x40)) >> 6;
        let values = (text & all(0x0f)) + letters * 9;
        // The text was valid if encoding the values gives the same text.
        let above_nine = ((values + all(6)) & all(0x10)) >> 4;
        let written = values + all(b'0') + above_nine * (b'a' as u64 - 10 - b'0' as u64);
        let wrong = (written ^ text) | (values & all(0x10));
        // Combines pairs of values in every second byte, then moves those bytes together.
        let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
        let pairs = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
        let [a, b, _, _, c, d, _, _] = pairs.to_le_bytes();
        ([a, b, c, d], wrong)
    }
}

/// An implementation of `by_words` in less code. Tests compare the two.
#[cfg(any(target_arch = "wasm32", test))]
mod one_by_one {
    use super::Case;

    /// The table entry for a byte that is not a digit. Digits use the low four bits, so any high bit marks an error.
    const NOT_A_DIGIT: u8 = 0xf0;

    static LOWER: [u8; 256] = table(false);
    static EITHER: [u8; 256] = table(true);

    const fn table(upper: bool) -> [u8; 256] {
        let mut table = [NOT_A_DIGIT; 256];
        let mut digit = 0;
        while digit < 16 {
            let byte = super::DIGITS[digit as usize];
            table[byte as usize] = digit;
            if upper {
                table[byte.to_ascii_uppercase() as usize] = digit;
            }
            digit += 1;
        }
        table
    }

    pub(crate) fn decode_all<const N: usize>(text: &[u8], case: Case) -> ([u8; N], u8) {
        let table = match case {
            Case::Lower => &LOWER,
            Case::Either => &EITHER,
        };
        let mut bytes = [0; N];
        let mut seen = 0;
        let (pairs, _) = text.as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (table[usize::from(*high)], table[usize::from(*low)]);
            seen |= high | low;
            *byte = (high << 4) | (low & 0x0f);
        }
        (bytes, seen & NOT_A_DIGIT)
    }
}

/// Writes two digits for each of `bytes` to the start of `text`, up to its length.
#[inline]
pub(crate) fn encode(bytes: &[u8], text: &mut [u8]) {
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (byte, pair) in bytes.iter().zip(pairs) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]];
    }
}

/// Writes ASCII text to a formatter, with its width and alignment.
pub(crate) fn pad(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.pad(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::{Case, by_words, one_by_one};

    /// Tests each byte at each position of a word and of the remainder.
    #[test]
    fn both_implementations_decode_the_same() {
        for case in [Case::Lower, Case::Either] {
            for at in 0..18 {
                for byte in 0..=u8::MAX {
                    let mut text = *b"0123456789abcdef42";
                    text[at] = byte;
                    let (fast, wrong) = by_words::decode_all::<9>(&text, case);
                    let (small, wrong_too) = one_by_one::decode_all::<9>(&text, case);
                    assert_eq!(wrong == 0, wrong_too == 0, "{byte} at {at}");
                    assert!(wrong != 0 || fast == small, "{byte} at {at}");
                    let valid = match case {
                        Case::Lower => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                        Case::Either => byte.is_ascii_hexdigit(),
                    };
                    assert_eq!(wrong == 0, valid, "{byte} at {at}");
                }
            }
        }
    }
}
