//! What the end-to-end tests share: a server, a Chromium, and the server's own API to look at what came of it.

pub mod api;
mod browser;
mod foreign;
mod other_browser;
mod relay;
mod trace;

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
pub use foreign::{Foreign, Seen};
pub use other_browser::{Engine, OtherBrowser};
pub use relay::Relay;
pub use trace::TraceExt;

/// More log records than this no test makes.
const MAX_LOG_RECORDS: usize = 10_000;

/// Tells one [`Site::caught_up`] from another.
static MARKS: AtomicUsize = AtomicUsize::new(0);

/// The server under test and its data.
#[derive(Debug)]
pub struct Site {
    /// The process.
    pub server: ServerProcess,
    /// Its API.
    pub api: Api,
    data: TempDir,
}

impl Site {
    /// Starts the server that `THROUGHLINE_E2E_BIN` names.
    ///
    /// # Errors
    /// The variable is not set, or the server does not start.
    pub fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        // The client is built without TLS of its own choosing; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = required("THROUGHLINE_E2E_BIN")?;
        let data = TempDir::new()?;
        let server = ServerProcess::start(&binary, data.path(), options)?;
        let api = Api::new(server.base())?;
        Ok(Self { server, api, data })
    }

    /// Where its data is.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Ends the server as an operator would; the site is down until [`Site::come_back`].
    ///
    /// # Errors
    /// It cannot be asked to end.
    pub fn go_down(&mut self) -> anyhow::Result<()> {
        self.server.stop()?;
        Ok(())
    }

    /// Starts another server with the same data, on another port.
    ///
    /// # Errors
    /// It does not start.
    pub fn come_back(&mut self, options: &ServerOptions) -> anyhow::Result<()> {
        self.server = ServerProcess::start(&required("THROUGHLINE_E2E_BIN")?, self.data.path(), options)?;
        self.api = Api::new(self.server.base())?;
        Ok(())
    }

    /// All log records that the server has, those without a trace too, which its API does not tell.
    ///
    /// # Errors
    /// Its file cannot be read.
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

    /// The first log record for which `is` holds, once it is there. `what` it is becomes part of the error.
    ///
    /// # Errors
    /// It never is.
    pub async fn log_record(&self, what: &str, is: impl Fn(&LogRecord) -> bool) -> anyhow::Result<LogRecord> {
        let mut names = Vec::new();
        let found = eventually(async || {
            let records = self.log_records().await.ok()?;
            names = records.iter().map(|record| record.event_name.clone()).collect();
            records.into_iter().find(|record| is(record))
        });
        found.await.with_context(|| format!("no log record with {what}; there are {names:?}"))
    }

    /// All that the server has been told, as a text to look for what must not be there.
    ///
    /// # Errors
    /// As [`Api::all`] and [`Site::log_records`].
    pub async fn everything(&self) -> anyhow::Result<String> {
        Ok(format!("{:#?}\n{:#?}", self.api.all().await?, self.log_records().await?))
    }

    /// Waits until all has arrived that the page had to say so far, so that what has not will not.
    ///
    /// Spans arrive in the order in which they end, and events in that in which they happen: a request and an error of this
    /// very page come last. Of the server's own spans, which come by another way, it says nothing.
    ///
    /// # Errors
    /// They do not arrive.
    pub async fn caught_up(&self, browser: &Browser) -> anyhow::Result<()> {
        let mark = format!("caught-up={}", MARKS.fetch_add(1, Ordering::Relaxed));
        let script = "const mark = arguments[0]; __throw(mark); return fetch('/livez?' + mark).then(r => r.text());";
        browser.eval_with(script, vec![mark.as_str().into()]).await?;
        self.api
            .trace_where(&mark, |trace| trace.spans.iter().any(|span| span.text_ends_with("url.full", &mark)))
            .await?;
        self.log_record(&mark, |record| record.says("exception.message", |message| message.ends_with(&mark))).await?;
        Ok(())
    }
}

/// What tests ask of log records as they lie in the server's file.
pub trait RecordExt {
    /// Whether the attribute is there, and is a text for which `is` holds.
    fn says(&self, key: &str, is: impl Fn(&str) -> bool) -> bool;
    /// An attribute's text, if it is there and a text.
    fn said(&self, key: &str) -> Option<&str>;
}

impl RecordExt for LogRecord {
    fn says(&self, key: &str, is: impl Fn(&str) -> bool) -> bool {
        self.said(key).is_some_and(is)
    }

    fn said(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.value.as_str()
    }
}

/// A path that `cargo xtask test` puts into the environment.
///
/// # Errors
/// It is not there: a test that cannot run fails, it does not pass.
pub fn required(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; run the end-to-end tests with `cargo xtask test`"))
}
