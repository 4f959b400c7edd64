//! [`Interval`]: a closed interval of nanoseconds.

/// An interval that contains an unknown number: `lo_ns..=hi_ns`, in nanoseconds. Arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    lo_ns: i64,
    hi_ns: i64,
}

impl Interval {
    /// Creates the interval from `lo_ns` to `hi_ns`, both included; `None` if `lo_ns` is greater.
    #[must_use]
    pub const fn new(lo_ns: i64, hi_ns: i64) -> Option<Self> {
        if lo_ns <= hi_ns { Some(Self { lo_ns, hi_ns }) } else { None }
    }

    /// Creates the interval with these ends, in either order.
    pub(crate) fn between(a_ns: i64, b_ns: i64) -> Self {
        Self { lo_ns: a_ns.min(b_ns), hi_ns: a_ns.max(b_ns) }
    }

    /// Returns the lower end.
    #[must_use]
    pub const fn lo_ns(&self) -> i64 {
        self.lo_ns
    }

    /// Returns the upper end.
    #[must_use]
    pub const fn hi_ns(&self) -> i64 {
        self.hi_ns
    }

    /// Returns the distance between the ends.
    #[must_use]
    pub fn width_ns(&self) -> i64 {
        saturate(self.hi_ns.abs_diff(self.lo_ns))
    }

    /// Returns the maximum distance of a number in the interval from [`midpoint_ns`](Self::midpoint_ns).
    #[must_use]
    pub fn half_width_ns(&self) -> i64 {
        saturate(self.hi_ns.abs_diff(self.lo_ns).div_ceil(2))
    }

    /// Returns the middle, rounded towards the lower end.
    #[must_use]
    pub fn midpoint_ns(&self) -> i64 {
        // Half of the width never exceeds the upper end.
        plus(self.lo_ns, saturate(self.hi_ns.abs_diff(self.lo_ns) / 2))
    }

    /// Returns whether `x_ns` is in the interval.
    #[must_use]
    pub const fn contains(&self, x_ns: i64) -> bool {
        self.lo_ns <= x_ns && x_ns <= self.hi_ns
    }

    /// Returns the intersection; `None` if the intervals are disjoint.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.lo_ns.max(other.lo_ns), self.hi_ns.min(other.hi_ns))
    }

    /// Returns the interval extended by `by_ns` on each side; a negative number counts as zero.
    #[must_use]
    pub fn widen(&self, by_ns: i64) -> Self {
        let by_ns = by_ns.max(0);
        Self { lo_ns: minus(self.lo_ns, by_ns), hi_ns: plus(self.hi_ns, by_ns) }
    }
}

/// Returns the saturating sum. Not inlined on wasm, because each of the many copies would add to the page's download.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub(crate) const fn plus(a_ns: i64, b_ns: i64) -> i64 {
    a_ns.saturating_add(b_ns)
}

/// Returns the saturating difference.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub(crate) const fn minus(a_ns: i64, b_ns: i64) -> i64 {
    a_ns.saturating_sub(b_ns)
}

fn saturate(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
