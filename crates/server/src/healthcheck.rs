//! `throughline healthcheck` checks whether a server is running, for container images without an HTTP client.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the address at which this machine reaches a server that listens on `listen`.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Requests `/livez` from the server that listens on `listen`, and returns an error if the status is not 200.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(listen);
    let mut stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("no server listens on {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).context("the server does not respond")?;
    ensure!(head == *b"HTTP/1.1 200", "the server responds with {}", String::from_utf8_lossy(&head));
    Ok(())
}
