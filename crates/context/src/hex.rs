//! Hexadecimal digits. A server reads them eight at a time, because it has few nanoseconds for a header; a page one by one, because
//! its visitors download the code.

use std::fmt;

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Which letters count as digits.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// `a` to `f` only, as W3C headers have it.
    Lower,
    /// `A` to `F` too, as OTLP/JSON allows.
    Either,
}

/// `2 * N` digits as `N` bytes; `None` for any other length or another byte among them.
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

/// What `decode` does, but the caller sees to the length, and to what is wrong: something, if the second is not zero.
#[cfg(not(target_arch = "wasm32"))]
mod by_words {
    use super::Case;

    #[inline]
    pub(crate) fn decode_all<const N: usize>(text: &[u8], case: Case) -> ([u8; N], u64) {
        let mut bytes = [0; N];
        // One test at the end instead of one for each word: valid input is what there mostly is.
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

    /// The same byte eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// Eight digits as four bytes, and zero if they are digits. Sums of bytes stay below 256 throughout, so none reaches the next.
    #[inline]
    const fn decode_word(digits: [u8; 8], case: Case) -> ([u8; 4], u64) {
        let mut text = u64::from_le_bytes(digits);
        if matches!(case, Case::Either) {
            // Whatever has the bit of letters becomes lower case.
            text |= (text & all(0x40)) >> 1;
        }
        let letters = (text & all(0x40)) >> 6;
        let values = (text & all(0x0f)) + letters * 9;
        // Digits are what comes out again when the values are written.
        let above_nine = ((values + all(6)) & all(0x10)) >> 4;
        let written = values + all(b'0') + above_nine * (b'a' as u64 - 10 - b'0' as u64);
        let wrong = (written ^ text) | (values & all(0x10));
        // Pairs of values in every second byte, then those bytes side by side.
        let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
        let pairs = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
        let [a, b, _, _, c, d, _, _] = pairs.to_le_bytes();
        ([a, b, c, d], wrong)
    }
}

/// The same, in less code. Tests compare the two.
#[cfg(any(target_arch = "wasm32", test))]
mod one_by_one {
    use super::Case;

    /// A table's entry for a byte that is no digit. Digits take the low four bits, so any high bit tells.
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

#[cfg(test)]
mod tests {
    use super::{Case, by_words, one_by_one};

    /// Each byte at each place of a word and of what is left over.
    #[test]
    fn both_ways_read_the_same() {
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
