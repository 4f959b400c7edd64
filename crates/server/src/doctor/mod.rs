//! `throughline doctor`: checks the whole chain, link by link, and prints how to mend what is wrong. It changes nothing in the data
//! directory.

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

/// Checks everything, prints a table, and returns whether traces arrive.
///
/// A server that runs with these settings is used. If there is none, one is started for the check, with a data directory of its own and
/// without sinks.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<Outcome> {
    let mut report = Report::default();
    report.push(Finding::good(
        "settings",
        format!("pages on {}, OTLP/HTTP receiver on {}", settings.listen, settings.receivers.otlp_listen),
    ));
    report.push(data::check(&settings.data_dir));
    let client = Client::builder().timeout(TIMEOUT).no_proxy().tls_certs_only([]).build()?;
    match Server::find_or_start(settings) {
        Ok(server) => {
            report.push(server.describe());
            through(settings, &server, &client, &mut report)?;
            report.findings.extend(origins::check(&client, &server, &settings.allowed_origins));
        }
        Err(error) => {
            report.push(Finding::bad("server", format!("it does not start: {error:#}"), "see what it says above"));
        }
    }
    report.findings.extend(upstream::check(settings));
    print!("{}", report.table());
    Ok(report.outcome())
}

/// Sends one span from this process to the OTLP/HTTP receiver, and reads it back from the store by the inspector's API.
fn through(settings: &Settings, server: &Server, client: &Client, report: &mut Report) -> anyhow::Result<()> {
    // Log lines would be printed between the lines of the table.
    let quiet = Settings { log: "off".to_owned(), ..settings.clone() };
    let provider = telemetry::start(&quiet, "doctor", server.receiver).context("tracing cannot be set up")?;
    let own = self_check(|| provider.force_flush());
    let came = own.outcome() != Outcome::Bad;
    report.findings.extend(own.findings);
    if let Some(trace_id) = own.trace_id.filter(|_| came) {
        report.push(read_back(settings, server, client, &trace_id));
    }
    // best effort: the span of the check has been flushed, and the result of that is in the report.
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
            "the receiver accepted the span; the inspector needs a token to show it",
            "give the running server's token as THROUGHLINE_ACCESS_TOKEN",
        ),
        Ok(response) => Finding::bad(
            CHECK,
            format!("the span cannot be read back ({})", response.status()),
            "see the server's log for errors of the store",
        ),
        Err(error) => {
            Finding::bad(CHECK, format!("the inspector does not answer: {error}"), "see whether the server still runs")
        }
    }
}
