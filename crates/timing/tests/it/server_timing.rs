use proptest::prelude::*;
use std::borrow::Cow;
use throughline_timing::server_timing::{METRIC, Metric, ServerTimes, TRACE_METRICS, parse};

type Plain = (String, Option<f64>, Option<String>);

fn plain(header: &str) -> Vec<Plain> {
    let plain = |metric: Metric<'_>| (metric.name.into_owned(), metric.dur_ms, metric.desc.map(Cow::into_owned));
    parse(header).into_iter().map(plain).collect()
}

fn metric(name: &str, dur: Option<f64>, desc: Option<&str>) -> Plain {
    (name.to_owned(), dur, desc.map(str::to_owned))
}

#[test]
fn the_examples_of_the_specification_are_parsed() {
    assert_eq!(
        plain(r#"miss, db;dur=53, app;dur=47.2"#),
        [metric("miss", None, None), metric("db", Some(53.0), None), metric("app", Some(47.2), None)]
    );
    assert_eq!(plain(r#"cache;desc="Cache Read";dur=23.2"#), [metric("cache", Some(23.2), Some("Cache Read"))]);
    assert_eq!(
        plain(r#"dc;desc=atl, customView, total;dur=123.4"#),
        [metric("dc", None, Some("atl")), metric("customView", None, None), metric("total", Some(123.4), None)]
    );
}

#[test]
fn parameters_are_read_as_user_agents_do() {
    for (header, dur, desc) in [
        ("m;dur=1;dur=2", Some(1.0), None),
        ("m;desc=a;desc=b", None, Some("a")),
        ("m;dur=x;dur=2", None, None),
        ("m;DUR=1;Desc=a", Some(1.0), Some("a")),
        ("m \t; \tdur \t= \t1 \t; desc = a", Some(1.0), Some("a")),
        (r#"m;dur="1.5""#, Some(1.5), None),
        ("m;dur=inf", None, None),
        ("m;dur=1e999", None, None),
        ("m;dur=-1", Some(-1.0), None),
        ("m;dur", None, None),
        ("m;desc", None, Some("")),
        ("m;desc=", None, Some("")),
        ("m;other=1;dur=2", Some(2.0), None),
        ("m;;dur=2;", Some(2.0), None),
        ("m;dur=2 what?;desc=a", Some(2.0), Some("a")),
        (r#"m;desc="a;b,c""#, None, Some("a;b,c")),
        (r#"m;desc="a\"b\\c\d""#, None, Some(r#"a"b\cd"#)),
        (r#"m;desc="ü\ü";dur=1"#, Some(1.0), Some("üü")),
        (r#"m;desc="open;dur=1"#, None, Some("")),
        (r#"m;desc="open\"#, None, Some("")),
        (r#"m;desc="""#, None, Some("")),
    ] {
        assert_eq!(plain(header), [metric("m", dur, desc)], "{header}");
    }
}

#[test]
fn empty_and_nameless_metrics_are_skipped() {
    let expected = [metric("a", None, None), metric("b", None, None)];
    assert_eq!(plain(",, a ,;dur=1,=,\"x\" , b,"), expected);
    assert_eq!(plain(""), []);
    assert_eq!(plain("é"), []);
}

#[test]
fn sixty_four_metrics_are_read() {
    assert_eq!(parse(&"a,".repeat(100)).len(), 64);
    assert_eq!(parse(&",".repeat(100_000)).len(), 0);
}

#[test]
fn text_without_escapes_is_borrowed() {
    let metrics = parse(r#"traceparent;desc="00-4bf92f""#);
    assert!(matches!(&metrics[..], [Metric { name: Cow::Borrowed(_), desc: Some(Cow::Borrowed(_)), .. }]));
    assert!(TRACE_METRICS.contains(&&*metrics[0].name));
}

fn times(instance: &str, client_span: Option<&str>) -> ServerTimes {
    ServerTimes {
        instance: instance.to_owned(),
        received_ns: 1_790_000_000_000_000_001,
        sent_ns: -7,
        client_span: client_span.map(str::to_owned),
    }
}

#[test]
fn server_times_have_a_fixed_format() {
    assert_eq!(
        times("web-1", Some("00f067aa0ba902b7")).encode(),
        r#"throughline;desc="i=web-1;r=1790000000000000001;s=-7;c=00f067aa0ba902b7""#
    );
    assert_eq!(times("web-1", None).encode(), r#"throughline;desc="i=web-1;r=1790000000000000001;s=-7""#);
}

#[test]
fn invalid_values_cannot_break_the_header() {
    let long = "x".repeat(1_000);
    for (instance, written) in [("", "_"), ("a\"b;c=ü\r\n", "a_b_c____"), (&long, &long[..64])] {
        let header = times(instance, Some("00F067AA0BA902B7")).encode();
        let metrics = parse(&header);
        let read = ServerTimes::parse(metrics[0].desc.as_deref().unwrap()).unwrap();
        assert_eq!(read, times(written, None));
    }
}

#[test]
fn unknown_keys_are_ignored() {
    let read = ServerTimes::parse("v=2;s=2;x=;i=a;r=1").unwrap();
    assert_eq!((read.received_ns, read.sent_ns, read.client_span), (1, 2, None));
}

#[test]
fn anything_else_is_rejected() {
    let long_instance = format!("i={};r=1;s=2", "x".repeat(65));
    let long = format!("i=a;r=1;s=2;x={}", "x".repeat(512));
    for desc in [
        "",
        "i=a;r=1",
        "i=a;s=1",
        "r=1;s=2",
        "i=a;r=1;s=2;",
        "i=a;r=1;s=2;x",
        "i=;r=1;s=2",
        "i=a b;r=1;s=2",
        "i=a;r=+1;s=2",
        "i=a;r= 1;s=2",
        "i=a;r=01;s=2",
        "i=a;r=-0;s=2",
        "i=a;r=1.0;s=2",
        "i=a;r=1e3;s=2",
        "i=a;r=;s=2",
        "i=a;r=-;s=2",
        "i=a;r=9223372036854775808;s=2",
        "i=a;r=1;r=1;s=2",
        "i=a;r=1;s=2;c=",
        "i=a;r=1;s=2;c=00f067aa0ba902b",
        "i=a;r=1;s=2;c=00F067AA0BA902B7",
        "i=a;r=1;s=2;c=0000000000000000",
        &long_instance,
        &long,
    ] {
        assert_eq!(ServerTimes::parse(desc), None, "{desc}");
    }
    assert!(ServerTimes::parse("i=a;r=-9223372036854775808;s=0").is_some());
}

proptest! {
    #[test]
    fn server_times_round_trip(
        instance in "[A-Za-z0-9._-]{1,64}", received_ns: i64, sent_ns: i64,
        client_span in prop::option::of("[0-9a-f]{15}[1-9a-f]"),
        before in "(a;dur=1, ){0,2}", after in "(, b;desc=\"c\"){0,2}",
    ) {
        let times = ServerTimes { instance, received_ns, sent_ns, client_span };
        let header = format!("{before}{}{after}", times.encode());
        let found = parse(&header).into_iter().find(|metric| metric.name == METRIC).unwrap();
        prop_assert_eq!(ServerTimes::parse(&found.desc.unwrap()), Some(times));
    }

    #[test]
    fn quoted_text_round_trips(text in any::<String>()) {
        let quoted = text.replace('\\', r"\\").replace('"', "\\\"");
        let header = format!("a;desc=\"{quoted}\";dur=1,b");
        prop_assert_eq!(plain(&header), [metric("a", Some(1.0), Some(&text)), metric("b", None, None)]);
    }

    #[test]
    fn any_text_does_not_panic(header in any::<String>(), near in "[a-z;,=\" \t\\\\0-9.é-]{0,60}") {
        for header in [header, near] {
            for metric in parse(&header) {
                prop_assert!(!metric.name.is_empty());
                prop_assert!(metric.dur_ms.is_none_or(f64::is_finite));
            }
            if let Some(times) = ServerTimes::parse(&header) {
                let again = times.encode();
                prop_assert_eq!(ServerTimes::parse(parse(&again)[0].desc.as_deref().unwrap()), Some(times));
            }
        }
    }
}
