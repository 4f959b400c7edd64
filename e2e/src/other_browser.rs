//! Browsers other than Chromium, controlled over WebDriver.

use anyhow::Context;
use serde_json::json;
use thirtyfour::{By, Capabilities, DesiredCapabilities, WebDriver};
use tokio::process::{Child, Command};

use crate::{api::eventually, required, webdriver};

/// A kind of browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Firefox with geckodriver.
    Firefox,
    /// WebKitGTK's MiniBrowser with WebKitWebDriver on a virtual screen.
    WebKitGtk,
}

impl Engine {
    /// Returns the command that starts the WebDriver server on `port`.
    fn driver(self, port: u16) -> anyhow::Result<Command> {
        Ok(match self {
            Self::Firefox => {
                let mut driver = Command::new(required("THROUGHLINE_E2E_GECKODRIVER")?);
                driver.args(["--port", &port.to_string()]);
                driver
            }
            Self::WebKitGtk => {
                // MiniBrowser has no headless mode.
                let mut screen = Command::new("xvfb-run");
                screen.arg("--auto-servernum").arg(required("THROUGHLINE_E2E_WEBKITDRIVER")?);
                screen.args(["--host=127.0.0.1", &format!("--port={port}")]);
                screen
            }
        })
    }

    fn capabilities(self) -> anyhow::Result<Capabilities> {
        match self {
            Self::Firefox => {
                let mut capabilities = DesiredCapabilities::firefox();
                capabilities.set_headless()?;
                Ok(capabilities.into())
            }
            Self::WebKitGtk => {
                let options = json!({ "binary": required("THROUGHLINE_E2E_MINIBROWSER")?, "args": ["--automation"] });
                let mut capabilities = Capabilities::default();
                capabilities.set("webkitgtk:browserOptions", options)?;
                Ok(capabilities)
            }
        }
    }
}

/// A browser with one tab. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct OtherBrowser {
    /// The WebDriver session.
    pub driver: WebDriver,
    server: Child,
}

impl OtherBrowser {
    /// Starts a browser.
    ///
    /// # Errors
    ///
    /// Returns an error if a program is missing or does not start.
    pub async fn start(engine: Engine) -> anyhow::Result<Self> {
        let port = webdriver::free_port()?;
        let (driver, server) = webdriver::start(engine.driver(port)?, port, engine.capabilities()?).await?;
        Ok(Self { driver, server })
    }

    /// Waits until the JavaScript expression is true.
    ///
    /// # Errors
    ///
    /// Returns an error if this times out.
    pub async fn until(&self, expression: &str) -> anyhow::Result<()> {
        let script = format!("return Boolean({expression})");
        let found = eventually(async || {
            let value = self.driver.execute(script.as_str(), Vec::new()).await.ok()?;
            (*value.json() == json!(true)).then_some(())
        });
        found.await.with_context(|| format!("`{expression}` is not true"))
    }

    /// Types text into an element.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such element, or it accepts no input.
    pub async fn keys(&self, selector: &str, keys: &str) -> anyhow::Result<()> {
        Ok(self.driver.find(By::Css(selector)).await?.send_keys(keys).await?)
    }

    /// Clicks an element with the pointer.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such element, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        Ok(self.driver.find(By::Css(selector)).await?.click().await?)
    }

    /// Closes the browser.
    ///
    /// # Errors
    ///
    /// Returns an error if the driver does not respond; the browser is killed when dropped.
    pub async fn quit(self) -> anyhow::Result<()> {
        Ok(self.driver.clone().quit().await?)
    }
}

impl Drop for OtherBrowser {
    fn drop(&mut self) {
        webdriver::kill(&self.driver, &self.server);
    }
}
