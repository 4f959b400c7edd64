//! A bounded map that is read without a lock.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// A map with a bounded number of entries that are never removed. Reads take no lock: they happen on every request, and
/// threads that share a lock wait for each other even if they only read.
#[derive(Debug)]
pub(crate) struct Slots<K, V> {
    cells: Box<[OnceLock<(K, V)>]>,
    capacity: usize,
    count: AtomicUsize,
    insert_lock: Mutex<()>,
}

impl<K, V> Slots<K, V> {
    /// Creates a map for `capacity` entries in `cells` cells. More cells mean shorter searches.
    pub(crate) fn new(capacity: usize, cells: usize) -> Self {
        Self {
            cells: (0..cells).map(|_| OnceLock::new()).collect(),
            capacity,
            count: AtomicUsize::new(0),
            insert_lock: Mutex::new(()),
        }
    }

    /// Returns the value of the key for which `is` returns true. The search begins at `start`, which must be the same
    /// for the same key.
    pub(crate) fn get(&self, start: usize, is: impl Fn(&K) -> bool) -> Option<&V> {
        self.cells_from(start).map_while(OnceLock::get).find_map(|(known, value)| is(known).then_some(value))
    }

    /// Returns the value of a key, and inserts the entry from `make` if there is none; `None` if the map is full.
    pub(crate) fn get_or_insert_with(
        &self,
        start: usize,
        is: impl Fn(&K) -> bool,
        make: impl FnOnce() -> (K, V),
    ) -> Option<&V> {
        let found = self.get(start, &is);
        if found.is_some() || self.count.load(Ordering::Relaxed) >= self.capacity {
            return found;
        }
        // A panic in `make` leaves no partial entry, so a poisoned lock can be used.
        let _insert_lock = self.insert_lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have inserted it in the meantime.
        if let Some(found) = self.get(start, is) {
            return Some(found);
        }
        if self.count.load(Ordering::Relaxed) >= self.capacity {
            return None;
        }
        let cell = self.cells_from(start).find(|cell| cell.get().is_none())?;
        let (_, value) = cell.get_or_init(make);
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// Returns all cells, beginning at `start` modulo their number.
    fn cells_from(&self, start: usize) -> impl Iterator<Item = &OnceLock<(K, V)>> {
        // Without cells there is no remainder, and the empty slice is split at 0.
        let first = start.checked_rem(self.cells.len()).unwrap_or(0);
        let (before, after) = self.cells.split_at(first);
        after.iter().chain(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_value_and_the_capacity_is_not_exceeded() {
        for (capacity, cells) in [(4, 4), (4, 9), (0, 0), (0, 3)] {
            let slots = Slots::new(capacity, cells);
            for round in 0..2 {
                for key in 0..10 {
                    // All keys start at the same cell, or each at its own.
                    let start = if cells == 9 { key } else { 3 };
                    let value = slots.get_or_insert_with(start, |known| *known == key, || (key, key + 100 * round));
                    assert_eq!(value.copied(), (key < capacity).then_some(key), "{capacity} in {cells}");
                    assert_eq!(slots.get(start, |known| *known == key), value);
                }
            }
        }
    }

    #[test]
    fn concurrent_threads_get_the_same_value() {
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
