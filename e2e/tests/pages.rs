//! Layout, keyboard use and error display of the pages.

use serde_json::json;
use thirtyfour::{By, Key};
use throughline_e2e::{Browser, ServerOptions, Site, Theme};

/// Checks that nothing is wider than the screen and nothing is blocked by the content security policy.
async fn check_layout(browser: &Browser, page: &str) -> anyhow::Result<()> {
    let overflow = browser.eval("return document.documentElement.scrollWidth - window.innerWidth").await?;
    assert!(overflow.as_i64().is_some_and(|overflow| overflow <= 0), "{page} is {overflow} px too wide");
    assert_eq!(browser.violations().await?, json!([]), "{page}");
    Ok(())
}

#[tokio::test]
async fn every_page_opens_by_url_on_desktop_and_phone_in_both_themes() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    let base = site.server.base();
    let pages = [
        ("/", "document.querySelector('article.crud')"),
        ("/notifications", "document.querySelector('main h1').innerText == 'Notifications'"),
        ("/@mirela", "document.querySelector('main h1').innerText == 'Mirela Ionescu'"),
        ("/search?term=wal", "document.querySelector('article.crud .message').innerText.includes('WAL')"),
        ("/@nobody", "document.body.innerText.includes('No user has this handle')"),
        ("/traces", "document.querySelector('a.trace-link')"),
        ("/traces/00000000000000000000000000000abc", "document.body.innerText.includes('No such trace')"),
        ("/traces/abc", "document.body.innerText.includes('32')"),
    ];
    for (width, height, theme) in [(1280, 800, Theme::Light), (390, 844, Theme::Dark)] {
        browser.emulate(width, height, theme).await?;
        for (path, shown) in pages {
            browser.driver.goto(format!("{base}{path}")).await?;
            browser.until(shown).await?;
            check_layout(&browser, path).await?;
        }
        let colour = browser.eval("return getComputedStyle(document.body).backgroundColor").await?;
        let dark = colour.as_str().is_some_and(|colour| !colour.contains("255, 255, 255"));
        assert_eq!(dark, theme == Theme::Dark, "{colour}");
    }
    browser.quit().await
}

#[tokio::test]
async fn feed_and_trace_can_be_used_with_the_keyboard() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    let body = browser.driver.find(By::Tag("body")).await?;

    body.send_keys("t").await?;
    browser.until("!document.querySelector('.dock').classList.contains('dock-open')").await?;
    body.send_keys("t").await?;
    browser.until("document.querySelector('.dock').classList.contains('dock-open')").await?;

    body.send_keys("n").await?;
    browser.until("document.activeElement.id == 'compose'").await?;
    let field = browser.driver.find(By::Id("compose")).await?;
    field.send_keys("Keys will do. t n / are letters here.").await?;
    field.send_keys(Key::Control + Key::Enter).await?;
    browser
        .until("document.querySelector('article.crud .message').innerText.startsWith('Keys will do. t n /')")
        .await?;

    let found = site.api.trace_named("key Crud").await?;
    site.api.trace_when(&found.trace_id, |trace| trace.spans.len() >= 7).await?;
    browser.driver.goto(format!("{}/traces/{}", site.server.base(), found.trace_id)).await?;
    browser.until("document.querySelectorAll('.wf-row').length >= 7").await?;
    browser.driver.find(By::Css(".wf-row")).await?.click().await?;
    browser.until("location.search.includes('span=')").await?;
    let first = browser.eval("return location.search").await?;
    browser.driver.active_element().await?.send_keys(Key::Down + "").await?;
    browser.until(&format!("location.search.includes('span=') && location.search != {first}")).await?;
    // The URL contains the view, so a reload restores it.
    let address = browser.eval("return location.href").await?;
    browser.driver.refresh().await?;
    browser.until("document.querySelector('.details')").await?;
    assert_eq!(browser.eval("return location.href").await?, address);

    // The switch shows raw times.
    browser.eval("[...document.querySelectorAll('.switch button')].find(b => b.innerText == 'raw').click()").await?;
    browser.until("location.search.includes('t=raw')").await?;
    browser.quit().await
}

#[tokio::test]
async fn the_selected_user_is_recorded_on_spans() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    browser.driver.find(By::Css(".user-menu summary")).await?.click().await?;
    browser
        .eval("[...document.querySelectorAll('.user-list button')].find(b => b.innerText.includes('yuki')).click()")
        .await?;
    browser.until("document.querySelector('.user-menu summary').innerText.includes('yuki')").await?;
    browser.driver.find(By::Css("button.like")).await?.click().await?;
    let found = throughline_e2e::eventually(async || {
        site.api.traces().await.ok()?.into_iter().find(|trace| trace.has_root && trace.root_name.ends_with("ike"))
    })
    .await
    .expect("the trace of the click");
    assert_eq!(found.user.as_deref(), Some("yuki"));
    browser.quit().await
}

#[tokio::test]
async fn an_unreachable_server_is_shown_as_an_error_and_the_draft_is_kept() -> anyhow::Result<()> {
    let mut site = Site::start(&ServerOptions::default())?;
    let browser = Browser::start().await?;
    browser.driver.goto(site.server.base()).await?;
    browser.until("document.querySelector('article.crud')").await?;
    site.server.stop()?;
    let field = browser.driver.find(By::Id("compose")).await?;
    field.send_keys("Is anybody there?").await?;
    browser.driver.find(By::Css("form.composer button[type=submit]")).await?.click().await?;
    browser.until("document.querySelector('form.composer [role=alert], form.composer .problem')").await?;
    let text = browser.eval("return document.querySelector('#compose').value").await?;
    assert_eq!(text, json!("Is anybody there?"));
    browser.until("document.querySelector('.dock-status').innerText.includes('cannot be')").await?;
    browser.quit().await
}
