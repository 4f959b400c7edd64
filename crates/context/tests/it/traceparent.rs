use proptest::prelude::*;
use throughline_context::{IdError, SpanId, TraceFlags, TraceId, TraceParent, TraceParentError as E};

const TRACE: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

fn parse(value: &str) -> Result<TraceParent, E> {
    TraceParent::parse(value.as_bytes())
}

#[test]
fn the_examples_of_the_specification_are_parsed() {
    for (flags, sampled) in [("01", true), ("00", false)] {
        let value = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let parent = parse(&value).unwrap();
        assert_eq!(parent.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.parent_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(parent.flags.is_sampled(), sampled);
        assert_eq!(parent.to_string(), value);
        assert_eq!(value.parse(), Ok(parent));
    }
}

#[test]
fn version_00_ends_after_55_bytes() {
    assert!(parse(&format!("00-{TRACE}-{SPAN}-01")).is_ok());
    for more in [".", "-", "-what-the-future-will-be-like", " ", "0"] {
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-01{more}")), Err(E::Trailing), "{more}");
    }
}

#[test]
fn a_later_version_is_read_by_its_first_55_bytes() {
    for version in ["01", "cc", "fe"] {
        let expected = parse(&format!("00-{TRACE}-{SPAN}-01"));
        for more in ["", "-", "-what-the-future-will-be-like"] {
            assert_eq!(parse(&format!("{version}-{TRACE}-{SPAN}-01{more}")), expected, "{more}");
        }
        for more in [".", "0", ".what-the-future-will-be-like"] {
            assert_eq!(parse(&format!("{version}-{TRACE}-{SPAN}-01{more}")), Err(E::Trailing));
        }
        assert_eq!(parse(&format!("{version}-{TRACE}-{SPAN}-0")), Err(E::TooShort(54)));
    }
    // It is sent on as version 00.
    let parent = parse(&format!("cc-{TRACE}-{SPAN}-01-x")).unwrap();
    assert_eq!(parent.to_string(), format!("00-{TRACE}-{SPAN}-01"));
}

#[test]
fn version_ff_is_invalid() {
    assert_eq!(parse(&format!("ff-{TRACE}-{SPAN}-01")), Err(E::Version));
}

#[test]
fn a_version_is_two_lower_case_digits() {
    for version in [".0", "0.", "0G", "CC", "  ", "-0"] {
        assert_eq!(parse(&format!("{version}-{TRACE}-{SPAN}-01")), Err(E::Version), "{version}");
    }
    assert_eq!(parse(&format!("000-{TRACE}-{SPAN}-01")), Err(E::Delimiter));
    assert!(parse(&format!("0000-{TRACE}-{SPAN}-01")).is_err());
    assert_eq!(parse(&format!("0-{TRACE}-{SPAN}-01")), Err(E::TooShort(54)));
}

#[test]
fn a_trace_id_is_32_lower_case_digits_not_all_zero() {
    for (id, error) in [
        ("00000000000000000000000000000000", IdError::AllZero),
        (".2345678901234567890123456789012", IdError::NotHex),
        ("1234567890123456789012345678901.", IdError::NotHex),
        ("1234567890123456789012345678901A", IdError::NotHex),
    ] {
        assert_eq!(parse(&format!("00-{id}-{SPAN}-01")), Err(E::TraceId(error)), "{id}");
    }
    assert_eq!(parse(&format!("00-{TRACE}3-{SPAN}-01")), Err(E::Delimiter));
    assert_eq!(parse(&format!("00-{}-{SPAN}-01", &TRACE[1..])), Err(E::TooShort(54)));
}

#[test]
fn a_parent_id_is_16_lower_case_digits_not_all_zero() {
    for (id, error) in [
        ("0000000000000000", IdError::AllZero),
        (".234567890123456", IdError::NotHex),
        ("123456789012345.", IdError::NotHex),
        ("123456789012345A", IdError::NotHex),
    ] {
        assert_eq!(parse(&format!("00-{TRACE}-{id}-01")), Err(E::ParentId(error)), "{id}");
    }
    assert_eq!(parse(&format!("00-{TRACE}-{SPAN}7-01")), Err(E::Delimiter));
    assert_eq!(parse(&format!("00-{TRACE}-{}-01", &SPAN[1..])), Err(E::TooShort(54)));
}

#[test]
fn flags_are_two_lower_case_digits() {
    for flags in [".0", "0.", "0A", "-1"] {
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-{flags}")), Err(E::Flags), "{flags}");
    }
    assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-001")), Err(E::Trailing));
    assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-1")), Err(E::TooShort(54)));
}

#[test]
fn sampled_and_random_are_kept_and_other_flags_are_cleared() {
    for (received, sent) in [("00", "00"), ("01", "01"), ("02", "02"), ("ff", "03"), ("fc", "00")] {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-{received}")).unwrap();
        assert_eq!(parent.to_string(), format!("00-{TRACE}-{SPAN}-{sent}"));
    }
}

#[test]
fn a_wrong_delimiter_is_rejected() {
    for at in [2, 35, 52] {
        let mut value = format!("00-{TRACE}-{SPAN}-01").into_bytes();
        value[at] = b'_';
        assert_eq!(TraceParent::parse(&value), Err(E::Delimiter), "{at}");
    }
}

#[test]
fn exactly_one_header_is_accepted() {
    let value = format!("00-{TRACE}-{SPAN}-01");
    let parent = parse(&value).ok();
    assert_eq!(TraceParent::from_headers([value.as_bytes()]), parent);
    assert_eq!(TraceParent::from_headers([]), None);
    assert_eq!(TraceParent::from_headers([value.as_bytes(); 2]), None);
    assert_eq!(TraceParent::from_headers([value.as_bytes(), b""]), None);
    assert_eq!(TraceParent::from_headers([b"00".as_slice()]), None);
}

#[test]
fn whitespace_around_the_header_is_ignored() {
    let value = format!("00-{TRACE}-{SPAN}-01");
    for (before, after) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")] {
        let padded = format!("{before}{value}{after}");
        assert_eq!(TraceParent::from_headers([padded.as_bytes()]), parse(&value).ok());
    }
    assert_eq!(TraceParent::from_headers([b" \t ".as_slice()]), None);
}

proptest! {
    #[test]
    fn a_context_round_trips(trace: [u8; 16], span: [u8; 8], flags: u8) {
        if let (Some(trace_id), Some(parent_id)) = (TraceId::from_bytes(trace), SpanId::from_bytes(span)) {
            let parent = TraceParent::new(trace_id, parent_id, TraceFlags::new(flags));
            prop_assert_eq!(TraceParent::parse(&parent.to_bytes()), Ok(parent));
            let text = parent.to_string();
            prop_assert_eq!(text.as_bytes(), parent.to_bytes());
            prop_assert_eq!(text, format!("00-{trace_id}-{parent_id}-{:02x}", flags & 3));
        }
    }

    #[test]
    fn any_bytes_do_not_panic(bytes: Vec<u8>, near in "[0-9a-fA-F-]{50,60}") {
        for bytes in [&bytes[..], near.as_bytes()] {
            if let Ok(parent) = TraceParent::parse(bytes) {
                prop_assert_eq!(&parent.to_bytes()[3..53], &bytes[3..53]);
            }
        }
    }

    /// Changes one byte in a valid value: it is parsed as a different value or rejected.
    #[test]
    fn one_invalid_byte_is_rejected(at in 0..55_usize, byte: u8) {
        let mut value = format!("00-{TRACE}-{SPAN}-01").into_bytes();
        value[at] = byte;
        let hex = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let right = if matches!(at, 2 | 35 | 52) { byte == b'-' } else { hex };
        prop_assert_eq!(TraceParent::parse(&value).is_ok(), right);
    }
}
