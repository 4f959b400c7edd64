//! The benchmark's page in Chromium, and the browser's metrics of it.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use throughline_e2e::Browser;

use crate::stub::Stub;

/// A tracer that a page can load, or none.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    /// The name of the entry file, `ours` or `untraced`.
    pub(crate) name: &'static str,
    /// Its name in the tables.
    pub(crate) title: &'static str,
}

/// No tracer.
pub(crate) const UNTRACED: Variant = Variant { name: "untraced", title: "untraced" };
/// The tracer of this workspace.
pub(crate) const OURS: Variant = Variant { name: "ours", title: "**throughline-browser**" };
/// The tracer that all are compared with.
pub(crate) const OTEL: Variant = Variant { name: "otel", title: "OpenTelemetry JS" };
/// The smallest of the others.
pub(crate) const DASH0: Variant = Variant { name: "dash0", title: "Dash0" };
/// The other tracers that create a span for every request.
pub(crate) const OTHERS: [Variant; 4] = [
    Variant { name: "otel-zone", title: "OpenTelemetry JS, zone.js" },
    Variant { name: "browser-sdk", title: "OpenTelemetry browser-sdk" },
    Variant { name: "honeycomb", title: "Honeycomb" },
    Variant { name: "faro", title: "Grafana Faro" },
];
/// The other tracers that create spans only for requests within a transaction, or none.
pub(crate) const OTHERS_AT_START: [Variant; 2] =
    [Variant { name: "sentry", title: "Sentry" }, Variant { name: "datadog", title: "Datadog RUM" }];

/// The time for loading and starting a tracer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// The time from the request for the module until it has run, in milliseconds.
    pub(crate) load_ms: f64,
    /// The time of the call that starts the tracer, in milliseconds.
    pub(crate) start_ms: f64,
}

/// Chromium's metrics of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics {
    /// The main thread's CPU time in all tasks, in milliseconds.
    pub(crate) task_ms: f64,
    /// The part of it in JavaScript and WASM.
    pub(crate) script_ms: f64,
    /// The size of the JavaScript heap in bytes.
    pub(crate) heap_bytes: u64,
}

/// Starts Chromium with metrics in CPU time of the main thread, which other processes do not influence.
pub(crate) async fn browser() -> Result<Browser> {
    let browser = Browser::start().await?;
    browser.cdp("Performance.enable", json!({ "timeDomain": "threadTicks" })).await?;
    browser.cdp("HeapProfiler.enable", json!({})).await?;
    Ok(browser)
}

/// Opens a new page and starts `variant` in it.
pub(crate) async fn open(browser: &Browser, stub: &Stub, variant: Variant) -> Result<Loaded> {
    browser.driver.goto(format!("{}/bench.html", stub.base)).await?;
    browser.until("window.bench").await?;
    let loaded = browser.eval(&format!("return bench.load('{}')", variant.name)).await?;
    let number =
        |name: &str| loaded[name].as_f64().with_context(|| format!("{} has no {name}: {loaded}", variant.name));
    Ok(Loaded { load_ms: number("load_ms")?, start_ms: number("start_ms")? })
}

/// Returns Chromium's metrics since the start of the page.
pub(crate) async fn metrics(browser: &Browser) -> Result<Metrics> {
    let response = browser.cdp("Performance.getMetrics", json!({})).await?;
    let all: HashMap<&str, f64> = response["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|metric| Some((metric["name"].as_str()?, metric["value"].as_f64()?)))
        .collect();
    let get = |name: &str| all.get(name).copied().with_context(|| format!("Chromium has no metric {name}"));
    Ok(Metrics {
        task_ms: get("TaskDuration")? * 1e3,
        script_ms: get("ScriptDuration")? * 1e3,
        heap_bytes: get("JSHeapUsedSize")? as u64,
    })
}

/// Runs a garbage collection, so that none happens during a measurement.
pub(crate) async fn collect_garbage(browser: &Browser) -> Result<()> {
    browser.cdp("HeapProfiler.collectGarbage", json!({})).await?;
    Ok(())
}

/// Calls a function of `window.bench` in the page and awaits its promise.
pub(crate) async fn call(browser: &Browser, call: &str) -> Result<Value> {
    browser.eval(&format!("return bench.{call}")).await.with_context(|| format!("bench.{call}"))
}
