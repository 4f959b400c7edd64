use proptest::prelude::*;
use throughline_context::{Baggage, BaggageError as E, Entry, Property};

fn parse(headers: &[&str]) -> Baggage {
    Baggage::parse_headers(headers.iter().map(|header| header.as_bytes()))
}

fn pairs(baggage: &Baggage) -> Vec<(&str, &str)> {
    baggage.entries().iter().map(|entry| (entry.key(), entry.value())).collect()
}

#[test]
fn the_examples_of_the_specification_are_parsed() {
    let header = "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue";
    let baggage = parse(&[header]);
    assert_eq!(pairs(&baggage), [("key1", "value1"), ("key2", "value2"), ("key3", "value3")]);
    let properties = |index: usize| -> Vec<_> {
        let properties = baggage.entries()[index].properties().iter();
        properties.map(|property: &Property| (property.key(), property.value())).collect()
    };
    assert_eq!(properties(0), [("property1", None), ("property2", None)]);
    assert_eq!(properties(1), []);
    assert_eq!(properties(2), [("propertyKey", Some("propertyValue"))]);
    assert_eq!(
        baggage.to_string(),
        "key1=value1;property1;property2,key2=value2,key3=value3;propertyKey=propertyValue"
    );
}

#[test]
fn headers_are_one_list() {
    assert_eq!(pairs(&parse(&["a=1,b=2", "", "c=3"])), [("a", "1"), ("b", "2"), ("c", "3")]);
    assert!(parse(&[]).is_empty());
    assert!(parse(&["", " ,\t, "]).is_empty());
}

#[test]
fn values_are_percent_decoded() {
    for (text, value) in [
        ("Am%C3%A9lie", "Amélie"),
        ("%20%2c%3B%5C%22%25", " ,;\\\"%"),
        ("a=b==", "a=b=="),
        ("", ""),
        ("50%", "50%"),
        ("%zz%2", "%zz%2"),
        ("%%41", "%A"),
        ("%ff", "\u{fffd}"),
    ] {
        assert_eq!(parse(&[&format!("k={text}")]).get("k"), Some(value), "{text}");
    }
}

#[test]
fn values_are_percent_encoded() {
    let mut baggage = Baggage::default();
    baggage.insert("k", "é ,;\\\"%\r\n=!~").unwrap();
    assert_eq!(baggage.to_string(), "k=%C3%A9%20%2C%3B%5C%22%25%0D%0A=!~");
}

#[test]
fn properties_are_kept_unchanged() {
    let header = "k=v;p=%41;q;r=a=b";
    assert_eq!(parse(&[header]).to_string(), header);
    assert_eq!(parse(&["k=v ; p = 1 ;; q\t;"]).to_string(), "k=v;p=1;q");
}

#[test]
fn malformed_members_are_dropped_and_others_are_kept() {
    for bad in
        ["k", "=v", "k y=v", "k\"=v", "ké=v", "k=v w", "k=\"v\"", "k=\\", "k=é", "k=v;p q", "k=v;=1", "k=v;p=\"1\""]
    {
        assert_eq!(pairs(&parse(&[&format!("a=1,{bad},b=2")])), [("a", "1"), ("b", "2")], "{bad}");
    }
    assert!(Baggage::parse_headers([b"k=\xff".as_slice()]).is_empty());
}

#[test]
fn keys_are_tokens_and_case_sensitive() {
    let key = "!#$%&'*+-.^_`|~09azAZ";
    let baggage = parse(&[&format!("{key}=1,K=2,k=3")]);
    assert_eq!((baggage.get(key), baggage.get("K"), baggage.get("k")), (Some("1"), Some("2"), Some("3")));
}

#[test]
fn duplicate_keys_are_kept_and_get_returns_the_last() {
    let mut baggage = parse(&["a=1,b=2,a=3"]);
    assert_eq!(pairs(&baggage), [("a", "1"), ("b", "2"), ("a", "3")]);
    assert_eq!(baggage.get("a"), Some("3"));
    baggage.insert("a", "4").unwrap();
    assert_eq!(baggage.to_string(), "b=2,a=4");
}

#[test]
fn at_most_64_members() {
    let header = (0..70).map(|n| format!("k{n}={n}")).collect::<Vec<_>>().join(",");
    let mut baggage = parse(&[&header]);
    assert_eq!(baggage.entries().len(), 64);
    assert_eq!(baggage.get("k63"), Some("63"));
    assert_eq!(baggage.insert("new", "1"), Err(E::TooManyMembers));
    assert_eq!(baggage.insert("k0", "new"), Ok(()));
    assert_eq!((baggage.entries().len(), baggage.get("k0")), (64, Some("new")));
}

#[test]
fn at_most_8192_bytes_without_partial_members() {
    let fits = format!("k={}", "v".repeat(8190));
    assert!(parse(&[&fits]).to_string() == fits);
    assert!(parse(&[&format!("{fits}v")]).is_empty());
    // The comma counts, and a later, shorter member that still fits is kept.
    let half = format!("k={}", "v".repeat(4094));
    let baggage = parse(&[&half, &half, "a=1"]);
    assert!(baggage.to_string() == format!("{half},a=1"));
    // The encoded size counts.
    assert!(parse(&[&format!("k={}", "%".repeat(8190))]).is_empty());
}

#[test]
fn invalid_or_too_long_members_are_not_inserted() {
    let mut baggage = parse(&["a=1"]);
    assert_eq!(baggage.insert("b c", "1"), Err(E::Key));
    assert_eq!(baggage.insert("", "1"), Err(E::Key));
    assert_eq!(baggage.insert("b", &" ".repeat(2730)), Err(E::TooLong));
    assert_eq!(baggage.insert("a", &"v".repeat(8191)), Err(E::TooLong));
    assert_eq!(baggage, parse(&["a=1"]));
    assert_eq!(baggage.insert("a", &"v".repeat(8190)), Ok(()));
    assert_eq!(baggage.to_string().len(), 8192);
}

#[test]
fn members_are_created_with_properties() {
    let entry = |properties| Entry::new("k", "a b").and_then(|entry| entry.with_properties(properties));
    for (properties, member) in
        [("", "k=a%20b"), ("p", "k=a%20b;p"), (" p = %41 ;; q", "k=a%20b;p=%41;q"), ("p;p", "k=a%20b;p;p")]
    {
        assert_eq!(entry(properties).map(|entry| entry.to_string()), Ok(member.to_owned()), "{properties}");
    }
    for properties in ["p q", "=1", "p=\"1\"", "p,q", "é"] {
        assert_eq!(entry(properties), Err(E::Property), "{properties}");
    }
    assert_eq!(Entry::new("a b", "1"), Err(E::Key));
}

#[test]
fn a_member_is_never_pushed_in_part() {
    let mut baggage = parse(&["a=1"]);
    let long = Entry::new("b", &"v".repeat(8187)).unwrap();
    assert_eq!(baggage.push(long), Err(E::TooLong));
    assert_eq!(baggage.to_string(), "a=1");
    let fits = Entry::new("b", &"v".repeat(8186)).unwrap();
    assert_eq!(baggage.push(fits), Ok(()));
    assert_eq!(baggage.to_string().len(), 8192);

    let mut full = parse(&[&vec!["a=1"; 64].join(",")]);
    assert_eq!(full.push(Entry::new("a", "1").unwrap()), Err(E::TooManyMembers));
}

/// Checks that the baggage is within the limits, and that it round-trips.
fn check(baggage: &Baggage) -> Result<(), TestCaseError> {
    let text = baggage.to_string();
    prop_assert!(text.len() <= 8192 && baggage.entries().len() <= 64);
    prop_assert_eq!(&parse(&[&text]), baggage);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_round_trips(
        entries in prop::collection::vec(("[a-c!|~]{1,3}", any::<String>()), 0..80), long in 0..3_000_usize,
    ) {
        let mut baggage = Baggage::default();
        for (key, value) in &entries {
            if baggage.insert(key, &value.repeat(1 + long % 7)).is_ok() {
                prop_assert_eq!(baggage.entries().last().map(Entry::key), Some(&**key));
            }
        }
        check(&baggage)?;
        let _ = baggage.insert("long", &"é".repeat(long));
        check(&baggage)?;
    }

    #[test]
    fn any_bytes_do_not_panic(headers: Vec<Vec<u8>>, near in prop::collection::vec("[ab=;,% \t2Cé]{0,80}", 0..4)) {
        check(&Baggage::parse_headers(headers.iter().map(Vec::as_slice)))?;
        check(&Baggage::parse_headers(near.iter().map(String::as_bytes)))?;
    }
}
