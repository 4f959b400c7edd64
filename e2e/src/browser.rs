//! A real Chromium, driven by WebDriver.

use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};
use tokio::process::{Child, Command};

use crate::{api::eventually, required};

/// Notes every violation of the content security policy, from each document's first script on. And fails when told to: what a
/// script of WebDriver throws is muted, as if it came from elsewhere.
const STAND_BY: &str = "
    window.__violations = [];
    document.addEventListener('securitypolicyviolation',
        event => window.__violations.push(event.violatedDirective + ' ' + event.blockedURI));
    window.__throw = (message, times = 1) => {
        for (let n = 0; n < times; n++) setTimeout(function thrower() { throw new Error(message); });
    };
    window.__reject = (message, kind) => {
        setTimeout(() => { Promise.reject(kind ? new window[kind](message) : message); });
    };
";

/// What the page is asked to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// `prefers-color-scheme: light`.
    Light,
    /// `prefers-color-scheme: dark`.
    Dark,
}

/// A browser with one tab. Its processes end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    /// The tab.
    pub driver: WebDriver,
    chromedriver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium by the chromedriver that `THROUGHLINE_E2E_CHROMEDRIVER` names.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let program = required("THROUGHLINE_E2E_CHROMEDRIVER")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let chromedriver = Command::new(&program)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Chromium is its child: both are in one group, and end together.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let profile = TempDir::new()?;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
        ] {
            capabilities.add_arg(argument)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        let url = format!("http://127.0.0.1:{port}");
        let mut error = None;
        let driver = eventually(async || match WebDriver::new(&url, capabilities.clone()).await {
            Ok(driver) => Some(driver),
            Err(failed) => {
                error = Some(failed);
                None
            }
        })
        .await;
        let driver = driver.with_context(|| format!("Chromium does not start: {error:?}"))?;
        driver.set_script_timeout(Duration::from_secs(60)).await?;
        let browser = Self { driver, chromedriver, _profile: profile };
        browser.stand_by().await?;
        Ok(browser)
    }

    /// Prepares the documents of this tab, see [`STAND_BY`].
    async fn stand_by(&self) -> anyhow::Result<()> {
        self.before_pages(STAND_BY).await?;
        Ok(())
    }

    /// Opens another tab, and goes on there; the one left is hidden then.
    ///
    /// # Errors
    /// The browser opens none.
    pub async fn new_tab(&self) -> anyhow::Result<()> {
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab).await?;
        // Every tab is a target of its own to the protocol.
        self.stand_by().await
    }

    /// A Chrome DevTools Protocol command.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn cdp(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        Ok(self.driver.cdp().send_raw(command, parameters).await?)
    }

    /// What `script` (the body of a function) returns; of a promise, what comes of it.
    ///
    /// # Errors
    /// It throws.
    pub async fn eval(&self, script: &str) -> anyhow::Result<Value> {
        self.eval_with(script, Vec::new()).await
    }

    /// As [`Browser::eval`], with `arguments`.
    ///
    /// # Errors
    /// It throws.
    pub async fn eval_with(&self, script: &str, arguments: Vec<Value>) -> anyhow::Result<Value> {
        Ok(self.driver.execute(script, arguments).await?.json().clone())
    }

    /// Opens Cruddur's first page, and waits until its feed is there.
    ///
    /// # Errors
    /// It never is.
    pub async fn home(&self, base: &str) -> anyhow::Result<()> {
        self.driver.goto(base).await?;
        self.until("document.querySelector('article.crud')").await
    }

    /// Clicks as a person does, with the pointer, on what is in the middle of the screen: the dock covers its foot.
    ///
    /// # Errors
    /// There is no such element, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.driver.find(By::Css(selector)).await?;
        let script = "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.eval_with(script, vec![element.to_json()?]).await?;
        Ok(element.click().await?)
    }

    /// Types as a person does.
    ///
    /// # Errors
    /// There is no such element, or nothing can be typed into it.
    pub async fn keys(&self, selector: &str, keys: &str) -> anyhow::Result<()> {
        Ok(self.driver.find(By::Css(selector)).await?.send_keys(keys).await?)
    }

    /// Runs `source` before the first script of every document of this tab from now on; what takes it back.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn before_pages(&self, source: &str) -> anyhow::Result<Value> {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await
    }

    /// Takes back what [`Browser::before_pages`] set up.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn no_longer_before_pages(&self, script: Value) -> anyhow::Result<()> {
        self.cdp("Page.removeScriptToEvaluateOnNewDocument", script).await?;
        Ok(())
    }

    /// Lets pages of this tab ask other origins, which Cruddur's content security policy forbids.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn bypass_csp(&self) -> anyhow::Result<()> {
        self.cdp("Page.setBypassCSP", json!({ "enabled": true })).await?;
        Ok(())
    }

    /// Takes the network away from this tab, or gives it back.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn offline(&self, offline: bool) -> anyhow::Result<()> {
        let conditions = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.cdp("Network.enable", json!({})).await?;
        self.cdp("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// Waits until the JavaScript expression is true.
    ///
    /// # Errors
    /// It never is; the page's text is part of the error.
    pub async fn until(&self, expression: &str) -> anyhow::Result<()> {
        let script = format!("return Boolean({expression})");
        let found = eventually(async || self.eval(&script).await.ok().filter(|value| *value == json!(true))).await;
        if found.is_some() {
            return Ok(());
        }
        let text = self.eval("return location.href + '\\n' + document.body.innerText").await?;
        anyhow::bail!("`{expression}` never comes true on {}", text.as_str().unwrap_or_default())
    }

    /// Emulates a screen and a colour scheme.
    ///
    /// # Errors
    /// The browser refuses it.
    pub async fn look(&self, width: u32, height: u32, theme: Theme) -> anyhow::Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await?;
        let value = if theme == Theme::Dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.cdp("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// Writes what the tab shows as a PNG.
    ///
    /// # Errors
    /// No picture, or no file.
    pub async fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        self.driver.screenshot(path).await?;
        Ok(())
    }

    /// What broke the content security policy since the document began.
    ///
    /// # Errors
    /// The tab does not answer.
    pub async fn violations(&self) -> anyhow::Result<Value> {
        self.eval("return window.__violations").await
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// It does not end by itself; it is killed then.
    pub async fn quit(self) -> anyhow::Result<()> {
        Ok(self.driver.clone().quit().await?)
    }
}

/// A test that failed left the session open: its processes are ended, without asking them.
impl Drop for Browser {
    fn drop(&mut self) {
        // Otherwise the driver's own drop waits for an answer that this thread can no longer receive.
        let _ = self.driver.clone().leak();
        if let Some(group) = self.chromedriver.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}
