//! Arbitrary `Server-Timing` headers: parsed metrics are bounded and well formed, and server times round-trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_timing::server_timing::{METRIC, ServerTimes, parse};

fuzz_target!(|header: &str| {
    let metrics = parse(header);
    assert!(metrics.len() <= 64);
    for metric in &metrics {
        assert!(!metric.name.is_empty() && metric.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(metric.dur_ms.is_none_or(f64::is_finite));
    }

    let descs = metrics.iter().filter_map(|metric| metric.desc.as_deref());
    for times in descs.chain([header]).filter_map(ServerTimes::parse) {
        let encoded = times.encode();
        let again = parse(&encoded);
        let [metric] = &again[..] else { panic!("not one metric: {encoded}") };
        assert_eq!(metric.name, METRIC);
        assert_eq!(metric.desc.as_deref().and_then(ServerTimes::parse), Some(times));
    }
});
