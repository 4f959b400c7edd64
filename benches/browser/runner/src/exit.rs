//! What arrives from pages that are gone as soon as they have something to say.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;
use throughline_e2e::Browser;

use crate::{
    Outcome, page,
    stub::{Received, Stub},
};

/// How long a page may take to make its spans, and to leave.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long what was sent on the way out may take to arrive.
const LATE: Duration = Duration::from_secs(10);

/// How a page goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The browser closes it.
    Close,
    /// It leaves for another page.
    Navigate,
}

impl How {
    /// Every other page goes so.
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

/// Opens `pages` pages, one after the other, that go at once.
pub(crate) async fn measure(stub: &Stub, pages: u64) -> Result<Outcome> {
    let browser = page::browser().await?;
    for number in 0..pages {
        visit(&browser, stub, number).await.with_context(|| format!("page {number}"))?;
        if (number + 1).is_multiple_of(20) {
            eprintln!("{} of {pages} pages", number + 1);
        }
    }
    stub.until(LATE, |received| (0..pages).all(|page| is_whole(received, page))).await;
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
    anyhow::ensure!(went, "it has not made its spans");
    Ok(())
}

/// Whether both spans of a page are there: that of its request, and the one it made by name.
fn is_whole(received: &Received, page: u64) -> bool {
    received.items.contains(&page) && received.names.contains_key(&format!("bench page {page}"))
}

fn report(stub: &Stub, pages: u64) -> Result<Outcome> {
    let mut text = String::from(
        "## Exit\n\nPages that make a span and a request and are gone at once; whole is a page of which both spans arrived.\n\n\
         | the page | pages | whole | request arrived | span arrived |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    let met = stub.look(|received| {
        let mut row = |what: &str, of: &dyn Fn(u64) -> bool| {
            let count = |is: &dyn Fn(u64) -> bool| (0..pages).filter(|page| of(*page) && is(*page)).count();
            let named = |page: u64| received.names.contains_key(&format!("bench page {page}"));
            let (all, whole) = (count(&|_| true), count(&|page| is_whole(received, page)));
            let (requests, spans) = (count(&|page| received.items.contains(&page)), count(&named));
            writeln!(text, "| {what} | {all} | {whole} | {requests} | {spans} |").map(|()| all == whole)
        };
        row("is closed", &|page| How::of(page) == How::Close)?;
        row("goes elsewhere", &|page| How::of(page) == How::Navigate)?;
        row("together", &|_| true)
    })?;
    let unreadable = stub.look(|received| received.unreadable);
    let met = met && unreadable == 0;
    writeln!(
        text,
        "\nThe target is all of them, and no body that cannot be read ({unreadable} here): {}.",
        if met { "met" } else { "missed" }
    )?;
    Ok(Outcome { text, met })
}
