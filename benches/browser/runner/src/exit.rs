//! Telemetry that arrives from pages that are closed or left as soon as they have created spans.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;
use throughline_e2e::Browser;

use crate::{
    Outcome, page,
    stub::{Received, Stub},
};

/// The timeout for a page to create its spans and to be left.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The timeout for records that were sent at the end of a page.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The way in which a page ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The browser closes it.
    Close,
    /// The page navigates to another one.
    Navigate,
}

impl How {
    /// Returns the way in which this page ends; the two alternate.
    fn of(page: u64) -> Self {
        if page.is_multiple_of(2) { Self::Close } else { Self::Navigate }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Navigate => "navigate",
        }
    }
}

/// Opens `pages` pages in sequence, which are closed or left at once.
pub(crate) async fn measure(stub: &Stub, pages: u64) -> Result<Outcome> {
    let browser = page::browser().await?;
    for number in 0..pages {
        visit(&browser, stub, number).await.with_context(|| format!("page {number}"))?;
        if (number + 1).is_multiple_of(20) {
            eprintln!("{} of {pages} pages", number + 1);
        }
    }
    stub.until(ARRIVAL_TIMEOUT, |received| (0..pages).all(|page| is_whole(received, page))).await;
    browser.quit().await?;
    report(stub, pages)
}

async fn visit(browser: &Browser, stub: &Stub, number: u64) -> Result<()> {
    let how = How::of(number);
    let url = format!("{}/exit.html?page={number}&how={}", stub.base, how.name());
    let opened = browser.cdp("Target.createTarget", json!({ "url": url })).await?;
    let target = opened["targetId"].as_str().context("Chromium opened no page")?;
    let went = stub
        .until(TIMEOUT, |received| match how {
            How::Close => received.made.contains(&number),
            How::Navigate => received.gone.contains(&number),
        })
        .await;
    browser.cdp("Target.closeTarget", json!({ "targetId": target })).await?;
    anyhow::ensure!(went, "the page has not created its spans");
    Ok(())
}

/// Returns whether both spans of a page have arrived: that of its request, and the named one.
fn is_whole(received: &Received, page: u64) -> bool {
    received.items.contains(&page) && received.names.contains_key(&format!("bench page {page}"))
}

fn report(stub: &Stub, pages: u64) -> Result<Outcome> {
    let mut text = String::from(
        "## Exit\n\nPages that create a span and a request and are closed or left at once. A page is complete if both spans arrived.\n\n\
        | the page | pages | complete | request arrived | span arrived |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    let met = stub.look(|received| {
        let mut row = |name: &str, of: &dyn Fn(u64) -> bool| {
            let count = |is: &dyn Fn(u64) -> bool| (0..pages).filter(|page| of(*page) && is(*page)).count();
            let named = |page: u64| received.names.contains_key(&format!("bench page {page}"));
            let (all, whole) = (count(&|_| true), count(&|page| is_whole(received, page)));
            let (requests, spans) = (count(&|page| received.items.contains(&page)), count(&named));
            writeln!(text, "| {name} | {all} | {whole} | {requests} | {spans} |").map(|()| all == whole)
        };
        row("is closed", &|page| How::of(page) == How::Close)?;
        row("navigates", &|page| How::of(page) == How::Navigate)?;
        row("total", &|_| true)
    })?;
    let unreadable = stub.look(|received| received.unreadable);
    let met = met && unreadable == 0;
    writeln!(
        text,
        "\nThe target is that all pages are complete and all bodies can be decoded ({unreadable} could not): {}.",
        if met { "met" } else { "missed" }
    )?;
    Ok(Outcome { text, met })
}
