use proptest::prelude::*;
use throughline_timing::{
    ClockSync, Decomposition, Exchange, Phase, Quality, ResourceTiming, Segment, Split, decompose,
};

/// A new TLS connection, with every phase.
const FULL: ResourceTiming = ResourceTiming {
    start_ns: 1_010,
    worker_start_ns: 0,
    redirect_start_ns: 1_010,
    redirect_end_ns: 1_100,
    fetch_start_ns: 1_100,
    domain_lookup_start_ns: 1_120,
    domain_lookup_end_ns: 1_150,
    connect_start_ns: 1_150,
    secure_connection_start_ns: 1_180,
    connect_end_ns: 1_240,
    request_start_ns: 1_250,
    response_start_ns: 1_500,
    response_end_ns: 1_600,
};

/// A reused connection.
const REUSED: ResourceTiming = ResourceTiming {
    start_ns: 1_000,
    fetch_start_ns: 1_000,
    domain_lookup_start_ns: 1_000,
    domain_lookup_end_ns: 1_000,
    connect_start_ns: 1_000,
    secure_connection_start_ns: 1_000,
    connect_end_ns: 1_000,
    request_start_ns: 1_050,
    response_start_ns: 1_500,
    response_end_ns: 1_600,
    worker_start_ns: 0,
    redirect_start_ns: 0,
    redirect_end_ns: 0,
};

fn lengths(decomposition: &Decomposition) -> Vec<(Phase, i64)> {
    decomposition.segments.iter().map(|part| (part.phase, part.duration_ns())).collect()
}

/// Returns an exchange of 50 up, 120 in the server and 80 down, and its split without other exchanges.
fn server() -> (Exchange, Split) {
    let exchange = Exchange::new(1_250, 9_050, 9_170, 1_500, 0).expect("the exchange is valid");
    let split = Split::of(&exchange, &ClockSync::new(0).observe("a", &exchange));
    (exchange, split)
}

#[test]
fn a_new_connection_has_every_phase() {
    let (exchange, split) = server();
    let whole = decompose(1_000, 1_700, Some(&FULL), Some((&exchange, &split)));
    assert_eq!(whole.quality, Quality::Fine);
    assert_eq!(
        lengths(&whole),
        [
            (Phase::Stall, 10),
            (Phase::Redirect, 90),
            (Phase::Stall, 20),
            (Phase::Dns, 30),
            (Phase::Connect, 30),
            (Phase::Tls, 60),
            (Phase::Stall, 10),
            (Phase::Uplink, 65),
            (Phase::Server, 120),
            (Phase::Downlink, 65),
            (Phase::Download, 100),
            (Phase::Delivery, 100),
        ]
    );
}

#[test]
fn a_reused_connection_has_no_handshake() {
    let whole = decompose(990, 1_700, Some(&REUSED), None);
    assert_eq!(whole.quality, Quality::Unsynced);
    assert_eq!(
        lengths(&whole),
        [(Phase::Stall, 60), (Phase::Wait, 450), (Phase::Download, 100), (Phase::Delivery, 100)]
    );
}

#[test]
fn without_tls_the_handshake_is_one_phase() {
    let plain = ResourceTiming { secure_connection_start_ns: 0, ..FULL };
    let whole = decompose(1_000, 1_700, Some(&plain), None);
    assert!(lengths(&whole).contains(&(Phase::Connect, 90)));
    assert!(whole.segments.iter().all(|part| part.phase != Phase::Tls));
}

#[test]
fn missing_timing_is_coarse() {
    let whole = decompose(5, 9, None, None);
    let wait = Segment { phase: Phase::Wait, start_ns: 5, end_ns: 9 };
    assert_eq!(whole, Decomposition { segments: vec![wait], quality: Quality::Coarse });
}

#[test]
fn opaque_or_disordered_timing_is_coarse() {
    let opaque =
        ResourceTiming { start_ns: 1_000, fetch_start_ns: 1_000, response_end_ns: 1_600, ..ResourceTiming::default() };
    let disordered = ResourceTiming { connect_end_ns: 1_260, ..FULL };
    let tls_before_tcp = ResourceTiming { secure_connection_start_ns: 1_140, ..FULL };
    let response_ended_before_start = ResourceTiming { response_end_ns: 1_499, ..FULL };
    for timing in [opaque, disordered, tls_before_tcp, response_ended_before_start] {
        let (exchange, split) = server();
        let whole = decompose(1_000, 1_700, Some(&timing), Some((&exchange, &split)));
        assert_eq!(whole.quality, Quality::Coarse, "{timing:?}");
        assert_eq!(lengths(&whole), [(Phase::Wait, 700)]);
    }
}

#[test]
fn timing_outside_of_the_request_is_coarse() {
    for (start, end) in [(0, 1_249), (1_501, 2_000)] {
        let whole = decompose(start, end, Some(&FULL), None);
        assert_eq!(whole.quality, Quality::Coarse);
        assert_eq!(lengths(&whole), [(Phase::Wait, end - start)]);
    }
}

#[test]
fn marks_outside_of_the_request_are_moved_to_its_ends() {
    let whole = decompose(1_130, 1_550, Some(&FULL), None);
    assert_eq!(lengths(&whole).first(), Some(&(Phase::Dns, 20)));
    assert_eq!(lengths(&whole).last(), Some(&(Phase::Download, 50)));
}

#[test]
fn without_a_response_end_the_rest_is_download() {
    let open = ResourceTiming { response_end_ns: 0, ..FULL };
    let whole = decompose(1_000, 1_700, Some(&open), None);
    assert_eq!(lengths(&whole).last(), Some(&(Phase::Download, 200)));
}

#[test]
fn server_time_longer_than_the_wait_is_limited_to_the_wait() {
    // Within two quanta of 200.
    let exchange = Exchange::new(1_250, 0, 600, 1_500, 200).unwrap();
    let split = Split::of(&exchange, &ClockSync::new(0).observe("a", &exchange));
    let whole = decompose(1_000, 1_700, Some(&FULL), Some((&exchange, &split)));
    assert!(lengths(&whole).contains(&(Phase::Server, 250)));
}

#[test]
fn a_phase_with_only_one_mark_is_omitted() {
    for half in [
        ResourceTiming { redirect_start_ns: 0, ..FULL },
        ResourceTiming { redirect_end_ns: 0, ..FULL },
        ResourceTiming { domain_lookup_start_ns: 0, ..FULL },
        ResourceTiming { connect_start_ns: 0, ..FULL },
    ] {
        let whole = decompose(1_000, 1_700, Some(&half), None);
        assert_eq!(whole.quality, Quality::Unsynced);
        let found = Phase::ALL.iter().filter(|phase| whole.segments.iter().any(|part| part.phase == **phase));
        // All phases except the three that need the server's times and the one whose mark is missing.
        assert_eq!(found.count(), Phase::ALL.len() - 4, "{half:?}");
    }
}

#[test]
fn a_request_without_duration_has_no_phases() {
    assert_eq!(decompose(5, 5, Some(&FULL), None).segments, []);
    assert_eq!(decompose(2_000, 1_000, Some(&FULL), None).segments, []);
}

#[test]
fn names_are_distinct_and_in_order() {
    let names = Phase::ALL.map(Phase::as_str);
    let expected = "stall redirect dns connect tls uplink server downlink wait download delivery";
    assert_eq!(names.join(" "), expected);
    assert!(Phase::ALL.is_sorted());
    let names = [Quality::Fine, Quality::Coarse, Quality::Unsynced].map(Quality::as_str);
    assert_eq!(names, ["fine", "coarse", "unsynced"]);
}

/// Checks that the segments cover the whole request without gaps, and that none is empty.
fn check_cover(start: i64, end: i64, whole: &Decomposition) -> Result<(), TestCaseError> {
    if end <= start {
        prop_assert!(whole.segments.is_empty());
        return Ok(());
    }
    let mut at = start;
    for part in &whole.segments {
        prop_assert_eq!(part.start_ns, at);
        prop_assert!(part.end_ns > part.start_ns);
        at = part.end_ns;
    }
    prop_assert_eq!(at, end);
    Ok(())
}

fn timing(marks: [i64; 13]) -> ResourceTiming {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m] = marks;
    ResourceTiming {
        start_ns: a,
        worker_start_ns: b,
        redirect_start_ns: c,
        redirect_end_ns: d,
        fetch_start_ns: e,
        domain_lookup_start_ns: f,
        domain_lookup_end_ns: g,
        connect_start_ns: h,
        secure_connection_start_ns: i,
        connect_end_ns: j,
        request_start_ns: k,
        response_start_ns: l,
        response_end_ns: m,
    }
}

fn instants() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -5..40_i64, 1 => Just(0), 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_marks_are_covered(
        marks in prop::array::uniform13(instants()),
        start in instants(),
        end in instants(),
        t in prop::array::uniform4(instants()),
        quantum in 0..10_i64,
        sort in any::<bool>(),
    ) {
        let mut marks = marks;
        if sort {
            marks.sort_unstable();
        }
        let timing = timing(marks);
        check_cover(start, end, &decompose(start, end, Some(&timing), None))?;
        if let Ok(exchange) = Exchange::new(t[0], t[1], t[2], t[3], quantum) {
            let split = Split::of(&exchange, &ClockSync::default().observe("a", &exchange));
            check_cover(start, end, &decompose(start, end, Some(&timing), Some((&exchange, &split))))?;
        }
    }

    #[test]
    fn ordered_marks_are_fine_and_their_phases_are_ordered(
        gaps in prop::array::uniform12(0..1_000_i64), lead in 0..100_i64, tail in 0..100_i64,
        ahead in -1_000_000..1_000_000_i64, uplink in 0.0..1.0_f64, server in 0.0..1.0_f64,
    ) {
        let mut marks = [1_000_000; 13];
        for (index, gap) in gaps.into_iter().enumerate() {
            marks[index + 1] = marks[index] + gap;
        }
        let timing = timing(marks);
        let (start, end) = (timing.start_ns - lead, timing.response_end_ns + tail);
        let (t1, t4) = (timing.request_start_ns, timing.response_start_ns);
        let t2 = t1 + ((t4 - t1) as f64 * uplink) as i64;
        let t3 = t2 + ((t4 - t2) as f64 * server) as i64;
        let exchange = Exchange::new(t1, t2 + ahead, t3 + ahead, t4, 0).unwrap();
        let split = Split::of(&exchange, &ClockSync::default().observe("a", &exchange));
        let whole = decompose(start, end, Some(&timing), Some((&exchange, &split)));
        check_cover(start, end, &whole)?;
        prop_assert_eq!(whole.quality, Quality::Fine);

        let phases: Vec<_> =
            whole.segments.iter().map(|part| part.phase).filter(|phase| *phase != Phase::Stall).collect();
        prop_assert!(phases.is_sorted());
        let length = |phase| -> i64 {
            whole.segments.iter().filter(|part| part.phase == phase).map(Segment::duration_ns).sum()
        };
        prop_assert_eq!(length(Phase::Redirect), timing.redirect_end_ns - timing.redirect_start_ns);
        prop_assert_eq!(length(Phase::Dns), timing.domain_lookup_end_ns - timing.domain_lookup_start_ns);
        prop_assert_eq!(length(Phase::Connect), timing.secure_connection_start_ns - timing.connect_start_ns);
        prop_assert_eq!(length(Phase::Tls), timing.connect_end_ns - timing.secure_connection_start_ns);
        prop_assert_eq!(length(Phase::Uplink), split.uplink_ns);
        prop_assert_eq!(length(Phase::Server), exchange.server_ns());
        prop_assert_eq!(length(Phase::Downlink), split.downlink_ns);
        prop_assert_eq!(length(Phase::Download), timing.response_end_ns - timing.response_start_ns);
        prop_assert_eq!(length(Phase::Delivery), tail);
    }
}
