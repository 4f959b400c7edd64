//! From settings to a running server, and back down without losing anything.

use std::{
    fs::{File, TryLockError},
    io::Write,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use throughline_forward::{ForwardConfig, Forwarder, OtlpSink};
use throughline_intake::{Intake, IntakeConfig, TicketKey};
use throughline_otlp::{KeyValue, Value};
use throughline_store::Store;
use tokio::{net::TcpListener, signal, sync::watch};

use crate::{
    app,
    cruddur::Database,
    self_check,
    settings::{Access, Settings},
    telemetry,
};

/// Held by the process that uses a data directory.
pub(crate) const LOCK_FILE: &str = "in-use.lock";

/// How long open requests may take to end after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let _lock = lock(&settings.data_dir)?;
    let store = Store::open(&settings.data_dir).context("the store of traces cannot be opened")?;
    let database = Database::open(&settings.data_dir).context("Cruddur's database cannot be opened")?;
    let ticket_key =
        TicketKey::load_or_create(&settings.data_dir).context("the key for tickets cannot be read or made")?;

    let listener = bind("--listen", settings.listen).await?;
    let trusted = bind("--trusted-listen", settings.trusted_listen).await?;
    let (address, door) = (listener.local_addr()?, trusted.local_addr()?);

    let instance = uuid::Uuid::new_v4().to_string();
    let provider = telemetry::start(&settings, &instance, door).context("tracing cannot be set up")?;
    let intake = Intake::new(store.clone(), intake_config(&settings, ticket_key));
    let forwarder = forwarder(&settings, &store)?;

    let (stop, stopping) = watch::channel(false);
    let pages = app::router(&settings, &instance, database, store.clone(), intake.clone(), stopping.clone());
    let pages = tokio::spawn(listen(listener, pages, stopping.clone()));
    // The door stays open until the server's own last spans have come through it.
    let (close, closing) = watch::channel(false);
    let door_task = tokio::spawn(listen(trusted, app::trusted_router(intake), closing));

    announce(&settings, address, door);
    if settings.self_check {
        let sinks = forwarder.iter().map(Forwarder::status).collect();
        tokio::spawn(self_check::run(provider.clone(), store.clone(), sinks));
    }
    stop_signal().await;
    tracing::info!("stopping");
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN, pages).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    // Blocks until the exporter has sent what it has; it sends to us.
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the last spans of this server may be lost");
    }
    let _ = close.send(true);
    let _ = tokio::time::timeout(DRAIN, door_task).await;
    if let Some(forwarder) = forwarder {
        forwarder.shutdown().await;
    }
    Ok(())
}

/// Takes the data directory for this process, until the file is closed.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(LOCK_FILE);
    let file = File::create(&path).with_context(|| format!("`{}` cannot be written", path.display()))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            anyhow::anyhow!(
                "another instance uses the data directory `{}`; choose another with --data-dir",
                data_dir.display()
            )
        }
        TryLockError::Error(error) => {
            anyhow::Error::new(error).context(format!("`{}` cannot be locked", path.display()))
        }
    })?;
    Ok(file)
}

async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{address} cannot be listened on; is another instance running? Choose another address with {setting}")
    })
}

async fn listen(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        // An error means that the sender is gone: then it is over too.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    // Small responses must not wait for each other's acknowledgement.
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the listener failed");
    }
}

fn intake_config(settings: &Settings, ticket_key: TicketKey) -> IntakeConfig {
    let mut config = IntakeConfig::new(ticket_key, settings.browser_service_name.clone());
    config.allowed_origins.clone_from(&settings.allowed_origins);
    config.resource_attributes = settings
        .resource_attributes
        .iter()
        .map(|(key, value)| KeyValue { key: key.clone(), value: Value::String(value.clone()) })
        .collect();
    config
}

fn forwarder(settings: &Settings, store: &Store) -> anyhow::Result<Option<Forwarder>> {
    let Some(upstream) = &settings.upstream else { return Ok(None) };
    let mut sink = OtlpSink::new(upstream.name, upstream.endpoint.clone());
    sink.logs_endpoint = Some(upstream.logs_endpoint.clone());
    sink.headers.clone_from(&upstream.headers);
    let forwarder = throughline_forward::spawn(store.clone(), sink, ForwardConfig::default())
        .context("the way to the upstream cannot be set up")?;
    Ok(Some(forwarder))
}

fn announce(settings: &Settings, address: SocketAddr, door: SocketAddr) {
    let inspector = match &settings.access {
        Access::Token(token) if settings.token_is_new => format!("?access_token={}", token.expose()),
        Access::Token(_) => "?access_token=<your token>".to_owned(),
        Access::Open => String::new(),
    };
    let mut text = format!(
        "Cruddur    http://{address}\n\
         inspector  http://{address}/traces{inspector}\n\
         OTLP       http://{door} (from this machine)\n"
    );
    if let Some(upstream) = &settings.upstream {
        let host = upstream.endpoint.host_str().unwrap_or("?");
        text.push_str(&format!("upstream   {} ({host})\n", upstream.name));
    }
    // A server whose output nobody reads any more serves all the same: `println!` would panic.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

async fn stop_signal() {
    let interrupt = signal::ctrl_c();
    #[cfg(unix)]
    {
        if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
