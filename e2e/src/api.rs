//! The server's API, as a program uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use throughline_inspector_api::{Attribute, AttributeValue, Event, LogRecord, Span, Trace, TraceList, TraceSummary};

/// How long something may take to come true on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A client of the server.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// For the server at `base`, such as `http://127.0.0.1:3000`.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(base: String) -> anyhow::Result<Self> {
        Ok(Self { base, client: reqwest::Client::builder().no_proxy().build()? })
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    /// Anything but 200 with that JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await?;
        let status = response.status();
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {}", response.text().await?);
        }
        response.json().await.with_context(|| format!("GET {path}"))
    }

    /// The text at `path`.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.client.get(format!("{}{path}", self.base)).send().await?.error_for_status()?.text().await?)
    }

    /// The newest traces.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn traces(&self) -> anyhow::Result<Vec<TraceSummary>> {
        Ok(self.get::<TraceList>("/api/traces?limit=200").await?.traces)
    }

    /// A trace, once `complete` says that all of it has arrived.
    ///
    /// # Errors
    /// It never is; what has arrived is part of the error.
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
        found.with_context(|| format!("trace {trace_id} stays incomplete:\n{}", last.unwrap_or_default()))
    }

    /// The newest trace whose root has this name, once it is there.
    ///
    /// # Errors
    /// It never is.
    pub async fn trace_named(&self, root_name: &str) -> anyhow::Result<TraceSummary> {
        let mut names = Vec::new();
        let found = eventually(async || {
            let traces = self.traces().await.ok()?;
            names = traces.iter().map(|trace| trace.root_name.clone()).collect();
            traces.into_iter().find(|trace| trace.has_root && trace.root_name == root_name)
        })
        .await;
        found.with_context(|| format!("no trace `{root_name}`; there are {names:?}"))
    }

    /// All of the newest traces, span by span.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn all(&self) -> anyhow::Result<Vec<Trace>> {
        let mut all = Vec::new();
        for summary in self.traces().await? {
            all.push(self.get(&format!("/api/traces/{}", summary.trace_id)).await?);
        }
        Ok(all)
    }

    /// The newest trace for which `is` holds, once there is one. `what` it is becomes part of the error.
    ///
    /// # Errors
    /// There never is; what there is instead is part of the error.
    pub async fn trace_where(&self, what: &str, is: impl Fn(&Trace) -> bool) -> anyhow::Result<Trace> {
        let mut there = Vec::new();
        let found = eventually(async || {
            there = self.all().await.ok()?;
            there.iter().find(|trace| is(trace)).cloned()
        });
        match found.await {
            Some(trace) => Ok(trace),
            None => {
                let outlines: Vec<_> = there.iter().map(outline).collect();
                bail!("no trace with {what}; there are\n{}", outlines.join("\n"))
            }
        }
    }

    /// All spans for which `is` holds, of whatever trace.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn spans(&self, is: impl Fn(&Span) -> bool) -> anyhow::Result<Vec<Span>> {
        let all = self.all().await?;
        Ok(all.into_iter().flat_map(|trace| trace.spans).filter(|span| is(span)).collect())
    }
}

/// Asks again until there is an answer.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if begin.elapsed() > TIMEOUT {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A trace as a person would note it, one span a line.
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

/// What tests ask of spans, events and log records.
pub trait SpanExt {
    /// What it is called.
    fn called(&self) -> &str;
    /// Its attributes.
    fn attributes(&self) -> &[Attribute];

    /// An attribute's value, if it is there.
    fn value(&self, key: &str) -> Option<&AttributeValue> {
        self.attributes().iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    /// An attribute's text; panics if it is not there or no text.
    fn text(&self, key: &str) -> &str {
        match self.value(key) {
            Some(AttributeValue::String(text)) => text,
            other => panic!("{} has no text {key}: {other:?}; it has {:#?}", self.called(), self.attributes()),
        }
    }

    /// An attribute's texts; panics if it is not there or no list of texts.
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
        panic!("{} has no texts {key}: {other:?}; it has {:#?}", self.called(), self.attributes())
    }

    /// An attribute's number; panics if it is not there or no number.
    fn number(&self, key: &str) -> f64 {
        match self.value(key) {
            Some(AttributeValue::Double(number)) => *number,
            Some(AttributeValue::Int(number)) => *number as f64,
            other => panic!("{} has no number {key}: {other:?}; it has {:#?}", self.called(), self.attributes()),
        }
    }

    /// Whether the attribute is there.
    fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Whether the attribute is there and is this text.
    fn is(&self, key: &str, text: &str) -> bool {
        matches!(self.value(key), Some(AttributeValue::String(value)) if value == text)
    }

    /// Whether the attribute is there and is a text with this end.
    fn text_ends_with(&self, key: &str, end: &str) -> bool {
        matches!(self.value(key), Some(AttributeValue::String(value)) if value.ends_with(end))
    }
}

impl SpanExt for Span {
    fn called(&self) -> &str {
        &self.name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

impl SpanExt for Event {
    fn called(&self) -> &str {
        &self.name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

impl SpanExt for LogRecord {
    fn called(&self) -> &str {
        &self.event_name
    }

    fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}
