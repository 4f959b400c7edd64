//! The development loop of the README: `trunk serve` for the page, and a separate server.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use throughline_e2e::{Browser, ServerOptions, Site, TraceExt};
use throughline_inspector_api::{SpanKind, Trace};

/// The timeout of the first build, on a busy machine and without compiled dependencies.
const BUILD_TIMEOUT: Duration = Duration::from_secs(900);

/// A running `trunk serve`. It is killed when dropped.
struct Trunk {
    child: Child,
    base: String,
    /// A file that Trunk watches.
    watched: PathBuf,
    _folder: TempDir,
}

impl Trunk {
    /// Starts `trunk serve` with the `Trunk.toml` of the repository, with another output folder, port and address of the
    /// server.
    fn start(server: &str) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the package has no parent folder")?;
        let folder = TempDir::new()?;
        let watched = folder.path().join("watched");
        fs::write(&watched, "")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = fs::read_to_string(root.join("Trunk.toml"))?;
        let absolute = |path: &str| format!("\"{}\"", root.join(path).display());
        let mut text = String::new();
        let mut is_watching = false;
        for line in config.lines() {
            is_watching = (is_watching || line == "watch = [") && line != "]";
            let line = match line.trim() {
                "target = \"frontend/index.html\"" => format!("target = {}", absolute("frontend/index.html")),
                "dist = \"frontend/dist\"" => format!("dist = \"{}\"", folder.path().join("dist").display()),
                "port = 3000" => format!("port = {port}"),
                "watch = [" => format!("watch = [\n\"{}\",", watched.display()),
                path if is_watching => format!("{},", absolute(path.trim_end_matches(',').trim_matches('"'))),
                line => line.replace("http://127.0.0.1:4567", server),
            };
            text.push_str(&line);
            text.push('\n');
        }
        for expected in [format!("port = {port}"), format!("backend = \"{server}/api/\"")] {
            ensure!(text.contains(&expected), "Trunk.toml does not contain `{expected}`:\n{text}");
        }
        let path = folder.path().join("Trunk.toml");
        fs::write(&path, text)?;
        let mut trunk = Command::new("trunk");
        trunk.args(["serve", "--offline=true", "--locked=true", "--config"]).arg(&path).current_dir(root);
        // Trunk accepts only `true` and `false`.
        trunk.env_remove("NO_COLOR").stdin(Stdio::null());
        let child = trunk.spawn().context("cannot start trunk")?;
        Ok(Self { child, base: format!("http://127.0.0.1:{port}"), watched, _folder: folder })
    }

    /// Waits until the page is built and served.
    async fn built(&mut self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let start = Instant::now();
        while start.elapsed() < BUILD_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                bail!("trunk exited with {status}");
            }
            let page = client.get(&self.base).header("accept", "text/html").send().await;
            if page.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("trunk has not built the page after {BUILD_TIMEOUT:?}")
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        // best effort: both fail only if it has exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn the_development_loop_has_joined_traces_and_reloads_the_page_after_a_change() -> anyhow::Result<()> {
    let site = Site::start(&ServerOptions::default())?;
    let mut trunk = Trunk::start(&site.server.base())?;
    trunk.built().await?;
    let browser = Browser::start().await?;
    browser.home(&trunk.base).await?;
    browser.keys("#compose", "Through Trunk.").await?;
    browser.click("form.composer button[type=submit]").await?;
    browser.until("document.querySelector('article.crud .message').innerText == 'Through Trunk.'").await?;
    let is_joined = |trace: &Trace| {
        let request =
            trace.spans.iter().find(|span| span.kind == SpanKind::Client && span.name == "POST /api/activities");
        request.is_some_and(|request| trace.server_span(request).is_some())
    };
    site.api.trace_where("the request with the server's span", is_joined).await?;
    let inspector = browser.eval("return fetch('/traces').then(response => response.status)").await?;
    assert_eq!(inspector, 200, "the inspector is forwarded to the server");

    browser.eval("window.isOld = true").await?;
    fs::write(&trunk.watched, "changed")?;
    browser.until("!window.isOld && document.querySelector('article.crud')").await?;
    browser.quit().await
}
