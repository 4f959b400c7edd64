//! Chromium, controlled over WebDriver.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};
use tokio::process::{Child, Command};

use crate::{api::eventually, required, webdriver};

/// A script that runs before every document. It records violations of the content security policy, and adds functions
/// that throw or reject from within the page: Chromium hides errors of WebDriver scripts from the page's error
/// handlers.
const HELPERS: &str = "
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

/// The preferred colour scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// `prefers-color-scheme: light`.
    Light,
    /// `prefers-color-scheme: dark`.
    Dark,
}

/// A browser with one tab. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Browser {
    /// The WebDriver session.
    pub driver: WebDriver,
    chromedriver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium with the chromedriver of `THROUGHLINE_E2E_CHROMEDRIVER`.
    ///
    /// # Errors
    /// Returns an error if the variable is not set or Chromium does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let port = webdriver::free_port()?;
        let mut command = Command::new(required("THROUGHLINE_E2E_CHROMEDRIVER")?);
        command.arg(format!("--port={port}"));
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
        let (driver, chromedriver) = webdriver::start(command, port, capabilities.into()).await?;
        driver.set_script_timeout(Duration::from_secs(60)).await?;
        let browser = Self { driver, chromedriver, _profile: profile };
        browser.add_helpers().await?;
        Ok(browser)
    }

    /// Adds [`HELPERS`] to the documents of this tab.
    async fn add_helpers(&self) -> anyhow::Result<()> {
        self.add_script(HELPERS).await?;
        Ok(())
    }

    /// Opens another tab and switches to it; the previous tab becomes hidden.
    ///
    /// # Errors
    /// Returns an error if the browser opens no tab.
    pub async fn new_tab(&self) -> anyhow::Result<()> {
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab).await?;
        // To the protocol, every tab is a separate target.
        self.add_helpers().await
    }

    /// Runs a Chrome DevTools Protocol command.
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn cdp(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        Ok(self.driver.cdp().send_raw(command, parameters).await?)
    }

    /// Runs `script`, the body of a function, and returns its value; a promise is awaited.
    ///
    /// # Errors
    /// Returns an error if the script throws.
    pub async fn eval(&self, script: &str) -> anyhow::Result<Value> {
        self.eval_with(script, Vec::new()).await
    }

    /// Does the same as [`Browser::eval`] with `arguments`.
    ///
    /// # Errors
    /// Returns an error if the script throws.
    pub async fn eval_with(&self, script: &str, arguments: Vec<Value>) -> anyhow::Result<Value> {
        Ok(self.driver.execute(script, arguments).await?.json().clone())
    }

    /// Opens Cruddur's home page and waits until its feed is shown.
    ///
    /// # Errors
    /// Returns an error if this times out.
    pub async fn home(&self, base: &str) -> anyhow::Result<()> {
        self.driver.goto(base).await?;
        self.until("document.querySelector('article.crud')").await
    }

    /// Clicks an element with the pointer, after scrolling it to the middle of the screen: the dock covers the bottom.
    ///
    /// # Errors
    /// Returns an error if there is no such element, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.driver.find(By::Css(selector)).await?;
        let script = "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.eval_with(script, vec![element.to_json()?]).await?;
        Ok(element.click().await?)
    }

    /// Types into an element with the keyboard.
    ///
    /// # Errors
    /// Returns an error if there is no such element, or it accepts no input.
    pub async fn keys(&self, selector: &str, keys: &str) -> anyhow::Result<()> {
        Ok(self.driver.find(By::Css(selector)).await?.send_keys(keys).await?)
    }

    /// Runs `source` before the first script of every document of this tab from now on. Returns a handle for
    /// [`Browser::remove_script`].
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn add_script(&self, source: &str) -> anyhow::Result<Value> {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await
    }

    /// Removes a script that [`Browser::add_script`] added.
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn remove_script(&self, script: Value) -> anyhow::Result<()> {
        self.cdp("Page.removeScriptToEvaluateOnNewDocument", script).await?;
        Ok(())
    }

    /// Disables the content security policy in this tab, so that pages can send requests to other origins.
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn bypass_csp(&self) -> anyhow::Result<()> {
        self.cdp("Page.setBypassCSP", json!({ "enabled": true })).await?;
        Ok(())
    }

    /// Disconnects this tab from the network, or reconnects it.
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn set_offline(&self, offline: bool) -> anyhow::Result<()> {
        let conditions = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.cdp("Network.enable", json!({})).await?;
        self.cdp("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// Waits until the JavaScript expression is true.
    ///
    /// # Errors
    /// Returns an error with the page's text if this times out.
    pub async fn until(&self, expression: &str) -> anyhow::Result<()> {
        let script = format!("return Boolean({expression})");
        let found = eventually(async || self.eval(&script).await.ok().filter(|value| *value == json!(true))).await;
        if found.is_some() {
            return Ok(());
        }
        let text = self.eval("return location.href + '\\n' + document.body.innerText").await?;
        anyhow::bail!("`{expression}` is not true on {}", text.as_str().unwrap_or_default())
    }

    /// Emulates a screen and a colour scheme.
    ///
    /// # Errors
    /// Returns an error if the browser rejects the command.
    pub async fn emulate(&self, width: u32, height: u32, theme: Theme) -> anyhow::Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await?;
        let value = if theme == Theme::Dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.cdp("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// Writes a screenshot of the tab as a PNG.
    ///
    /// # Errors
    /// Returns an error if the screenshot cannot be taken or written.
    pub async fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        self.driver.screenshot(path).await?;
        Ok(())
    }

    /// Returns the violations of the content security policy by the current document.
    ///
    /// # Errors
    /// Returns an error if the tab does not respond.
    pub async fn violations(&self) -> anyhow::Result<Value> {
        self.eval("return window.__violations").await
    }

    /// Closes the browser.
    ///
    /// # Errors
    /// Returns an error if it does not close; it is killed when dropped.
    pub async fn quit(self) -> anyhow::Result<()> {
        Ok(self.driver.clone().quit().await?)
    }
}

/// Kills the processes, because a failed test leaves the session open.
impl Drop for Browser {
    fn drop(&mut self) {
        webdriver::kill(&self.driver, &self.chromedriver);
    }
}
