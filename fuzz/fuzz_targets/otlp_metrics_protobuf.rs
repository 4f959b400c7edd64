//! Data points in protobuf: what is taken can be written and taken again.
#![no_main]

#[path = "../laws/otlp.rs"]
mod otlp;

use libfuzzer_sys::fuzz_target;
use throughline_otlp::{DataPoint, Encoding};

fuzz_target!(|body: &[u8]| otlp::taken_again::<DataPoint>(body, Encoding::Protobuf));
