//! Data points in protobuf: accepted records can be encoded and decoded again.
#![no_main]

#[path = "../laws/otlp.rs"]
mod otlp;

use libfuzzer_sys::fuzz_target;
use throughline_otlp::{DataPoint, Encoding};

fuzz_target!(|body: &[u8]| otlp::round_trip::<DataPoint>(body, Encoding::Protobuf));
