//! A fresh application (`fresh-app/`), which adds Throughline in three lines on the server and one in the page.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use tempfile::TempDir;
use throughline_e2e::{Api, Browser, SpanExt, TraceExt, required};
use throughline_inspector_api::{Span, SpanKind, Trace};

/// The running application. It is killed when dropped.
struct App {
    child: Child,
    base: String,
}

impl App {
    /// Starts the program of `THROUGHLINE_E2E_BIN` in the folder of `THROUGHLINE_E2E_FRESH_APP`, configured by environment
    /// variables, and waits until it prints its address.
    fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(required("THROUGHLINE_E2E_BIN")?)
            .current_dir(required("THROUGHLINE_E2E_FRESH_APP")?)
            .env_clear()
            .env("NOTES_LISTEN", "127.0.0.1:0")
            .env("OTEL_SERVICE_NAME", "notes")
            .env("THROUGHLINE_DATA_DIR", data_dir)
            .env("THROUGHLINE_OTLP_LISTEN", "127.0.0.1:0")
            .env("THROUGHLINE_GRPC_LISTEN", "off")
            // The application is served without connect info; otherwise every client would need the token.
            .env("THROUGHLINE_INSPECTOR_ACCESS", "open")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the application")?;
        let stdout = child.stdout.take().context("standard output is not piped")?;
        let mut app = Self { child, base: String::new() };
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        app.base = lines
            .into_iter()
            .find(|line| line.starts_with("http://"))
            .context("the application exited before it printed its address")?;
        Ok(app)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // best effort: both fail only if it has exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the page's span of the request for the note, and its child on the server.
fn fetched_and_served(trace: &Trace) -> Option<(&Span, &Span)> {
    let served = trace.spans.iter().find(|span| span.kind == SpanKind::Server && span.name == "GET /notes/{id}")?;
    let fetched = trace.spans.iter().find(|span| served.parent_span_id.as_deref() == Some(&span.span_id))?;
    Some((fetched, served))
}

#[tokio::test]
async fn a_fresh_application_has_one_trace_from_the_page_to_the_server() -> anyhow::Result<()> {
    // The HTTP client has no default TLS provider; a second call has no effect.
    drop(rustls::crypto::ring::default_provider().install_default());
    let data = TempDir::new()?;
    let app = App::start(data.path())?;
    let api = Api::new(app.base.clone())?;
    let browser = Browser::start().await?;
    browser.driver.goto(&app.base).await?;
    browser.until("document.querySelector('button')").await?;
    browser.click("button").await?;
    browser.until("document.querySelector('output').textContent === 'note 1'").await?;

    let trace = api.trace_where("the note", |trace| fetched_and_served(trace).is_some()).await?;
    let (fetched, served) = fetched_and_served(&trace).context("the trace has no server span")?;
    assert_eq!((fetched.service.as_str(), fetched.kind), ("notes-web", SpanKind::Client));
    assert!(fetched.text("url.full").ends_with("/notes/1"), "{fetched:#?}");
    assert_eq!(served.service, "notes");
    // The trace starts in the page, so the root is a span of the page.
    let with_root =
        api.trace_when(&trace.trace_id, |trace| trace.spans.iter().any(|span| span.parent_span_id.is_none()));
    assert_eq!(with_root.await?.root().service, "notes-web");
    // The inspector is on the same port.
    assert!(api.text("/traces").await?.contains("<html"));
    Ok(())
}
