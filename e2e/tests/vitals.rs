//! Web vitals and long animation frames, compared with the browser's own measurements.

use std::collections::HashMap;

use serde_json::Value;
use throughline_e2e::{Browser, ServerOptions, Site, SpanExt, TraceExt, outline};
use throughline_inspector_api::{LogRecord, Trace};

/// A script that records the entries of the browser's own observers, to compare with.
const OBSERVER: &str = "
    window.__seen = { lcp: [], fcp: [], cls: [], inp: [], frames: [] };
    const observe = (type, list, of) => new PerformanceObserver(seen => {
        for (const entry of seen.getEntries()) __seen[list].push(of(entry));
    }).observe({ type, buffered: true, durationThreshold: 16 });
    observe('largest-contentful-paint', 'lcp', entry => entry.startTime);
    observe('paint', 'fcp', entry => [entry.name, entry.startTime]);
    observe('layout-shift', 'cls', entry => [entry.value, entry.hadRecentInput, entry.startTime]);
    const interaction = entry => [entry.interactionId, entry.duration, entry.target?.localName];
    observe('event', 'inp', interaction);
    observe('first-input', 'inp', interaction);
    observe('long-animation-frame', 'frames', entry => [entry.startTime, entry.duration]);
    window.__busy = ms => requestAnimationFrame(function busy() {
        window.__busy_since = performance.now();
        while (performance.now() < __busy_since + ms);
    });
    // A page under load has other long frames and shifts: these two are the ones that the test caused.
    window.__busy_frame = () => __seen.frames.find(([start, duration]) =>
        start <= window.__busy_since && __busy_since < start + duration);
    window.__wall = height => {
        const wall = document.createElement('div');
        wall.style.height = height;
        document.querySelector('main').prepend(wall);
        window.__walled = performance.now();
    };
    window.__wall_shifted = () => __seen.cls.some(([,, start]) => start >= window.__walled);
";
const ALL: [&str; 5] = ["cls", "fcp", "inp", "lcp", "ttfb"];
/// The attribution of web.dev's `web-vitals`, with the names of OpenTelemetry.
const ATTRIBUTION: [(&str, &[&str]); 5] = [
    ("ttfb", &["waiting_duration", "dns_duration", "connection_duration", "request_duration"]),
    ("fcp", &["time_to_first_byte", "first_byte_to_fcp"]),
    ("cls", &["largest_shift_value", "largest_shift_time"]),
    ("inp", &["input_delay", "processing_duration", "presentation_delay"]),
    ("lcp", &["time_to_first_byte", "resource_load_delay", "resource_load_duration", "element_render_delay"]),
];

async fn start() -> anyhow::Result<(Site, Browser)> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.add_script(OBSERVER).await?;
    browser.home(&site.server.base()).await?;
    // A page that has not been painted has no vitals.
    browser.until("__seen.lcp.length && __seen.fcp.length").await?;
    Ok((site, browser))
}

/// Waits until all vitals in `names` have been reported, and returns the last event of each.
async fn vitals(site: &Site, names: &[&str]) -> anyhow::Result<(Trace, HashMap<String, LogRecord>)> {
    let last = |trace: &Trace| -> HashMap<String, LogRecord> {
        let events = trace.events("browser.web_vital").into_iter();
        events.map(|event| (event.text("browser.web_vital.name").to_owned(), event.clone())).collect()
    };
    let is_whole = |trace: &Trace| {
        let found = last(trace);
        names.iter().all(|name| found.contains_key(*name)) && trace.count("documentLoad") == 1
    };
    let trace = site.api.trace_where(&format!("the vitals {names:?}"), is_whole).await?;
    let found = last(&trace);
    Ok((trace, found))
}

fn value(event: &LogRecord) -> f64 {
    event.number("browser.web_vital.value")
}

fn numbers(seen: &Value, list: &str, n: usize) -> Vec<f64> {
    let entries = seen[list].as_array().expect("should be a list").iter();
    entries.map(|entry| entry.as_f64().or_else(|| entry[n].as_f64()).expect("should be a number")).collect()
}

fn is_about(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-3
}

/// Returns the rating by the thresholds of web.dev.
fn rating(name: &str, value: f64) -> &'static str {
    let (good, poor) = match name {
        "cls" => (0.1, 0.25),
        "fcp" => (1800.0, 3000.0),
        "inp" => (200.0, 500.0),
        "lcp" => (2500.0, 4000.0),
        _ => (800.0, 1800.0),
    };
    if value <= good {
        "good"
    } else if value <= poor {
        "needs-improvement"
    } else {
        "poor"
    }
}

/// Checks that the event belongs to the page load and has all attributes.
fn has_page_context(trace: &Trace, name: &str, event: &LogRecord) {
    let load = trace.one("documentLoad", |span| span.name == "documentLoad");
    assert_eq!(event.span_id.as_ref(), Some(&load.span_id), "{name}");
    assert_eq!((event.service.as_str(), event.severity), ("cruddur-web", 9), "{name}");
    assert_eq!(event.text("session.id"), load.text("session.id"), "{name}");
    assert!(value(event) >= 0.0, "{name}");
    assert_eq!(event.text("browser.web_vital.rating"), rating(name, value(event)), "{name}");
    assert_eq!(event.text("browser.web_vital.navigation_type"), "navigate", "{name}");
    assert!(!event.text("browser.web_vital.id").is_empty(), "{name}");
    let (_, attribution) = ATTRIBUTION.iter().find(|(of, _)| *of == name).expect("each has an attribution");
    for part in *attribution {
        assert!(event.number(&format!("browser.web_vital.attribution.{part}")) >= 0.0, "{name}: {part}");
    }
}

#[tokio::test]
async fn a_hidden_page_reports_all_web_vitals() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    // An unexpected shift: one right after an input would not count.
    browser.eval("__wall('200px')").await?;
    browser.until("__wall_shifted()").await?;
    browser.click("button.like[aria-pressed=false]").await?;
    browser.until("__seen.inp.some(([id]) => id > 0)").await?;
    let seen = browser.eval("return __seen").await?;
    let first_byte = browser.eval("return performance.getEntriesByType('navigation')[0].responseStart").await?;
    browser.new_tab().await?;

    let (trace, found) = vitals(&site, &ALL).await?;
    for (name, event) in &found {
        has_page_context(&trace, name, event);
    }
    let mut names: Vec<_> = found.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ALL);
    let ids: Vec<_> = found.values().map(|event| event.text("browser.web_vital.id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one page view, one id: {ids:?}");

    // The values equal the browser's own measurements.
    assert!(is_about(value(&found["ttfb"]), first_byte.as_f64().expect("should be a number")));
    let paints = seen["fcp"].as_array().expect("should be a list").iter();
    let first = paints.filter(|paint| paint[0] == "first-contentful-paint").find_map(|paint| paint[1].as_f64());
    assert!(is_about(value(&found["fcp"]), first.expect("should be a paint")));
    // Only the paints before the click count.
    let painted = numbers(&seen, "lcp", 0);
    assert!(painted.iter().any(|ms| is_about(value(&found["lcp"]), *ms)), "{painted:?}");
    assert!(found["lcp"].has("browser.web_vital.attribution.target"));
    // The shifts are in one session window, or it is the largest window.
    let shifts: Vec<_> =
        seen["cls"].as_array().expect("should be a list").iter().filter(|shift| shift[1] == false).collect();
    let sum: f64 = shifts.iter().filter_map(|shift| shift[0].as_f64()).sum();
    let cls = value(&found["cls"]);
    assert!(cls > 0.0 && cls <= sum + 1e-6, "{cls} of {shifts:?}");
    assert!(found["cls"].has("browser.web_vital.attribution.largest_shift_target"));
    let longest = numbers(&seen, "inp", 1).into_iter().fold(0.0, f64::max);
    let inp = value(&found["inp"]);
    assert!(inp > 0.0 && inp <= longest, "{inp} of {seen}");
    // The element under the pointer: the button or its icon. The text is never recorded.
    let target = found["inp"].text("browser.web_vital.attribution.interaction_target");
    let targets = seen["inp"].as_array().expect("should be a list").iter().filter_map(|entry| entry[2].as_str());
    assert!(
        targets.map(str::to_owned).any(|name| target.split(['.', '#']).next() == Some(&name)),
        "{target} of {seen}"
    );
    browser.quit().await
}

#[tokio::test]
async fn only_changed_vitals_are_reported_again() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    let first = browser.driver.window().await?;
    browser.new_tab().await?;
    let (_, before) = vitals(&site, &["cls", "fcp", "lcp", "ttfb"]).await?;
    browser.driver.switch_to_window(first.clone()).await?;
    browser.until("document.visibilityState == 'visible'").await?;
    browser.eval("__wall('300px')").await?;
    browser.until("__wall_shifted()").await?;
    let shift = format!("__seen.cls.reduce((sum, [value]) => sum + value, 0) > {}", value(&before["cls"]));
    browser.until(&shift).await?;
    browser.driver.goto("about:blank").await?;
    let is_more = |trace: &Trace| {
        let events = trace.events("browser.web_vital").into_iter();
        events.filter(|event| event.is("browser.web_vital.name", "cls")).count() > 1
    };
    let trace = site.api.trace_where("a second cls", is_more).await?;
    let reported = |name: &str| -> Vec<_> {
        let events = trace.events("browser.web_vital").into_iter();
        events.filter(|event| event.is("browser.web_vital.name", name)).collect()
    };
    for name in ["fcp", "lcp", "ttfb"] {
        let events = reported(name);
        assert_eq!(events.len(), 1, "{name}: {events:#?}");
        assert!(
            is_about(events[0].number("browser.web_vital.delta"), value(events[0])),
            "the first delta equals the value"
        );
    }
    let shifts = reported("cls");
    let [one, two] = shifts[..] else { panic!("{shifts:#?}") };
    assert_eq!(one.text("browser.web_vital.id"), two.text("browser.web_vital.id"));
    assert!(is_about(two.number("browser.web_vital.delta"), value(two) - value(one)), "{shifts:#?}");
    browser.quit().await
}

#[tokio::test]
async fn a_long_frame_is_reported_with_the_responsible_scripts() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.eval("__busy(200)").await?;
    browser.until("__busy_frame()").await?;
    let seen = browser.eval("return __busy_frame()[1]").await?.as_f64().expect("should be a number");
    let name = "browser.long_animation_frame";
    let duration = format!("{name}.duration");
    let is_ours = |event: &&LogRecord| is_about(event.number(&duration), seen);
    let is_there = |trace: &Trace| trace.events(name).iter().any(is_ours);
    let trace = site.api.trace_where(&format!("a frame of {seen} ms"), is_there).await?;
    let frames = trace.events(name);
    assert!(frames.iter().all(|frame| frame.number(&duration) >= 100.0), "{}", outline(&trace));
    let frame = frames.into_iter().find(is_ours).expect("found above");
    let load = trace.one("documentLoad", |span| span.name == "documentLoad");
    assert_eq!(frame.span_id.as_ref(), Some(&load.span_id));
    assert!(frame.number(&format!("{name}.blocking_duration")) >= 100.0);
    let scripts = frame.texts(&format!("{name}.scripts"));
    let is_busy = |script: &&str| {
        let ms = script.split_once(" ms ").filter(|(_, rest)| rest.contains("FrameRequestCallback"));
        ms.and_then(|(ms, _)| ms.parse::<f64>().ok()).is_some_and(|ms| ms >= 199.0)
    };
    assert!(scripts.iter().any(is_busy), "{scripts:?}");
    browser.quit().await
}

#[tokio::test]
async fn a_page_without_interaction_has_no_inp() -> anyhow::Result<()> {
    let (site, browser) = start().await?;
    browser.driver.goto("about:blank").await?;
    let (_, found) = vitals(&site, &["cls", "fcp", "lcp", "ttfb"]).await?;
    assert!(!found.contains_key("inp"));
    browser.quit().await
}
