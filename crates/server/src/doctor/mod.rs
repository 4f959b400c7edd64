//! `throughline doctor` checks every step of the pipeline, and prints each fault with help. It does not change the data directory.

mod data;
mod origins;
mod server;
mod upstream;

use std::time::Duration;

use anyhow::Context as _;
use reqwest::blocking::Client;
use throughline_self_check::{Finding, Outcome, Report, self_check};

use secrecy::ExposeSecret as _;
use throughline_inspector_server::Access;

use crate::{settings::Settings, telemetry};
use server::Server;

/// The timeout of each request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs all checks, prints the results as a table, and returns the worst outcome.
///
/// The checks use the server that runs with these settings. If no server is running, one is started for the check, with a temporary data
/// directory and without sinks.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<Outcome> {
    let mut report = Report::default();
    report.push(Finding::good(
        "settings",
        format!(
            "pages are served on {}, the OTLP/HTTP receiver is on {}",
            settings.listen, settings.receivers.otlp_listen
        ),
    ));
    report.push(data::check(&settings.data_dir));
    let client = Client::builder().timeout(TIMEOUT).no_proxy().tls_certs_only([]).build()?;
    match Server::find_or_start(settings) {
        Ok(server) => {
            report.push(server.describe());
            send_span(settings, &server, &client, &mut report)?;
            report.findings.extend(origins::check(&client, &server, &settings.allowed_origins));
        }
        Err(error) => {
            report.push(Finding::bad(
                "server",
                format!("the server does not start: {error:#}"),
                "see its output above",
            ));
        }
    }
    report.findings.extend(upstream::check(settings));
    print!("{}", report.table());
    Ok(report.outcome())
}

/// Sends a span from this process to the OTLP/HTTP receiver, and reads it from the store through the inspector's API.
fn send_span(settings: &Settings, server: &Server, client: &Client, report: &mut Report) -> anyhow::Result<()> {
    // Log lines would appear between the lines of the table.
    let quiet = Settings { log: "off".to_owned(), ..settings.clone() };
    let provider = telemetry::start(&quiet, "doctor", server.receiver).context("cannot set up tracing")?;
    let own = self_check(|| provider.force_flush());
    let is_sent = own.outcome() != Outcome::Bad;
    report.findings.extend(own.findings);
    if let Some(trace_id) = own.trace_id.filter(|_| is_sent) {
        report.push(read_back(settings, server, client, &trace_id));
    }
    // best effort: the span has been flushed, and the report has the result.
    let _ = provider.shutdown();
    Ok(())
}

fn read_back(settings: &Settings, server: &Server, client: &Client, trace_id: &str) -> Finding {
    const CHECK: &str = "store";
    let mut request = client.get(format!("http://{}{}/api/traces/{trace_id}", server.pages, settings.base_path));
    if let Access::Token(token) = &settings.access
        && !server.is_ours
    {
        request = request.bearer_auth(token.expose_secret());
    }
    match request.send() {
        Ok(response) if response.status().is_success() => Finding::good(CHECK, "the span was read back"),
        Ok(response) if response.status() == reqwest::StatusCode::UNAUTHORIZED => Finding::doubtful(
            CHECK,
            "the receiver accepted the span, but the inspector requires an access token to read it",
            "set THROUGHLINE_ACCESS_TOKEN to the access token of the running server",
        ),
        Ok(response) => Finding::bad(
            CHECK,
            format!("the span cannot be read ({})", response.status()),
            "look for errors of the store in the server's log",
        ),
        Err(error) => Finding::bad(
            CHECK,
            format!("the inspector does not respond: {error}"),
            "check whether the server is still running",
        ),
    }
}
