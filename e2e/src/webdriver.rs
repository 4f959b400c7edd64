//! A WebDriver server as a child process, and a session with it.

use std::{net::TcpListener, process::Stdio};

use anyhow::{Context, bail};
use thirtyfour::{Capabilities, WebDriver};
use tokio::process::{Child, Command};

use crate::api::eventually;

/// Returns a port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a WebDriver server with `command`, which must make it listen on `port`, and a session with it.
pub(crate) async fn start(
    mut command: Command,
    port: u16,
    capabilities: Capabilities,
) -> anyhow::Result<(WebDriver, Child)> {
    // The browser is in the same process group, so that `kill` ends both.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let server = command.spawn().with_context(|| format!("{:?} cannot be started", command.as_std().get_program()))?;
    let url = format!("http://127.0.0.1:{port}");
    let mut error = None;
    let driver = eventually(async || match WebDriver::new(&url, capabilities.clone()).await {
        Ok(driver) => Some(driver),
        Err(failed) => {
            error = Some(failed);
            None
        }
    });
    match driver.await {
        Some(driver) => Ok((driver, server)),
        None => {
            kill_group(&server);
            bail!("the browser does not start: {error:?}")
        }
    }
}

/// Kills a server with its browser. A test that failed has left the session open.
pub(crate) fn kill(driver: &WebDriver, server: &Child) {
    // best effort: without this, the driver's own drop waits for a response that this thread can no longer receive.
    let _ = driver.clone().leak();
    kill_group(server);
}

fn kill_group(server: &Child) {
    if let Some(group) = server.id() {
        // best effort: the processes may have ended.
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
    }
}
