//! Rate limiting of repeated errors: each is reported the first time and at each doubling.

/// The maximum number of different errors that are distinguished.
const MAX_KINDS: usize = 64;
/// The maximum number of reports of one page.
const MAX_REPORTS: u32 = 100;

/// Counts errors by their hash.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    kinds: Vec<(u32, u32)>,
    reported: u32,
}

impl Repeats {
    /// Counts an occurrence. Returns how many there were if this one is to be reported: the first and each doubling.
    pub(crate) fn count(&mut self, hash: u32) -> Option<u32> {
        let is_full = self.kinds.len() >= MAX_KINDS;
        let count = match self.kinds.iter_mut().find(|(known, _)| *known == hash) {
            Some((_, count)) => {
                *count = count.saturating_add(1);
                *count
            }
            None if is_full => return None,
            None => {
                self.kinds.push((hash, 1));
                1
            }
        };
        if !count.is_power_of_two() || self.reported >= MAX_REPORTS {
            return None;
        }
        self.reported += 1;
        Some(count)
    }
}

/// Returns the FNV-1a hash of several texts.
pub(crate) fn hash(texts: &[&[u8]]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for text in texts {
        for byte in text.iter().chain(&[0xff]) {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_and_each_doubling_are_reported() {
        let mut repeats = Repeats::default();
        let reported: Vec<_> = (0..100).filter_map(|_| repeats.count(7)).collect();
        assert_eq!(reported, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(repeats.count(8), Some(1));
    }

    #[test]
    fn reports_of_a_page_are_bounded() {
        let mut repeats = Repeats::default();
        let reported = (0..100_000_u32).filter(|n| repeats.count(n % 1_000).is_some()).count();
        assert_eq!(reported, MAX_REPORTS as usize);
        assert_eq!(repeats.kinds.len(), MAX_KINDS);
    }

    #[test]
    fn different_texts_have_different_hashes() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"b"]));
        assert_eq!(hash(&[b"a", b"b"]), hash(&[b"a", b"b"]));
    }
}
