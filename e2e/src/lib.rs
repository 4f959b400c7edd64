//! Helpers for the end-to-end tests: a server, Chromium, and a client of the server's API.

pub mod api;
mod browser;
mod foreign;
mod other_browser;
mod relay;
mod trace;
mod webdriver;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Context;
use tempfile::TempDir;
use throughline_otlp::LogRecord;
use throughline_store::{SpanStore, Store};
pub use throughline_testkit::{DelayProxy, FakeHoneycomb, ServerOptions, ServerProcess};

pub use api::{Api, SpanExt, eventually, outline};
pub use browser::{Browser, Theme};
pub use foreign::{Foreign, ReceivedRequest};
pub use other_browser::{Engine, OtherBrowser};
pub use relay::Relay;
pub use trace::TraceExt;

/// A limit that is higher than the number of log records of any test.
const MAX_LOG_RECORDS: usize = 10_000;

/// The number of calls of [`Site::drain`], for unique marks.
static MARKS: AtomicUsize = AtomicUsize::new(0);

/// The server under test and its data directory.
#[derive(Debug)]
pub struct Site {
    /// The server process.
    pub server: ServerProcess,
    /// A client of its API.
    pub api: Api,
    data: TempDir,
}

impl Site {
    /// Starts the server of `THROUGHLINE_E2E_BIN`.
    ///
    /// # Errors
    /// Returns an error if the variable is not set or the server does not start.
    pub fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        // The HTTP client has no default TLS provider; a second call has no effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = required("THROUGHLINE_E2E_BIN")?;
        let data = TempDir::new()?;
        let server = ServerProcess::start(&binary, data.path(), options)?;
        let api = Api::new(server.base())?;
        Ok(Self { server, api, data })
    }

    /// Returns its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Stops the server (SIGTERM); it is down until [`Site::restart_server`].
    ///
    /// # Errors
    /// Returns an error if the signal cannot be sent.
    pub fn stop_server(&mut self) -> anyhow::Result<()> {
        self.server.stop()?;
        Ok(())
    }

    /// Starts the server again with the same data on another port.
    ///
    /// # Errors
    /// Returns an error if it does not start.
    pub fn restart_server(&mut self, options: &ServerOptions) -> anyhow::Result<()> {
        self.server = ServerProcess::start(&required("THROUGHLINE_E2E_BIN")?, self.data.path(), options)?;
        self.api = Api::new(self.server.base())?;
        Ok(())
    }

    /// Returns all stored log records, including those without a trace, which the API does not return.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub async fn log_records(&self) -> anyhow::Result<Vec<LogRecord>> {
        let store = Store::open(self.data_dir())?;
        let (mut records, mut cursor) = (Vec::new(), 0);
        loop {
            let more = store.logs_after(cursor, MAX_LOG_RECORDS).await?;
            let Some((last, _)) = more.last() else { break };
            cursor = *last;
            records.extend(more.into_iter().map(|(_, record)| record));
        }
        store.close().await;
        Ok(records)
    }

    /// Waits for a log record that matches `is`, and returns the first one. `what` describes it in the error.
    ///
    /// # Errors
    /// Returns an error if this times out.
    pub async fn log_record(&self, what: &str, is: impl Fn(&LogRecord) -> bool) -> anyhow::Result<LogRecord> {
        let mut names = Vec::new();
        let found = eventually(async || {
            let records = self.log_records().await.ok()?;
            names = records.iter().map(|record| record.event_name.clone()).collect();
            records.into_iter().find(|record| is(record))
        });
        found.await.with_context(|| format!("no log record with {what}; the records are {names:?}"))
    }

    /// Returns all stored records as one string, to search for values that must not be recorded.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Api::all`] and [`Site::log_records`].
    pub async fn all_records(&self) -> anyhow::Result<String> {
        Ok(format!("{:#?}\n{:#?}", self.api.all().await?, self.log_records().await?))
    }

    /// Waits until all records that the page has created so far have arrived.
    ///
    /// Spans arrive in the order in which they end, and events in the order in which they happen, so a request and an
    /// error of the page are sent and awaited as the last ones. The server's own spans are exported separately and are
    /// not awaited.
    ///
    /// # Errors
    /// Returns an error if this times out.
    pub async fn drain(&self, browser: &Browser) -> anyhow::Result<()> {
        let mark = format!("drain={}", MARKS.fetch_add(1, Ordering::Relaxed));
        let script = "const mark = arguments[0]; __throw(mark); return fetch('/livez?' + mark).then(r => r.text());";
        browser.eval_with(script, vec![mark.as_str().into()]).await?;
        self.api
            .trace_where(&mark, |trace| trace.spans.iter().any(|span| span.text_ends_with("url.full", &mark)))
            .await?;
        self.log_record(&mark, |record| record.text_matches("exception.message", |message| message.ends_with(&mark)))
            .await?;
        Ok(())
    }
}

/// Accessors for stored log records.
pub trait RecordExt {
    /// Returns whether the attribute is a string that matches `is`.
    fn text_matches(&self, key: &str, is: impl Fn(&str) -> bool) -> bool;
    /// Returns the attribute if it is a string.
    fn text_value(&self, key: &str) -> Option<&str>;
}

impl RecordExt for LogRecord {
    fn text_matches(&self, key: &str, is: impl Fn(&str) -> bool) -> bool {
        self.text_value(key).is_some_and(is)
    }

    fn text_value(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.value.as_str()
    }
}

/// Returns a path that `cargo xtask test` sets in the environment.
///
/// # Errors
/// Returns an error if the variable is not set: a test that cannot run must fail.
pub fn required(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; run the end-to-end tests with `cargo xtask test`"))
}
