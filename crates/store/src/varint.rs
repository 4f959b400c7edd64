//! Variable-length integers: LEB128, with zigzag encoding for signed numbers.

/// The error of bytes that cannot be decoded: they end too early, or have an invalid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes cannot be decoded")]
pub(crate) struct Broken;

/// Appends a number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number that may be negative.
pub(crate) fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends bytes, preceded by their length.
pub(crate) fn put_bytes(bytes: &mut Vec<u8>, appended: &[u8]) {
    put(bytes, appended.len() as u64);
    bytes.extend_from_slice(appended);
}

/// A reader over the bytes that are left to read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Broken> {
        let first = self.byte()?;
        // Most numbers are small.
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Broken);
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Broken> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads a number that is an index or a length.
    pub(crate) fn size(&mut self) -> Result<usize, Broken> {
        usize::try_from(self.number()?).map_err(|_| Broken)
    }

    /// Reads a number of 32 bits.
    pub(crate) fn short(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.number()?).map_err(|_| Broken)
    }

    /// Reads the number of items that follow, each of which has at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize, Broken> {
        let count = self.size()?;
        if count > self.0.len() { Err(Broken) } else { Ok(count) }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Reads bytes that are preceded by their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.size()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_values_are_read_back(number: u64, signed: i64, bytes: Vec<u8>) {
            let mut written = Vec::new();
            put(&mut written, number);
            put_signed(&mut written, signed);
            put_bytes(&mut written, &bytes);
            let mut reader = Reader(&written);
            prop_assert_eq!(reader.number(), Ok(number));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.bytes(), Ok(&bytes[..]));
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn reading_any_bytes_terminates(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while reader.number().is_ok() {}
        }
    }

    #[test]
    fn extreme_numbers_are_read_back_or_rejected() {
        for signed in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut written = Vec::new();
            put_signed(&mut written, signed);
            assert_eq!(Reader(&written).signed(), Ok(signed));
        }
        assert_eq!(Reader(&[0xff; 9]).number(), Err(Broken));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number(), Err(Broken));
    }
}
