//! The page's clock: monotonic between two looks at the wall clock.

use std::cell::Cell;

use web_sys::Performance;

/// `performance.now()` stands still while a laptop sleeps, and the wall clock may be set: past this distance between the
/// two the anchor is taken anew.
const STEP_MS: f64 = 20.0;

/// Timers of a page that is cross-origin isolated are this exact.
const FINE_QUANTUM_NS: i64 = 5_000;
/// Timers of any other page.
const COARSE_QUANTUM_NS: i64 = 100_000;

pub(super) struct Clock {
    performance: Performance,
    /// Unix milliseconds at `performance.now() == 0`.
    anchor_ms: Cell<f64>,
    quantum_ns: i64,
}

impl Clock {
    /// `None` where the browser has no `performance`.
    pub(super) fn new() -> Option<Self> {
        let window = web_sys::window()?;
        let performance = window.performance()?;
        let isolated =
            js_sys::Reflect::get(&window, &"crossOriginIsolated".into()).is_ok_and(|isolated| isolated.is_truthy());
        Some(Self {
            anchor_ms: Cell::new(performance.time_origin()),
            performance,
            quantum_ns: if isolated { FINE_QUANTUM_NS } else { COARSE_QUANTUM_NS },
        })
    }

    pub(super) const fn performance(&self) -> &Performance {
        &self.performance
    }

    pub(super) const fn quantum_ns(&self) -> i64 {
        self.quantum_ns
    }

    /// Milliseconds since the page began, as the entries of the performance timeline count them.
    pub(super) fn page_ms(&self) -> f64 {
        self.performance.now()
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.unix_ns(self.page_ms())
    }

    /// A moment of the performance timeline as Unix nanoseconds.
    pub(super) fn unix_ns(&self, page_ms: f64) -> i64 {
        unix_ns(self.anchor_ms.get(), page_ms)
    }

    /// The anchor that holds now. A span keeps the one it started with, so that its length is monotonic.
    pub(super) const fn anchor_ms(&self) -> f64 {
        self.anchor_ms.get()
    }

    /// Looks at the wall clock; whether it had moved against the monotonic one, and the anchor is new.
    pub(super) fn stepped(&self) -> bool {
        let wall_ms = js_sys::Date::now();
        let anchor_ms = wall_ms - self.page_ms();
        if (anchor_ms - self.anchor_ms.get()).abs() < STEP_MS {
            return false;
        }
        self.anchor_ms.set(anchor_ms);
        true
    }
}

/// Unix nanoseconds of a moment of the performance timeline under an anchor.
///
/// The anchor and the moment are rounded apart: their sum in milliseconds as one double would lose 200 ns.
pub(super) fn unix_ns(anchor_ms: f64, page_ms: f64) -> i64 {
    (anchor_ms * 1e6).round() as i64 + (page_ms * 1e6).round() as i64
}
