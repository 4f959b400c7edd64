//! A client of the server's HTTP API.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use throughline_inspector_api::{Attribute, AttributeValue, Event, LogRecord, Span, Trace, TraceList, TraceSummary};

/// The timeout for a condition to become true, long enough for a slow machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A client of the server.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// Creates a client of the server at `base`, such as `http://127.0.0.1:3000`.
    ///
    /// # Errors
    /// Returns an error if the HTTP client cannot be created.
    pub fn new(base: String) -> anyhow::Result<Self> {
        Ok(Self { base, client: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Requests `path` and returns its JSON.
    ///
    /// # Errors
    /// Returns an error unless the response is 200 with JSON of this type.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await?;
        let status = response.status();
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {}", response.text().await?);
        }
        response.json().await.with_context(|| format!("GET {path}"))
    }

    /// Requests `path` and returns its text.
    ///
    /// # Errors
    /// Returns an error if the request fails or the status is an error.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.client.get(format!("{}{path}", self.base)).send().await?.error_for_status()?.text().await?)
    }

    /// Returns the newest traces.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Api::get`].
    pub async fn traces(&self) -> anyhow::Result<Vec<TraceSummary>> {
        Ok(self.get::<TraceList>("/api/traces?limit=200").await?.traces)
    }

    /// Waits until `complete` returns true for a trace, and returns it.
    ///
    /// # Errors
    /// Returns an error with the spans that have arrived if this times out.
    pub async fn trace_when(&self, trace_id: &str, complete: impl Fn(&Trace) -> bool) -> anyhow::Result<Trace> {
        let path = format!("/api/traces/{trace_id}");
        let mut last = None;
        let found = eventually(async || {
            let Ok(trace) = self.get::<Trace>(&path).await else { return None };
            if complete(&trace) {
                return Some(trace);
            }
            last = Some(outline(&trace));
            None
        })
        .await;
        found.with_context(|| format!("trace {trace_id} is incomplete:\n{}", last.unwrap_or_default()))
    }

    /// Waits for a trace whose root has this name, and returns the newest one.
    ///
    /// # Errors
    /// Returns an error if this times out.
    pub async fn trace_named(&self, root_name: &str) -> anyhow::Result<TraceSummary> {
        let mut names = Vec::new();
        let found = eventually(async || {
            let traces = self.traces().await.ok()?;
            names = traces.iter().map(|trace| trace.root_name.clone()).collect();
            traces.into_iter().find(|trace| trace.has_root && trace.root_name == root_name)
        })
        .await;
        found.with_context(|| format!("no trace has the root `{root_name}`; the roots are {names:?}"))
    }

    /// Returns the newest traces with all their spans.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Api::get`].
    pub async fn all(&self) -> anyhow::Result<Vec<Trace>> {
        let mut all = Vec::new();
        for summary in self.traces().await? {
            all.push(self.get(&format!("/api/traces/{}", summary.trace_id)).await?);
        }
        Ok(all)
    }

    /// Waits for a trace that matches `is`, and returns the newest one. `what` describes it in the error.
    ///
    /// # Errors
    /// Returns an error with all traces if this times out.
    pub async fn trace_where(&self, what: &str, is: impl Fn(&Trace) -> bool) -> anyhow::Result<Trace> {
        let mut traces = Vec::new();
        let found = eventually(async || {
            traces = self.all().await.ok()?;
            traces.iter().find(|trace| is(trace)).cloned()
        });
        match found.await {
            Some(trace) => Ok(trace),
            None => {
                let outlines: Vec<_> = traces.iter().map(outline).collect();
                bail!("no trace with {what}; the traces are\n{}", outlines.join("\n"))
            }
        }
    }

    /// Returns all spans of the newest traces that match `is`.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Api::get`].
    pub async fn spans(&self, is: impl Fn(&Span) -> bool) -> anyhow::Result<Vec<Span>> {
        let all = self.all().await?;
        Ok(all.into_iter().flat_map(|trace| trace.spans).filter(|span| is(span)).collect())
    }
}

/// Calls `probe` until it returns a value; `None` if this times out.
pub async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return Some(found);
        }
        if begin.elapsed() > TIMEOUT {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Formats a trace for error messages, one span per line.
#[must_use]
pub fn outline(trace: &Trace) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for span in &trace.spans {
        let parent = span.parent_span_id.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{} <- {parent:16} {:?} {} {:?} {:.3} ms{}",
            span.span_id,
            span.kind,
            span.service,
            span.name,
            span.duration_ns as f64 / 1e6,
            if span.warnings.is_empty() { String::new() } else { format!(" {:?}", span.warnings) }
        );
    }
    for log in &trace.logs {
        let span = log.span_id.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{:16} in {span:16} {} {:?} {:?}", "", log.severity, log.service, log.event_name);
    }
    text
}

/// Accessors for spans, events and log records.
pub trait SpanExt {
    /// Returns the name that panics show.
    fn display_name(&self) -> &str;
    /// Returns its attributes.
    fn attributes(&self) -> &[Attribute];

    /// Returns an attribute's value, if it exists.
    fn value(&self, key: &str) -> Option<&AttributeValue> {
        self.attributes().iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    /// Returns a string attribute; panics if it does not exist or has another type.
    fn text(&self, key: &str) -> &str {
        match self.value(key) {
            Some(AttributeValue::String(text)) => text,
            other => panic!(
                "{}: {key} is not a string: {other:?}; the attributes are {:#?}",
                self.display_name(),
                self.attributes()
            ),
        }
    }

    /// Returns an attribute that is an array of strings; panics if it does not exist or has another type.
    fn texts(&self, key: &str) -> Vec<&str> {
        let other = match self.value(key) {
            Some(AttributeValue::Array(values)) => {
                let texts = values.iter().map(|value| match value {
                    AttributeValue::String(text) => Some(text.as_str()),
                    _ => None,
                });
                match texts.collect() {
                    Some(texts) => return texts,
                    None => self.value(key),
                }
            }
            other => other,
        };
        panic!(
            "{}: {key} is not an array of strings: {other:?}; the attributes are {:#?}",
            self.display_name(),
            self.attributes()
        )
    }

    /// Returns a numeric attribute; panics if it does not exist or has another type.
    fn number(&self, key: &str) -> f64 {
        match self.value(key) {
            Some(AttributeValue::Double(number)) => *number,
            Some(AttributeValue::Int(number)) => *number as f64,
            other => panic!(
                "{}: {key} is not a number: {other:?}; the attributes are {:#?}",
                self.display_name(),
                self.attributes()
            ),
        }
    }

    /// Returns whether the attribute exists.
    fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Returns whether the attribute is this string.
    fn is(&self, key: &str, text: &str) -> bool {
        matches!(self.value(key), Some(AttributeValue::String(value)) if value == text)
    }

    /// Returns whether the attribute is a string with this suffix.
    fn text_ends_with(&self, key: &str, end: &str) -> bool {
        matches!(self.value(key), Some(AttributeValue::String(value)) if value.ends_with(end))
    }
}

impl SpanExt for Span {
    fn display_name(&self) -> &str {
        &self.name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

impl SpanExt for Event {
    fn display_name(&self) -> &str {
        &self.name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

impl SpanExt for LogRecord {
    fn display_name(&self) -> &str {
        &self.event_name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}
