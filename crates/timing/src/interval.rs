//! Closed intervals of nanoseconds.

/// Where a number is known to lie: `lo_ns..=hi_ns`, nanoseconds. Arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    lo_ns: i64,
    hi_ns: i64,
}

impl Interval {
    /// From `lo_ns` to `hi_ns`, both included; `None` if they are the wrong way round.
    #[must_use]
    pub const fn new(lo_ns: i64, hi_ns: i64) -> Option<Self> {
        if lo_ns <= hi_ns { Some(Self { lo_ns, hi_ns }) } else { None }
    }

    /// The interval with these ends, whichever is the lower one.
    pub(crate) fn between(a_ns: i64, b_ns: i64) -> Self {
        Self { lo_ns: a_ns.min(b_ns), hi_ns: a_ns.max(b_ns) }
    }

    /// The least number in it.
    #[must_use]
    pub const fn lo_ns(&self) -> i64 {
        self.lo_ns
    }

    /// The greatest number in it.
    #[must_use]
    pub const fn hi_ns(&self) -> i64 {
        self.hi_ns
    }

    /// From end to end.
    #[must_use]
    pub fn width_ns(&self) -> i64 {
        saturate(self.hi_ns.abs_diff(self.lo_ns))
    }

    /// No number in it is farther than this from [`midpoint_ns`](Self::midpoint_ns).
    #[must_use]
    pub fn half_width_ns(&self) -> i64 {
        saturate(self.hi_ns.abs_diff(self.lo_ns).div_ceil(2))
    }

    /// The middle, rounded towards the lower end.
    #[must_use]
    pub fn midpoint_ns(&self) -> i64 {
        // Half the distance never crosses the upper end.
        plus(self.lo_ns, saturate(self.hi_ns.abs_diff(self.lo_ns) / 2))
    }

    /// Whether `x_ns` is in it.
    #[must_use]
    pub const fn contains(&self, x_ns: i64) -> bool {
        self.lo_ns <= x_ns && x_ns <= self.hi_ns
    }

    /// What both have in common; `None` if that is nothing.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.lo_ns.max(other.lo_ns), self.hi_ns.min(other.hi_ns))
    }

    /// The same with `by_ns` more on each side; a negative number counts as zero.
    #[must_use]
    pub fn widen(&self, by_ns: i64) -> Self {
        let by_ns = by_ns.max(0);
        Self { lo_ns: minus(self.lo_ns, by_ns), hi_ns: plus(self.hi_ns, by_ns) }
    }
}

/// The sum, or the number that is closest to it. Not inlined in a page: each of the many copies would be downloaded.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub(crate) const fn plus(a_ns: i64, b_ns: i64) -> i64 {
    a_ns.saturating_add(b_ns)
}

/// The difference, or the number that is closest to it.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub(crate) const fn minus(a_ns: i64, b_ns: i64) -> i64 {
    a_ns.saturating_sub(b_ns)
}

fn saturate(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
