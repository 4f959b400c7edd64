//! Tests of every rule of W3C Trace Context and W3C Baggage over real HTTP: a request enters through the layer, and the
//! headers that the traced client sends on are checked. The service is the one from the example.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

#[path = "../examples/w3c_service/service.rs"]
mod service;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, Once},
};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A sampler like the SDK's default that adds a member to the `tracestate` if the list contains `ask`.
#[derive(Clone, Debug)]
struct AddsMember;

impl ShouldSample for AddsMember {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let usual = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let mut result = usual.should_sample(parent, trace_id, name, kind, attributes, links);
        let is_requested = parent.is_some_and(|parent| parent.span().span_context().trace_state().get("ask").is_some());
        if is_requested {
            result.trace_state = result.trace_state.insert("ours", "new").unwrap();
        }
        result
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// The headers of all received requests, oldest first.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<HeaderMap>>>);

/// Sends `headers` unchanged to the service. Returns the headers of its `calls` outgoing requests.
async fn requests_after(headers: &[(&str, &str)], calls: usize) -> Vec<HeaderMap> {
    static TRACING: Once = Once::new();
    TRACING
        .call_once(|| service::start_tracing(&SdkTracerProvider::builder().with_sampler(AddsMember).build()).unwrap());

    let received = Received::default();
    let record = |State(received): State<Received>, headers: HeaderMap, body: String| async move {
        assert_eq!(body, r#"["as","is"]"#);
        received.0.lock().unwrap().push(headers);
    };
    let callee = serve(Router::new().route("/callee", post(record)).with_state(received.clone())).await;
    let service = serve(service::router().unwrap()).await;

    let call = format!(r#"{{"url":"http://{callee}/callee","arguments":["as","is"]}}"#);
    let body = format!("[{}]", vec![call; calls].join(","));
    let mut request = format!(
        "POST /test HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}:{value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(&body);
    let mut socket = TcpStream::connect(service).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    let received = std::mem::take(&mut *received.0.lock().unwrap());
    assert_eq!(received.len(), calls);
    received
}

async fn request_after(headers: &[(&str, &str)]) -> HeaderMap {
    requests_after(headers, 1).await.remove(0)
}

fn value(headers: &HeaderMap, name: &str) -> String {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().unwrap().to_owned());
    assert!(values.next().is_none(), "{name} is sent twice");
    first.unwrap_or_default()
}

/// Returns the `traceparent` that is sent on: always exactly one, with version 00.
fn parent(headers: &HeaderMap) -> String {
    let parent = value(headers, "traceparent");
    assert!(parent.len() == 55 && parent.starts_with("00-"), "{parent:?}");
    assert_ne!(&parent[36..52], SPAN, "the span of the caller is sent on");
    parent
}

/// Returns whether the trace `TRACE` is continued.
async fn continues(headers: &[(&str, &str)]) -> bool {
    parent(&request_after(headers).await)[3..35] == *TRACE
}

async fn flags_after(flags: &str) -> String {
    let parent = parent(&request_after(&[("traceparent", &format!("00-{TRACE}-{SPAN}-{flags}"))]).await);
    assert_eq!(parent[3..35], *TRACE);
    parent[53..].to_owned()
}

/// Returns the `tracestate` that is sent on, and checks that the trace is continued.
async fn state_after(lists: &[&str]) -> String {
    let mut headers = vec![("traceparent", VALID)];
    headers.extend(lists.iter().map(|list| ("tracestate", *list)));
    let sent = request_after(&headers).await;
    assert_eq!(parent(&sent)[3..35], *TRACE, "the trace is lost");
    value(&sent, "tracestate")
}

async fn baggage_after(lists: &[&str]) -> String {
    let headers: Vec<_> = lists.iter().map(|list| ("baggage", *list)).collect();
    value(&request_after(&headers).await, "baggage")
}

#[tokio::test]
async fn rule_01_version_ff_is_invalid() {
    assert!(!continues(&[("traceparent", &format!("ff-{TRACE}-{SPAN}-01"))]).await);
}

#[tokio::test]
async fn rule_02_version_00_has_exactly_55_characters() {
    assert!(continues(&[("traceparent", VALID)]).await);
    for more in ["-", "-x", "0", "."] {
        assert!(!continues(&[("traceparent", &format!("{VALID}{more}"))]).await, "{more}");
    }
    assert!(!continues(&[("traceparent", &VALID[..54])]).await);
}

#[tokio::test]
async fn rule_03_a_later_version_is_read_by_its_first_55_characters() {
    for version in ["01", "42", "fe"] {
        assert!(continues(&[("traceparent", &format!("{version}-{TRACE}-{SPAN}-01"))]).await, "{version}");
        assert!(!continues(&[("traceparent", &format!("{version}-{TRACE}-{SPAN}-0"))]).await, "{version}");
    }
}

#[tokio::test]
async fn rule_04_a_later_version_may_only_continue_with_a_dash() {
    for (more, valid) in [("-", true), ("-more-to-come", true), (".more", false), ("0", false)] {
        assert_eq!(continues(&[("traceparent", &format!("42-{TRACE}-{SPAN}-01{more}"))]).await, valid, "{more}");
    }
}

#[tokio::test]
async fn rule_05_digits_are_lower_case_hexadecimal() {
    for parent in [
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("0G-{TRACE}-{SPAN}-01"),
        format!("00-{}g-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}-{}.-01", &SPAN[1..]),
    ] {
        assert!(!continues(&[("traceparent", &parent)]).await, "{parent}");
    }
}

#[tokio::test]
async fn rule_06_fields_have_their_lengths() {
    for parent in [
        format!("0-{TRACE}-{SPAN}-01"),
        format!("000-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}0-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00-{TRACE}-{SPAN}0-01"),
        format!("00-{TRACE}-{}-01", &SPAN[1..]),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-001"),
    ] {
        assert!(!continues(&[("traceparent", &parent)]).await, "{parent}");
    }
}

#[tokio::test]
async fn rule_07_ids_of_zeros_are_invalid() {
    let zeros = "0".repeat(32);
    let sent = request_after(&[("traceparent", &format!("00-{zeros}-{SPAN}-01"))]).await;
    assert_ne!(parent(&sent)[3..35], *zeros);
    assert!(!continues(&[("traceparent", &format!("00-{TRACE}-{}-01", &zeros[..16]))]).await);
}

#[tokio::test]
async fn rule_08_more_than_one_traceparent_is_invalid() {
    assert!(!continues(&[("traceparent", VALID), ("traceparent", VALID)]).await);
    assert!(!continues(&[("traceparent", VALID), ("TraceParent", "")]).await);
    // A header that is not valid UTF-8 counts too.
    assert!(!continues(&[("traceparent", VALID), ("traceparent", "é")]).await);
}

#[tokio::test]
async fn rule_09_whitespace_around_the_traceparent_is_ignored() {
    for (before, after) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), (" \t ", "\t \t")] {
        assert!(continues(&[("traceparent", &format!("{before}{VALID}{after}"))]).await);
    }
}

#[tokio::test]
async fn rule_10_header_names_are_case_insensitive_with_one_spelling() {
    for (name, valid) in
        [("TRACEPARENT", true), ("tRaCePaReNt", true), ("trace-parent", false), ("trace.parent", false)]
    {
        assert_eq!(continues(&[(name, VALID)]).await, valid, "{name}");
    }
    for (name, list) in [("TraceState", "a=1"), ("trace-state", ""), ("trace.state", "")] {
        assert_eq!(value(&request_after(&[("traceparent", VALID), (name, "a=1")]).await, "tracestate"), list);
    }
}

#[tokio::test]
async fn rule_11_the_sampled_flag_is_carried() {
    for (received, sampled) in [("00", "0"), ("01", "1")] {
        assert!(flags_after(received).await.ends_with(sampled));
    }
}

#[tokio::test]
async fn rule_12_the_random_flag_is_carried_and_not_invented() {
    for flags in ["00", "01", "02", "03"] {
        assert_eq!(flags_after(flags).await, flags);
    }
}

#[tokio::test]
async fn rule_13_other_flags_are_cleared() {
    for (received, sent) in [("ff", "03"), ("fd", "01"), ("fe", "02"), ("fc", "00"), ("04", "00")] {
        assert_eq!(flags_after(received).await, sent, "{received}");
    }
}

#[tokio::test]
async fn rule_14_a_new_root_has_the_random_flag() {
    for headers in [&[][..], &[("traceparent", "ff-nothing")], &[("traceparent", VALID), ("traceparent", VALID)]] {
        assert_eq!(parent(&request_after(headers).await)[53..], *"03");
    }
}

#[tokio::test]
async fn rule_15_each_outgoing_request_has_its_own_span() {
    for headers in [&[][..], &[("traceparent", VALID)], &[("traceparent", "00-0-0-00")]] {
        let sent = requests_after(headers, 3).await;
        let parents: Vec<_> = sent.iter().map(parent).collect();
        assert!(parents.iter().all(|other| other[3..35] == parents[0][3..35]), "{parents:?}");
        assert!(parents[0] != parents[1] && parents[1] != parents[2] && parents[0] != parents[2], "{parents:?}");
    }
}

#[tokio::test]
async fn rule_16_tracestate_headers_are_one_list_in_order() {
    assert_eq!(state_after(&["z=1,y=2", "x=3", "w=4,v=5"]).await, "z=1,y=2,x=3,w=4,v=5");
}

#[tokio::test]
async fn rule_17_whitespace_around_members_is_trimmed() {
    assert_eq!(state_after(&["\t a=1 \t,\t b=  2 ", " c=3"]).await, "a=1,b=  2,c=3");
}

#[tokio::test]
async fn rule_18_empty_members_are_skipped() {
    assert_eq!(state_after(&["", ",a=1,, ,", "\t", "b=2"]).await, "a=1,b=2");
    assert_eq!(state_after(&[""]).await, "");
}

#[tokio::test]
async fn rule_19_a_list_has_at_most_32_members() {
    let members: Vec<_> = (0..33).map(|n| format!("k{n}=v")).collect();
    let most = members[..32].join(",");
    assert_eq!(state_after(&[&most]).await, most);
    assert_eq!(state_after(&[&most, &members[32]]).await, "");
}

#[tokio::test]
async fn rule_20_keys_have_the_grammar_of_level_2() {
    let (most, tenant) = ("k".repeat(256), "t".repeat(241));
    for key in ["a", "0", "9lives", "a_b-c*d/e", "tenant@system", &most, &format!("{tenant}@fourteen-chars")] {
        let list = format!("before=1,{key}=2,after=3");
        assert_eq!(state_after(&[&list]).await, list);
    }
    for key in ["", "A", "_a", "-a", "a b", "a ", "a.b", "é", "@a", "a@", "a@b@c", &format!("{most}k")] {
        assert_eq!(state_after(&[&format!("before=1,{key}=2,after=3")]).await, "", "{key}");
    }
    assert_eq!(state_after(&[&format!("{tenant}t@a=1")]).await, "");
    assert_eq!(state_after(&["a@fifteen-letters=1"]).await, "");
}

#[tokio::test]
async fn rule_21_values_have_the_grammar_of_level_2() {
    let most = "v".repeat(256);
    for value in ["1", "!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", "in the middle", &most] {
        let list = format!("k={value},after=1");
        assert_eq!(state_after(&[&list]).await, list);
    }
    for value in ["", "a=b", "é", &format!("{most}v")] {
        assert_eq!(state_after(&[&format!("before=1,k={value}")]).await, "", "{value}");
    }
    // A comma separates members, and trailing whitespace is trimmed: neither becomes part of a value.
    assert_eq!(state_after(&["k=a,b"]).await, "");
    assert_eq!(state_after(&["k=a "]).await, "k=a");
}

#[tokio::test]
async fn rule_22_keys_are_unique() {
    for lists in [&["a=1,a=1"][..], &["a=1,b=2", "a=3"]] {
        assert_eq!(state_after(lists).await, "");
    }
}

#[tokio::test]
async fn rule_23_a_malformed_list_is_dropped_and_the_trace_is_kept() {
    // `state_after` checks that the trace is kept.
    assert_eq!(state_after(&["a=1", "invalid", "b=2"]).await, "");
}

#[tokio::test]
async fn rule_24_without_a_valid_traceparent_the_list_is_ignored() {
    for headers in [
        &[("tracestate", "a=1")][..],
        &[("traceparent", "00-broken"), ("tracestate", "a=1")],
        &[("traceparent", VALID), ("traceparent", VALID), ("tracestate", "a=1")],
    ] {
        assert_eq!(value(&request_after(headers).await, "tracestate"), "");
    }
}

#[tokio::test]
async fn rule_25_our_member_is_first_and_the_others_keep_their_order() {
    assert_eq!(state_after(&["b=1,ask=2,a=3"]).await, "ours=new,b=1,ask=2,a=3");
    assert_eq!(state_after(&["b=1,ours=old,ask=2"]).await, "ours=new,b=1,ask=2");
    assert_eq!(state_after(&["t@fourteen-chars=1,ask=2,a=3"]).await, "ours=new,t@fourteen-chars=1,ask=2,a=3");
}

#[tokio::test]
async fn rule_26_baggage_is_sent_on_with_and_without_a_trace() {
    assert_eq!(baggage_after(&["a=1,b=2"]).await, "a=1,b=2");
    let sent = request_after(&[("traceparent", VALID), ("baggage", "a=1")]).await;
    assert_eq!((&parent(&sent)[3..35], &*value(&sent, "baggage")), (TRACE, "a=1"));
}

#[tokio::test]
async fn rule_27_baggage_has_at_most_64_members_over_all_headers() {
    let members: Vec<_> = (10..80).map(|n| format!("k{n}=v")).collect();
    assert_eq!(baggage_after(&[&members[..40].join(","), &members[40..].join(",")]).await, members[..64].join(","));
}

#[tokio::test]
async fn rule_28_baggage_has_at_most_8192_bytes_over_all_headers() {
    let half = format!("a={}", "v".repeat(4094));
    let rest = format!("b={}", "v".repeat(4093));
    assert_eq!(baggage_after(&[&half, &rest]).await.len(), 8192);
    assert_eq!(baggage_after(&[&half, &format!("{rest}v")]).await, half);
}

#[tokio::test]
async fn rule_29_a_baggage_member_is_never_sent_in_part() {
    let long = format!("b={};p=1", "v".repeat(8000));
    let members = format!("a={},{long},c=1", "v".repeat(200));
    assert_eq!(baggage_after(&[&members]).await, format!("a={},c=1", "v".repeat(200)));
    assert_eq!(baggage_after(&["a=1,b=2;p q,c=3"]).await, "a=1,c=3");
}

#[tokio::test]
async fn rule_30_baggage_values_are_percent_encoded() {
    assert_eq!(baggage_after(&["a=%C3%A9%2C%20%25,b=%41"]).await, "a=%C3%A9%2C%20%25,b=A");
}

#[tokio::test]
async fn rule_31_baggage_properties_are_kept() {
    assert_eq!(baggage_after(&["a=1 ; p ; q = %41;r=x=y,b=2"]).await, "a=1;p;q=%41;r=x=y,b=2");
}
