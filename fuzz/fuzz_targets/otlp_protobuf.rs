//! Spans in protobuf: accepted records can be encoded and decoded again.
#![no_main]

#[path = "../laws/otlp.rs"]
mod otlp;

use libfuzzer_sys::fuzz_target;
use throughline_otlp::{Encoding, Span};

fuzz_target!(|body: &[u8]| otlp::round_trip::<Span>(body, Encoding::Protobuf));
