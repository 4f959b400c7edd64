use proptest::prelude::*;
use throughline_context::{IdError, SpanId, TraceFlags, TraceId};

const HEX: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn an_id_of_zeros_is_invalid() {
    assert_eq!(TraceId::from_bytes([0; 16]), None);
    assert_eq!(SpanId::from_bytes([0; 8]), None);
    assert_eq!(TraceId::from_hex(&"0".repeat(32)), Err(IdError::AllZero));
    assert_eq!(SpanId::from_slice(&[0; 8]), Err(IdError::AllZero));
}

#[test]
fn both_cases_are_parsed_and_lower_case_is_written() {
    let id = TraceId::from_hex(&HEX.to_uppercase()).unwrap();
    assert_eq!(id.to_string(), HEX);
    assert_eq!(format!("{id:?}"), HEX);
    assert_eq!(HEX.parse(), Ok(id));
    assert_eq!(HEX.to_uppercase().parse::<TraceId>(), Err(IdError::NotHex));
}

#[test]
fn lengths_are_checked() {
    assert_eq!(TraceId::from_slice(&[1; 15]), Err(IdError::Length { expected: 16, actual: 15 }));
    assert_eq!(TraceId::from_hex("1"), Err(IdError::Length { expected: 32, actual: 1 }));
    assert_eq!(SpanId::from_hex(HEX), Err(IdError::Length { expected: 16, actual: 32 }));
    assert_eq!(SpanId::from_slice(&[]), Err(IdError::Length { expected: 8, actual: 0 }));
}

#[test]
fn every_other_byte_is_rejected() {
    for byte in 0..=u8::MAX {
        let char = char::from(byte);
        let text = format!("123456789012345{char}");
        let read = SpanId::from_hex(&text).is_ok();
        assert_eq!(read, char.is_ascii_hexdigit(), "{byte}");
        let strict = text.parse::<SpanId>().is_ok();
        assert_eq!(strict, matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte}");
    }
}

#[test]
fn unknown_flags_are_dropped() {
    assert_eq!(TraceFlags::new(0xff), TraceFlags::SAMPLED | TraceFlags::RANDOM);
    assert_eq!(TraceFlags::new(0xfc), TraceFlags::NONE);
    let flags = TraceFlags::RANDOM.with_sampled(true);
    assert!(flags.is_sampled() && flags.is_random());
    assert_eq!(flags.with_sampled(false), TraceFlags::RANDOM);
    assert_eq!((flags.bits(), flags.to_string().as_str()), (3, "03"));
}

proptest! {
    #[test]
    fn ids_round_trip(trace: [u8; 16], span: [u8; 8]) {
        if let (Some(trace_id), Some(span_id)) = (TraceId::from_bytes(trace), SpanId::from_bytes(span)) {
            prop_assert_eq!(trace_id.to_bytes(), trace);
            prop_assert_eq!(trace_id.to_string(), trace.map(|byte| format!("{byte:02x}")).concat());
            prop_assert_eq!(trace_id.to_string().parse(), Ok(trace_id));
            prop_assert_eq!(TraceId::from_slice(&trace), Ok(trace_id));
            prop_assert_eq!(span_id.to_string(), span.map(|byte| format!("{byte:02x}")).concat());
            prop_assert_eq!(SpanId::from_hex(&span_id.to_string()), Ok(span_id));
        }
    }

    #[test]
    fn any_text_does_not_panic(text: String) {
        let _ = TraceId::from_hex(&text);
        let _ = SpanId::from_hex(&text);
    }
}
