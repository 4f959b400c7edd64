//! Starts a server from its settings, and shuts it down without losing records.

use std::{
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret as _;
use throughline_inspector_server::Access;
use throughline_otlp::Signal;
use throughline_store::Store;
use tokio::signal;

use crate::{
    addresses::{Addresses, PrintAddresses},
    application::Context as ApplicationContext,
    compose,
    listen::listen,
    pipeline::{DRAIN, Opened, Running, bind, lock},
    self_check,
    server::Build,
    settings::Settings,
    telemetry,
};

/// Runs the server until it receives the signal to stop.
pub(crate) fn run(settings: Settings, build: Option<Build>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(settings, build));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(settings: Settings, build: Option<Build>) -> anyhow::Result<()> {
    let opened = Opened::open(&settings)?;
    remove_port_file(&settings)?;
    let instance = uuid::Uuid::new_v4().to_string();
    let context = ApplicationContext {
        data_dir: settings.data_dir.clone(),
        base_path: settings.base_path.clone(),
        service_instance_id: instance.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
    };
    let application = build.map(|build| build(&context)).transpose();
    let application = application.map_err(|error| anyhow::anyhow!("cannot start the application: {error}"))?;

    let listener = bind("--listen", settings.listen).await?;
    let address = listener.local_addr()?;
    let running = opened.listen(&settings).await?;
    let provider = telemetry::start(&settings, &instance, running.otlp_http).context("cannot set up tracing")?;
    let router = compose::router(&settings, &instance, application, &running.pipeline, running.stopping());
    let pages = tokio::spawn(listen(listener, router, settings.receivers.connection_limits, running.stopping()));

    // The signal handler is installed before the addresses are printed, after which a client may stop the server.
    let stop_signal = stop_signal();
    announce(&settings, address, &running)?;
    if settings.self_check {
        // With sampling, the span of the self-check may not be forwarded.
        let are_all_sent = settings.outbox.sampling.is_none();
        let forwarders = running.forwarders.iter().filter(|_| are_all_sent);
        let sinks = forwarders.filter_map(|forwarder| forwarder.status(Signal::Traces)).collect();
        tokio::spawn(self_check::run(provider.clone(), running.pipeline.store.clone(), sinks));
    }
    stop_signal.await;
    tracing::info!("stopping");
    running.stop();
    if tokio::time::timeout(DRAIN, pages).await.is_err() {
        tracing::warn!("some requests did not complete in time");
    }
    // Blocks until the exporter has sent its spans to the receiver of this process.
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the last spans of this server may be lost");
    }
    running.shutdown().await;
    Ok(())
}

/// Calls `work` with the store, which must not be in use by a server.
pub(crate) fn with_store(settings: &Settings, work: impl FnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    settings.make_data_dir()?;
    let _lock = lock(&settings.data_dir)?;
    let store = Store::open(&settings.data_dir).context("cannot open the trace store")?;
    work(&store)
}

/// Removes the port file of an earlier run, so that its addresses are not read for this run.
fn remove_port_file(settings: &Settings) -> anyhow::Result<()> {
    let Some(path) = &settings.port_file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old port file `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the addresses of all listeners to the port file and to standard output.
fn announce(settings: &Settings, listen: SocketAddr, running: &Running) -> anyhow::Result<()> {
    let new_token = match &settings.access {
        Access::Token(token) if settings.token_is_new => Some(token.expose_secret()),
        _ => None,
    };
    let addresses = Addresses::new(listen, &settings.base_path, running.otlp_http, running.otlp_grpc, new_token);
    if let Some(path) = &settings.port_file {
        addresses.write(path).with_context(|| format!("cannot write the port file `{}`", path.display()))?;
    }
    let text = match settings.print_addresses {
        PrintAddresses::Json => addresses.json(),
        PrintAddresses::Text => banner(settings, &addresses),
    };
    // A closed standard output does not stop the server; `println!` would panic.
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        tracing::debug!(%error, "cannot print the addresses");
    }
    Ok(())
}

/// Formats the addresses and the upstreams for people.
fn banner(settings: &Settings, addresses: &Addresses) -> String {
    let own_token = matches!(settings.access, Access::Token(_)) && !settings.token_is_new;
    let query = if own_token { "?access_token=<your token>" } else { "" };
    let from = if settings.receivers.otlp_token.is_some() { "with your token" } else { "from this machine" };
    let mut text = format!("listening  {}\ninspector  {}{query}\n", addresses.listen, addresses.inspector);
    if let Some(otlp_grpc) = &addresses.otlp_grpc {
        text.push_str(&format!("gRPC       {otlp_grpc} ({from})\n"));
    }
    text.push_str(&format!("OTLP       {} ({from})\n", addresses.otlp_http));
    for upstream in &settings.outbox.upstreams {
        let host = upstream.endpoint.host_str().unwrap_or("?");
        text.push_str(&format!("upstream   {} ({host})\n", upstream.name));
    }
    text
}

/// Resolves at SIGINT or SIGTERM. The handler of SIGTERM is installed by the call, not by the first poll.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = signal::unix::signal(signal::unix::SignalKind::terminate());
    async {
        let interrupt = async {
            if let Err(error) = signal::ctrl_c().await {
                // Without a handler, the signal kills the process, which keeps running until then.
                tracing::warn!(%error, "cannot handle Ctrl-C, which will kill the process without a graceful shutdown");
                std::future::pending::<()>().await;
            }
        };
        #[cfg(unix)]
        match terminate {
            Ok(mut terminate) => {
                tokio::select! {
                    () = interrupt => {}
                    _ = terminate.recv() => {}
                }
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot handle SIGTERM, which will kill the process without a graceful shutdown");
            }
        }
        interrupt.await;
    }
}
