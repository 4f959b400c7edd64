use proptest::prelude::*;
use throughline_context::{TraceState, TraceStateError as E};

fn parse(headers: &[&str]) -> Result<TraceState, E> {
    TraceState::parse_headers(headers.iter().map(|header| header.as_bytes()))
}

/// Parses a list and formats it again.
fn printed(headers: &[&str]) -> Result<String, E> {
    parse(headers).map(|state| state.to_string())
}

fn ok(list: &str) -> Result<String, E> {
    Ok(list.to_owned())
}

/// Returns `bar01=01,bar02=02` and so on.
fn members(count: usize) -> String {
    (1..=count).map(|n| format!("bar{n:02}={n:02}")).collect::<Vec<_>>().join(",")
}

#[test]
fn members_keep_their_order_over_all_headers() {
    let state = parse(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]).unwrap();
    assert_eq!(state.to_string(), "foo=1,bar=2,rojo=1,congo=2,baz=3");
    let pairs: Vec<_> = state.iter().collect();
    assert_eq!(pairs, [("foo", "1"), ("bar", "2"), ("rojo", "1"), ("congo", "2"), ("baz", "3")]);
    assert_eq!((state.get("rojo"), state.get("roj")), (Some("1"), None));
}

#[test]
fn empty_headers_and_members_are_skipped() {
    for (headers, list) in [
        (&[][..], ""),
        (&[""], ""),
        (&[" \t ", ",,"], ""),
        (&["foo=1", ""], "foo=1"),
        (&["", "foo=1"], "foo=1"),
        (&[",foo=1, ,\t,bar=2,"], "foo=1,bar=2"),
    ] {
        assert_eq!(printed(headers), ok(list), "{headers:?}");
        assert_eq!(parse(headers).unwrap().is_empty(), list.is_empty());
        assert_eq!(parse(headers).unwrap().iter().count(), list.matches('=').count());
    }
}

#[test]
fn whitespace_around_members_is_removed() {
    for list in ["foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3", "\t foo=1,bar=2,baz=3 \t"] {
        assert_eq!(printed(&[list]), ok("foo=1,bar=2,baz=3"), "{list:?}");
    }
}

#[test]
fn leading_spaces_of_a_value_are_kept() {
    assert_eq!(parse(&["foo=  1 2 , bar=3"]).unwrap().get("foo"), Some("  1 2"));
}

#[test]
fn all_allowed_characters_are_accepted() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (' '..='~').filter(|char| !matches!(char, ',' | '=')).collect();
    for key in [key.to_owned(), format!("{key}@a-z0-9_-*/")] {
        assert_eq!(parse(&[&format!("{key}={value}")]).unwrap().get(&key), Some(&*value));
    }
}

#[test]
fn keys_outside_the_grammar_are_rejected() {
    for key in ["foo ", "foo\t", "FOO", "foo.bar", "", "_foo", "-foo", "*foo", "/foo", "f\u{7f}", "f\"o"] {
        assert_eq!(printed(&[&format!("{key}=1,bar=2")]), Err(E::Key), "{key:?}");
    }
}

#[test]
fn a_key_may_begin_with_a_digit() {
    assert!(parse(&["1a=1,2=2,3@4=3"]).is_ok());
}

#[test]
fn a_key_has_at_most_one_at_sign() {
    assert!(parse(&["foo@bar=1"]).is_ok());
    for key in ["foo@", "@foo", "@", "foo@@bar", "foo@bar@baz", "foo@_bar"] {
        assert_eq!(printed(&[&format!("{key}=1,bar=2")]), Err(E::Key), "{key}");
    }
}

#[test]
fn keys_have_limited_lengths() {
    let key = |tenant: usize, system: usize| format!("{}@{}", "t".repeat(tenant), "v".repeat(system));
    for (key, valid) in [
        ("z".repeat(256), true),
        ("z".repeat(257), false),
        (key(241, 14), true),
        (key(242, 1), false),
        (key(1, 15), false),
    ] {
        assert_eq!(parse(&["foo=1", &format!("{key}=1")]).is_ok(), valid, "{key}");
    }
}

#[test]
fn values_outside_the_grammar_are_rejected() {
    for value in ["", "bar=baz", "=", "a\tb", "a\u{7f}b", "a\nb", "ü", &"x".repeat(257)] {
        assert_eq!(printed(&["bar=2", &format!("foo={value}")]), Err(E::Value), "{value:?}");
    }
    assert!(parse(&[&format!("foo={}", "x".repeat(256))]).is_ok());
    assert_eq!(TraceState::parse_headers([b"foo=\xff".as_slice()]), Err(E::Value));
}

#[test]
fn a_member_without_an_equals_sign_is_rejected() {
    assert_eq!(printed(&["foo"]), Err(E::NoEquals));
    assert_eq!(printed(&["foo=1,bar"]), Err(E::NoEquals));
}

#[test]
fn keys_are_unique() {
    for headers in [&["foo=1,foo=1"][..], &["foo=1,foo=2"], &["foo=1", "foo=1"], &["foo=1", "bar=1, foo=2"]] {
        assert_eq!(printed(headers), Err(E::DuplicateKey), "{headers:?}");
    }
}

#[test]
fn at_most_32_members_over_all_headers() {
    assert_eq!(printed(&[&members(32), ",,"]), ok(&members(32)));
    assert_eq!(printed(&[&members(33)]), Err(E::TooManyMembers));
    assert_eq!(printed(&[&members(32), "foo=1"]), Err(E::TooManyMembers));
}

#[test]
fn an_inserted_member_is_first() {
    let mut state = parse(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]).unwrap();
    state.insert_first("congo", "ucfJifl5GOE").unwrap();
    assert_eq!(state.to_string(), "congo=ucfJifl5GOE,rojo=00f067aa0ba902b7");
    let mut empty = TraceState::default();
    empty.insert_first("a", "b").unwrap();
    assert_eq!(empty.to_string(), "a=b");
}

#[test]
fn the_last_member_is_removed_if_there_are_more_than_32() {
    let mut state = parse(&[&members(32)]).unwrap();
    state.insert_first("foo", "1").unwrap();
    assert_eq!(state.to_string(), format!("foo=1,{}", members(31)));
    // Replacing a member removes no other.
    state.insert_first("bar05", "x").unwrap();
    assert_eq!(state.iter().count(), 32);
    assert_eq!(state.get("bar31"), Some("31"));
}

#[test]
fn invalid_members_are_not_inserted() {
    let mut state = parse(&["foo=1"]).unwrap();
    for (key, value, error) in [("Foo", "1", E::Key), ("foo", "", E::Value), ("foo", "a ", E::Value)] {
        assert_eq!(state.insert_first(key, value), Err(error));
        assert_eq!(state.to_string(), "foo=1");
    }
}

proptest! {
    #[test]
    fn valid_lists_round_trip(
        members in prop::collection::btree_map(
            "[a-z0-9][a-z0-9_*/-]{0,20}(@[a-z0-9][a-z0-9_*/-]{0,13})?", "[ -+--<>-~]{0,20}[!-+--<>-~]", 0..=32,
        ),
        blank in "[ \t]{0,3}",
        split in 0..32_usize,
    ) {
        let all: Vec<_> = members.iter().map(|(key, value)| format!("{blank}{key}={value}{blank}")).collect();
        let (first, second) = all.split_at(split.min(all.len()));
        let state = parse(&[&first.join(","), &second.join(",")]);
        prop_assert!(state.is_ok());
        let state = state.unwrap();
        let pairs: Vec<_> = state.iter().collect();
        let expected: Vec<_> = members.iter().map(|(key, value)| (&**key, &**value)).collect();
        prop_assert_eq!(pairs, expected);
        prop_assert_eq!(parse(&[&state.to_string()]), Ok(state));
    }

    #[test]
    fn any_bytes_do_not_panic(headers: Vec<Vec<u8>>, near in "[a-c@=, 1]{0,40}") {
        for headers in [headers, vec![near.into_bytes()]] {
            if let Ok(state) = TraceState::parse_headers(headers.iter().map(Vec::as_slice)) {
                prop_assert!(state.iter().count() <= 32);
                prop_assert_eq!(parse(&[&state.to_string()]), Ok(state));
            }
        }
    }
}
