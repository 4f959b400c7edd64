//! The benchmark's page in Chromium, and what the browser says about it.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use throughline_e2e::Browser;

use crate::stub::Stub;

/// A tracer, or none, that a page can load.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    /// The name of the entry file, `ours` or `untraced`.
    pub(crate) name: &'static str,
    /// What a person calls it.
    pub(crate) title: &'static str,
}

/// No tracer.
pub(crate) const UNTRACED: Variant = Variant { name: "untraced", title: "untraced" };
/// The tracer of this workspace.
pub(crate) const OURS: Variant = Variant { name: "ours", title: "**throughline-browser**" };
/// The tracer that every tracer is compared with.
pub(crate) const OTEL: Variant = Variant { name: "otel", title: "OpenTelemetry JS" };
/// The smallest of the others.
pub(crate) const DASH0: Variant = Variant { name: "dash0", title: "Dash0" };
/// Those that make a span of every request, wherever it is made.
pub(crate) const OTHERS: [Variant; 4] = [
    Variant { name: "otel-zone", title: "OpenTelemetry JS, zone.js" },
    Variant { name: "browser-sdk", title: "OpenTelemetry browser-sdk" },
    Variant { name: "honeycomb", title: "Honeycomb" },
    Variant { name: "faro", title: "Grafana Faro" },
];
/// Those that make spans of requests within a transaction of theirs, or none.
pub(crate) const OTHERS_AT_START: [Variant; 2] =
    [Variant { name: "sentry", title: "Sentry" }, Variant { name: "datadog", title: "Datadog RUM" }];

/// How long loading and starting a tracer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// From the request for the module until it has run, milliseconds.
    pub(crate) load_ms: f64,
    /// The call that starts the tracer, milliseconds.
    pub(crate) start_ms: f64,
}

/// What Chromium counts of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics {
    /// Time in all tasks of the main thread, milliseconds of its processor time.
    pub(crate) task_ms: f64,
    /// The part of it in which JavaScript and WASM ran.
    pub(crate) script_ms: f64,
    /// JavaScript's heap, bytes.
    pub(crate) heap_bytes: u64,
}

/// Starts Chromium and has it count the main thread's own time: other processes do not change that.
pub(crate) async fn browser() -> Result<Browser> {
    let browser = Browser::start().await?;
    browser.cdp("Performance.enable", json!({ "timeDomain": "threadTicks" })).await?;
    browser.cdp("HeapProfiler.enable", json!({})).await?;
    Ok(browser)
}

/// Opens a fresh page and starts `variant` in it.
pub(crate) async fn open(browser: &Browser, stub: &Stub, variant: Variant) -> Result<Loaded> {
    browser.driver.goto(format!("{}/bench.html", stub.base)).await?;
    browser.until("window.bench").await?;
    let loaded = browser.eval(&format!("return bench.load('{}')", variant.name)).await?;
    let number =
        |name: &str| loaded[name].as_f64().with_context(|| format!("{} has no {name}: {loaded}", variant.name));
    Ok(Loaded { load_ms: number("load_ms")?, start_ms: number("start_ms")? })
}

/// What Chromium has counted since the page began.
pub(crate) async fn metrics(browser: &Browser) -> Result<Metrics> {
    let answer = browser.cdp("Performance.getMetrics", json!({})).await?;
    let all: HashMap<&str, f64> = answer["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|metric| Some((metric["name"].as_str()?, metric["value"].as_f64()?)))
        .collect();
    let get = |name: &str| all.get(name).copied().with_context(|| format!("Chromium does not count {name}"));
    Ok(Metrics {
        task_ms: get("TaskDuration")? * 1e3,
        script_ms: get("ScriptDuration")? * 1e3,
        heap_bytes: get("JSHeapUsedSize")? as u64,
    })
}

/// Lets the page forget what it no longer needs, so that this happens at no other time.
pub(crate) async fn collect_garbage(browser: &Browser) -> Result<()> {
    browser.cdp("HeapProfiler.collectGarbage", json!({})).await?;
    Ok(())
}

/// Has the page call `call` of `window.bench` and wait for what it promised.
pub(crate) async fn call(browser: &Browser, call: &str) -> Result<Value> {
    browser.eval(&format!("return bench.{call}")).await.with_context(|| format!("bench.{call}"))
}
