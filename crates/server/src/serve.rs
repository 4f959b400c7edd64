//! From settings to a running server, and back down without losing anything.

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

/// Runs the server until it is told to stop.
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
    let application = application.map_err(|error| anyhow::anyhow!("the application cannot start: {error}"))?;

    let listener = bind("--listen", settings.listen).await?;
    let address = listener.local_addr()?;
    let running = opened.listen(&settings).await?;
    let provider = telemetry::start(&settings, &instance, running.otlp_http).context("tracing cannot be set up")?;
    let router = compose::router(&settings, &instance, application, &running.pipeline, running.stopping());
    let pages = tokio::spawn(listen(listener, router, settings.receivers.connection_limits, running.stopping()));

    // Before anybody knows that there is something to be stopped.
    let stop_signal = stop_signal();
    announce(&settings, address, &running)?;
    if settings.self_check {
        // Where only some traces are forwarded, this one may well stay.
        let are_all_sent = settings.outbox.sampling.is_none();
        let forwarders = running.forwarders.iter().filter(|_| are_all_sent);
        let sinks = forwarders.filter_map(|forwarder| forwarder.status(Signal::Traces)).collect();
        tokio::spawn(self_check::run(provider.clone(), running.pipeline.store.clone(), sinks));
    }
    stop_signal.await;
    tracing::info!("stopping");
    running.stop();
    if tokio::time::timeout(DRAIN, pages).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    // Blocks until the exporter has sent what it has; it sends to the receiver of this process.
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the last spans of this server may be lost");
    }
    running.shutdown().await;
    Ok(())
}

/// Works on the store while no server does.
pub(crate) fn with_store(settings: &Settings, work: impl FnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    settings.make_data_dir()?;
    let _lock = lock(&settings.data_dir)?;
    let store = Store::open(&settings.data_dir).context("the store of traces cannot be opened")?;
    work(&store)
}

/// Removes the port file of an earlier run, so that nobody takes its addresses for those of this run.
fn remove_port_file(settings: &Settings) -> anyhow::Result<()> {
    let Some(path) = &settings.port_file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("the old port file `{}` cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Reports the addresses of all listeners, in the port file and on standard output.
fn announce(settings: &Settings, listen: SocketAddr, running: &Running) -> anyhow::Result<()> {
    let new_token = match &settings.access {
        Access::Token(token) if settings.token_is_new => Some(token.expose_secret()),
        _ => None,
    };
    let addresses = Addresses::new(listen, &settings.base_path, running.otlp_http, running.otlp_grpc, new_token);
    if let Some(path) = &settings.port_file {
        addresses.write(path).with_context(|| format!("the port file `{}` cannot be written", path.display()))?;
    }
    let text = match settings.print_addresses {
        PrintAddresses::Json => addresses.json(),
        PrintAddresses::Text => banner(settings, &addresses),
    };
    // A closed standard output is no reason to end: `println!` would panic.
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        tracing::debug!(%error, "the addresses cannot be printed");
    }
    Ok(())
}

/// The addresses for people, and the upstreams.
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

/// Resolves when the process is asked to stop. SIGTERM is listened for from the call on, not only from the first poll.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = signal::unix::signal(signal::unix::SignalKind::terminate());
    async {
        let interrupt = async {
            if let Err(error) = signal::ctrl_c().await {
                // Without a handler, the system ends the process at the signal: that is no reason to stop now.
                tracing::warn!(%error, "Ctrl-C cannot be handled: it ends the process at once");
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
            Err(error) => tracing::warn!(%error, "SIGTERM cannot be handled: it ends the process at once"),
        }
        interrupt.await;
    }
}
