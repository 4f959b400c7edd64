//! A TCP relay whose upstream can be removed and replaced.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A TCP relay on 127.0.0.1: the page's origin stays the same while the server behind it is stopped and restarted.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    upstream: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port and forwards connections to `upstream`.
    ///
    /// # Errors
    /// Returns an error if it cannot listen.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (upstream, upstreams) = watch::channel(Some(upstream));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstreams.clone()));
            }
        });
        Ok(Self { addr, upstream, task })
    }

    /// Returns its base URL.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the upstream for new connections, or none; open connections are closed.
    pub fn set_upstream(&self, upstream: Option<SocketAddr>) {
        self.upstream.send_replace(upstream);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, mut upstreams: watch::Receiver<Option<SocketAddr>>) {
    // Without an upstream the connection is closed at once, like that of a proxy whose server is down.
    let Some(upstream) = *upstreams.borrow_and_update() else { return };
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    tokio::select! {
        // How the connection ends does not matter here.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = upstreams.changed() => {}
    }
}
