//! Network measurements compared with known delays and known clock skew.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context;
use throughline_e2e::{Browser, DelayProxy, ServerOptions, Site, SpanExt, outline, required};
use throughline_inspector_api::{Span, Trace};

const DELAYS_MS: [(u64, u64); 5] = [(0, 0), (20, 20), (100, 20), (20, 100), (300, 50)];
const CLOCK_SKEWS_S: [i64; 3] = [0, 3, -3600];
const REQUESTS: usize = 20;
/// The number of attempts: a busy machine delays packets temporarily, an error in the measurement persists. So a wrong
/// median is measured again.
const TRIES: usize = 3;
/// The tolerance of the median of the measured totals.
const TOTAL_TOLERANCE_MS: f64 = 3.0;
/// The error of the test's own measurement of the page's clock: `Date.now()` has a resolution of milliseconds.
const TRUTH_TOLERANCE_MS: f64 = 0.25;

/// The measurements of one traced request.
struct Measured {
    total_ms: f64,
    uplink_ms: f64,
    error_ms: f64,
    true_uplink_ms: f64,
    method: String,
}

fn ms(span: &Span, key: &str) -> f64 {
    span.number(&format!("throughline.{key}"))
}

/// Returns the offset of the page's clock from the machine's, in milliseconds. `Date.now()` is rounded down to
/// milliseconds, so the difference is the offset plus 0 to 1; the largest of many is the offset plus 1, because a pause
/// between the two readings only makes the difference smaller.
async fn page_clock_skew_ms(browser: &Browser) -> anyhow::Result<f64> {
    let script = "let most = -Infinity; const end = performance.now() + 60; \
                  while (performance.now() < end) { \
                      most = Math.max(most, performance.timeOrigin + performance.now() - Date.now()); \
                  } return most - 1;";
    browser.eval(script).await?.as_f64().context("not a number")
}

fn pairs(trace: &Trace) -> Vec<(&Span, &Span)> {
    let fetches = trace.spans.iter().filter(|span| span.has("throughline.network.total_ms"));
    fetches
        .filter_map(|fetch| {
            let server = trace.spans.iter().find(|span| span.parent_span_id.as_deref() == Some(&fetch.span_id))?;
            Some((fetch, server))
        })
        .collect()
}

/// Checks that the aligned server span is within the fetch span.
fn is_inside(fetch: &Span, server: &Span, trace: &Trace) {
    let at = |span: &Span| i128::from(span.start_ns) + i128::from(span.align_ns);
    let end = |span: &Span| at(span) + i128::from(span.duration_ns);
    assert!(
        at(server) >= at(fetch) && end(server) <= end(fetch),
        "{} is not within its parent in\n{}",
        server.name,
        outline(trace)
    );
    assert!(server.warnings.is_empty() && fetch.warnings.is_empty(), "{}", outline(trace));
}

async fn send_likes(browser: &Browser) -> anyhow::Result<()> {
    let count = "document.querySelectorAll('.dock-line').length";
    for n in 0..REQUESTS {
        let pressed = browser.eval("return document.querySelector('button.like').getAttribute('aria-pressed')").await?;
        browser
            .eval(
                "window.__lines = new Set([...document.querySelectorAll('.dock-line a')].map(a => a.href)); \
                   document.querySelector('button.like').click()",
            )
            .await?;
        // A new line in the dock: the request has ended and its timing is known.
        browser
            .until("[...document.querySelectorAll('.dock-line a')].some(a => !window.__lines.has(a.href))")
            .await
            .with_context(|| format!("request {n}, pressed {pressed}, {count}"))?;
    }
    Ok(())
}

/// Returns a row of the table, and the error of the median of the measured totals in milliseconds.
async fn measure(up_ms: u64, down_ms: u64, clock_skew_s: i64) -> anyhow::Result<(String, f64)> {
    let mut options = ServerOptions::default();
    if clock_skew_s != 0 {
        options.clock_skew = Some((clock_skew_s, required("THROUGHLINE_E2E_FAKETIME")?));
    }
    let site = Site::start(&options)?;
    let proxy = DelayProxy::start(site.server.addr(), Duration::from_millis(up_ms), Duration::from_millis(down_ms))?;
    let browser = Browser::start().await?;
    browser.driver.goto(format!("http://{}/", proxy.addr())).await?;
    browser.until("document.querySelector('button.like')").await?;
    let page_off_ms = page_clock_skew_ms(&browser).await?;
    send_likes(&browser).await?;

    let mut measured = Vec::new();
    let found = throughline_e2e::eventually(async || {
        let traces = site.api.traces().await.ok()?;
        let actions: Vec<_> = traces.into_iter().filter(|t| t.has_root && t.root_name.ends_with("ike")).collect();
        (actions.len() >= REQUESTS).then_some(actions)
    })
    .await
    .context("the traces have not arrived")?;
    browser.quit().await?;
    let true_offset_ms = clock_skew_s as f64 * 1e3 - page_off_ms;
    for summary in found {
        let trace = site.api.trace_when(&summary.trace_id, |trace| !pairs(trace).is_empty()).await?;
        let [(fetch, server)] = pairs(&trace)[..] else {
            anyhow::bail!("expected one request in\n{}", outline(&trace))
        };
        is_inside(fetch, server, &trace);
        for attribute in fetch.attributes.iter().filter(|a| a.key.starts_with("throughline.phase.")) {
            assert!(fetch.number(&attribute.key) >= 0.0, "{attribute:?}");
        }
        assert_eq!(fetch.text("throughline.network.quality"), "fine");
        measured.push(Measured {
            total_ms: ms(fetch, "network.total_ms"),
            uplink_ms: ms(fetch, "network.uplink_ms"),
            error_ms: ms(fetch, "network.error_ms"),
            // The request was sent at t1 and received at t2, by a clock whose offset is known here.
            true_uplink_ms: ms(fetch, "network.uplink_ms") + ms(fetch, "clock.offset_ms") - true_offset_ms,
            method: fetch.text("throughline.network.method").to_owned(),
        });
    }

    measured.sort_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
    let median = measured[measured.len() / 2].total_ms;
    let truth = (up_ms + down_ms) as f64;
    let mut table = String::new();
    let widest = measured.iter().map(|m| m.error_ms).fold(0.0, f64::max);
    let worst = measured.iter().map(|m| (m.true_uplink_ms - m.uplink_ms).abs()).fold(0.0, f64::max);
    let narrowest = measured.iter().map(|m| m.error_ms).fold(f64::INFINITY, f64::min);
    write!(
        table,
        "| {up_ms} / {down_ms} | {clock_skew_s:+} s | {truth} | {median:.2} | {:+.2} | ±{narrowest:.1}…{widest:.1} | {worst:.1} |",
        median - truth
    )?;
    println!("{table}");
    for m in &measured {
        assert!(
            (m.true_uplink_ms - m.uplink_ms).abs() <= m.error_ms + TRUTH_TOLERANCE_MS,
            "true uplink {:.3}, reported {:.3} ± {:.3} ({})",
            m.true_uplink_ms,
            m.uplink_ms,
            m.error_ms,
            m.method
        );
        // No request can be faster than the proxy's delay.
        assert!(m.true_uplink_ms >= up_ms as f64 - TRUTH_TOLERANCE_MS, "{:.3} < {up_ms}", m.true_uplink_ms);
    }
    Ok((table, (median - truth).abs()))
}

#[tokio::test]
async fn the_network_is_measured_correctly_despite_clock_skew() -> anyhow::Result<()> {
    let mut tables = Vec::new();
    for clock_skew_s in CLOCK_SKEWS_S {
        for (up_ms, down_ms) in DELAYS_MS {
            let mut tries = 0;
            let table = loop {
                let (table, off_ms) = measure(up_ms, down_ms, clock_skew_s)
                    .await
                    .with_context(|| format!("up {up_ms} ms, down {down_ms} ms, clock {clock_skew_s:+} s"))?;
                tries += 1;
                if off_ms <= TOTAL_TOLERANCE_MS {
                    break table;
                }
                assert!(tries < TRIES, "wrong by {off_ms:.2} ms after {TRIES} attempts: {table}");
            };
            tables.push(table);
        }
    }
    println!(
        "| up / down, ms | server clock | true total, ms | median of {REQUESTS}, ms | difference, ms | reported ± of uplink, ms | \
         worst true error of uplink, ms |\n| --- | --- | --- | --- | --- | --- | --- |\n{}",
        tables.join("\n")
    );
    Ok(())
}
