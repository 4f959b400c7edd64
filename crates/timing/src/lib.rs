#![doc = include_str!("../README.md")]

mod align;
mod band;
mod decompose;
mod exchange;
mod interval;
mod phase;
pub mod server_timing;
mod split;
mod sync;

pub use align::{AlignedSpan, Alignment, ClockedSpan, Join, MeasuredOffset, align};
pub use band::{Band, format_estimate, format_ms};
pub use decompose::{ResourceTiming, decompose};
pub use exchange::{Exchange, ExchangeError};
pub use interval::Interval;
pub use phase::{Decomposition, Phase, Quality, Segment};
pub use split::{Method, Split};
pub use sync::{ClockSync, DEFAULT_DRIFT_PPM, Offset};
