//! From settings to a running server, and back down without losing anything.

use std::{io::Write, net::SocketAddr, time::Duration};

use anyhow::Context;
use secrecy::ExposeSecret as _;
use throughline_forward::Forwarder;
use throughline_inspector_server::Access;
use throughline_store::Store;
use tokio::signal;

use crate::{
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
    let instance = uuid::Uuid::new_v4().to_string();
    let context = ApplicationContext {
        data_dir: settings.data_dir.clone(),
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
    let pages = tokio::spawn(listen(listener, router, settings.doors.patience, running.stopping()));

    // Before anybody knows that there is something to be stopped.
    let stop_signal = stop_signal();
    announce(&settings, address, &running);
    if settings.self_check {
        // Where only some traces are forwarded, this one may well stay.
        let are_all_sent = settings.outbox.sampling.is_none();
        let sinks = running.forwarders.iter().filter(|_| are_all_sent).map(Forwarder::status).collect();
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

fn announce(settings: &Settings, address: SocketAddr, running: &Running) {
    let inspector = match &settings.access {
        Access::Token(token) if settings.token_is_new => format!("?access_token={}", token.expose_secret()),
        Access::Token(_) => "?access_token=<your token>".to_owned(),
        _ => String::new(),
    };
    let from = if settings.doors.trusted_token.is_some() { "with your token" } else { "from this machine" };
    let base = &settings.base_path;
    let mut text = format!("pages      http://{address}\ninspector  http://{address}{base}/traces{inspector}\n");
    if let Some(grpc_door) = running.otlp_grpc {
        text.push_str(&format!("gRPC       http://{grpc_door} ({from})\n"));
    }
    text.push_str(&format!("OTLP       http://{} ({from})\n", running.otlp_http));
    for upstream in &settings.outbox.upstreams {
        let host = upstream.endpoint.host_str().unwrap_or("?");
        text.push_str(&format!("upstream   {} ({host})\n", upstream.name));
    }
    // A server whose output nobody reads any more serves all the same: `println!` would panic.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Resolves when somebody wants it to stop. It hears from now on, not only when it is first asked.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = signal::unix::signal(signal::unix::SignalKind::terminate());
    async {
        let interrupt = signal::ctrl_c();
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = interrupt.await;
    }
}
