//! A way to the server that can be taken away, and that leads to another process afterwards.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A TCP relay on 127.0.0.1: the page's origin stays the same while the server behind it goes and comes.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    upstream: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port, and leads to `upstream`.
    ///
    /// # Errors
    /// No port is to be had.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (upstream, leads_to) = watch::channel(Some(upstream));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, leads_to.clone()));
            }
        });
        Ok(Self { addr, upstream, task })
    }

    /// Where pages find it.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Leads elsewhere from now on, or nowhere; what is open is cut.
    pub fn lead_to(&self, upstream: Option<SocketAddr>) {
        self.upstream.send_replace(upstream);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, mut leads_to: watch::Receiver<Option<SocketAddr>>) {
    // A connection that leads nowhere is closed at once, as that of a proxy whose server is down.
    let Some(upstream) = *leads_to.borrow_and_update() else { return };
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    tokio::select! {
        // How it ends is the affair of its two ends.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = leads_to.changed() => {}
    }
}
