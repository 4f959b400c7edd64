//! Places that are filled once each, and read without a lock.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// Values by key, of which there is a bounded number, and which stay. Reading takes no lock: it happens with every request, and
/// threads that share a lock wait for each other even where both only read.
#[derive(Debug)]
pub(crate) struct Slots<K, V> {
    places: Box<[OnceLock<(K, V)>]>,
    most: usize,
    count: AtomicUsize,
    filling: Mutex<()>,
}

impl<K, V> Slots<K, V> {
    /// With room for `most`, in `places` of them: the more there are, the fewer have to be looked at.
    pub(crate) fn new(most: usize, places: usize) -> Self {
        Self {
            places: (0..places).map(|_| OnceLock::new()).collect(),
            most,
            count: AtomicUsize::new(0),
            filling: Mutex::new(()),
        }
    }

    /// The value of the key that `is` says is meant. `start` tells where to look first, and is the same for the same key.
    pub(crate) fn get(&self, start: usize, is: impl Fn(&K) -> bool) -> Option<&V> {
        self.places_from(start).map_while(OnceLock::get).find_map(|(known, value)| is(known).then_some(value))
    }

    /// The same; if there is none, what `make` gives. `None` if there is no room.
    pub(crate) fn get_or_insert_with(
        &self,
        start: usize,
        is: impl Fn(&K) -> bool,
        make: impl FnOnce() -> (K, V),
    ) -> Option<&V> {
        let found = self.get(start, &is);
        if found.is_some() || self.count.load(Ordering::Relaxed) >= self.most {
            return found;
        }
        // Nothing is broken by a panic of `make`: what it was for is not there.
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here in the meantime.
        if let Some(found) = self.get(start, is) {
            return Some(found);
        }
        if self.count.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        let place = self.places_from(start).find(|place| place.get().is_none())?;
        let (_, value) = place.get_or_init(make);
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// All places, beginning at `start` modulo their number.
    fn places_from(&self, start: usize) -> impl Iterator<Item = &OnceLock<(K, V)>> {
        // Without places there is no remainder, and the empty slice is split at 0.
        let first = start.checked_rem(self.places.len()).unwrap_or(0);
        let (before, after) = self.places.split_at(first);
        after.iter().chain(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_value_wherever_the_search_begins_and_there_are_no_more_than_agreed() {
        for (most, places) in [(4, 4), (4, 9), (0, 0), (0, 3)] {
            let slots = Slots::new(most, places);
            for round in 0..2 {
                for key in 0..10 {
                    // All begin at the same place, or each at its own.
                    let start = if places == 9 { key } else { 3 };
                    let value = slots.get_or_insert_with(start, |known| *known == key, || (key, key + 100 * round));
                    assert_eq!(value.copied(), (key < most).then_some(key), "{most} in {places}");
                    assert_eq!(slots.get(start, |known| *known == key), value);
                }
            }
        }
    }

    #[test]
    fn threads_that_ask_at_once_get_the_same() {
        let slots = Slots::new(64, 64);
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..64_usize {
                        let make = || (key, made.fetch_add(1, Ordering::Relaxed));
                        assert!(slots.get_or_insert_with(key * 7, |known| *known == key, make).is_some());
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 64);
    }
}
