//! From settings to a running server, and back down without losing anything.

use std::{
    fs::{File, TryLockError},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret as _;
use throughline_forward::{ForwardConfig, Forwarder, OtlpSink, Sampling, Sources};
use throughline_intake::{Intake, IntakeConfig, TicketKeys, TrustedToken};
use throughline_otlp::{KeyValue, Signal, Value};
use throughline_store::{Metrics, Outbox, Store, StoreError};
use tokio::{net::TcpListener, signal, sync::watch};

use crate::{
    app,
    cruddur::Database,
    inspector::Sinks,
    listen::listen,
    self_check,
    settings::{Access, Settings, Upstream},
    telemetry,
};

/// Held by the process that uses a data directory.
pub(crate) const LOCK_FILE: &str = "in-use.lock";

/// How long open requests may take to end after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a ticket is good: as long as a page may sleep without asking for another.
const TICKET_TTL: Duration = Duration::from_mins(15);
/// How often it is looked whether there is a new key for tickets.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let _lock = lock(&settings.data_dir)?;
    let store = store(&settings)?;
    let database = Database::open(&settings.data_dir).context("Cruddur's database cannot be opened")?;
    let metrics = Metrics::open(&settings.data_dir).context("the store of metrics cannot be opened")?;
    let config = intake_config(&settings, metrics.clone())?;

    let listener = bind("--listen", settings.listen).await?;
    let trusted = bind("--trusted-listen", settings.doors.trusted_listen).await?;
    let grpc = match settings.doors.grpc_listen {
        Some(address) => Some(bind("--grpc-listen", address).await?),
        None => None,
    };
    let (address, door) = (listener.local_addr()?, trusted.local_addr()?);
    let grpc_door = grpc.as_ref().map(TcpListener::local_addr).transpose()?;

    let instance = uuid::Uuid::new_v4().to_string();
    let provider = telemetry::start(&settings, &instance, door).context("tracing cannot be set up")?;
    let intake = Intake::new(store.clone(), config);
    let outbox = outbox(&settings.data_dir)?;
    let sources = Sources::new(store.clone(), outbox.clone()).with_metrics(metrics.clone());
    let forwarders = forwarders(&settings, &sources)?;
    let sinks = Sinks::new(outbox, &forwarders);

    let (stop, stopping) = watch::channel(false);
    if settings.doors.ticket_keys.is_none() {
        tokio::spawn(follow_ticket_keys(settings.data_dir.clone(), intake.clone()));
    }
    let patience = settings.doors.patience;
    let stores = (store.clone(), metrics);
    let pages = app::router(&settings, &instance, database, stores, sinks, intake.clone(), stopping.clone());
    let pages = tokio::spawn(listen(listener, pages, patience, stopping.clone()));
    let grpc =
        grpc.map(|grpc| tokio::spawn(listen(grpc, app::grpc_router(intake.clone()), patience, stopping.clone())));
    // The door stays open until the server's own last spans have come through it.
    let (close, closing) = watch::channel(false);
    let door_task = tokio::spawn(listen(trusted, app::trusted_router(intake), patience, closing));

    // Before anybody knows that there is something to be stopped.
    let stop_signal = stop_signal();
    announce(&settings, address, door, grpc_door);
    if settings.self_check {
        // Where only some traces go on, this one may well stay.
        let all_go = settings.outbox.sampling.is_none();
        let sinks =
            forwarders.iter().filter(|_| all_go).filter_map(|forwarder| forwarder.status(Signal::Traces)).collect();
        tokio::spawn(self_check::run(provider.clone(), store.clone(), sinks));
    }
    stop_signal.await;
    tracing::info!("stopping");
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN, pages).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    if let Some(grpc) = grpc {
        let _ = tokio::time::timeout(DRAIN, grpc).await;
    }
    // Blocks until the exporter has sent what it has; it sends to us.
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the last spans of this server may be lost");
    }
    let _ = close.send(true);
    let _ = tokio::time::timeout(DRAIN, door_task).await;
    // All at once: an upstream that is away must not take the others' time.
    let ends: Vec<_> = forwarders.into_iter().map(|forwarder| tokio::spawn(forwarder.shutdown())).collect();
    for end in ends {
        let _ = end.await;
    }
    store.close().await;
    Ok(())
}

/// Works on the store while no server does.
pub(crate) fn with_store(settings: &Settings, work: impl FnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    settings.make_data_dir()?;
    let _lock = lock(&settings.data_dir)?;
    let store = Store::open(&settings.data_dir).context("the store of traces cannot be opened")?;
    work(&store)
}

/// Opens the store. One that is damaged is moved out of the way, whole, and a new one is made: the application must not wait
/// for its traces.
fn store(settings: &Settings) -> anyhow::Result<Store> {
    let (dir, retention) = (&settings.data_dir, &settings.retention);
    let opened = match Store::open_with(dir, retention.clone()) {
        Err(StoreError::Corrupt(reason)) => {
            let aside = throughline_store::set_aside(dir).context("the damaged store cannot be put aside")?;
            // Tracing is not there yet.
            eprintln!(
                "throughline: the store of traces is damaged ({reason}); it is now `{}`, and a new one is made",
                aside.display()
            );
            Store::open_with(dir, retention.clone())
        }
        opened => opened,
    };
    opened.context("the store of traces cannot be opened")
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

/// Takes up the key that `throughline rotate-ticket-key` makes.
async fn follow_ticket_keys(data_dir: PathBuf, intake: Intake) {
    let mut known = TicketKeys::changed_at(&data_dir);
    loop {
        tokio::time::sleep(KEY_INTERVAL).await;
        let changed = TicketKeys::changed_at(&data_dir);
        if changed == known {
            continue;
        }
        match TicketKeys::load_or_create(&data_dir, TICKET_TTL) {
            Ok(keys) => {
                intake.set_ticket_keys(keys);
                tracing::info!("tickets are signed with a new key");
            }
            Err(error) => tracing::error!(%error, "the key for tickets stays what it was"),
        }
        known = changed;
    }
}

fn intake_config(settings: &Settings, metrics: Metrics) -> anyhow::Result<IntakeConfig> {
    let doors = &settings.doors;
    let ticket_keys = match &doors.ticket_keys {
        Some(keys) => keys.clone(),
        None => TicketKeys::load_or_create(&settings.data_dir, TICKET_TTL)
            .context("the key for tickets cannot be read or made")?,
    };
    let mut config = IntakeConfig::new(ticket_keys, settings.browser_service_name.clone());
    config.ticket_ttl = TICKET_TTL;
    config.trusted_token = doors.trusted_token.as_ref().map(|token| TrustedToken::new(token.expose_secret()));
    config.scrub.clone_from(&doors.scrub);
    config.metrics = Some(metrics);
    config.limits.public_body.timeout = doors.patience.read_timeout;
    config.limits.trusted_body.timeout = doors.patience.read_timeout;
    config.allowed_origins.clone_from(&settings.allowed_origins);
    config.resource_attributes = settings
        .resource_attributes
        .iter()
        .map(|(key, value)| KeyValue { key: key.clone(), value: Value::String(value.clone()) })
        .collect();
    Ok(config)
}

/// The memory of the outbox. It can be made anew, so a damaged one is put aside instead of keeping the server from starting:
/// at worst a late span goes where the rest of its trace did not.
fn outbox(data_dir: &Path) -> anyhow::Result<Outbox> {
    match Outbox::open(data_dir) {
        Err(StoreError::Corrupt(reason)) => {
            let damaged = data_dir.join("outbox.db");
            tracing::error!(%reason, "the outbox's memory is damaged: it goes on with an empty one");
            std::fs::rename(&damaged, data_dir.join("outbox.db.damaged")).context("it cannot be put aside")?;
            for rest in ["outbox.db-wal", "outbox.db-shm"] {
                // Absent where it was closed well.
                let _ = std::fs::remove_file(data_dir.join(rest));
            }
            Outbox::open(data_dir)
        }
        opened => opened,
    }
    .context("the outbox's memory cannot be opened")
}

fn forwarders(settings: &Settings, sources: &Sources) -> anyhow::Result<Vec<Forwarder>> {
    let settings = &settings.outbox;
    let names = settings.upstreams.iter().map(|upstream| upstream.name.clone()).collect::<Vec<_>>();
    let rule = settings.sampling.clone().filter(|_| !names.is_empty());
    let sampling = rule.map(|rule| Sampling::start(sources.store.clone(), sources.outbox.clone(), rule, names));
    let config = ForwardConfig::default().with_request_timeout(settings.timeout);
    let spawn = |upstream: &Upstream| {
        let mut sink = OtlpSink::new(upstream.name.clone(), upstream.endpoint.clone())
            .with_logs_endpoint(upstream.logs_endpoint.clone())
            .with_metrics_endpoint(upstream.metrics_endpoint.clone())
            .with_headers(upstream.headers.clone())
            .with_align_clocks(settings.align_clocks);
        sink.sampling.clone_from(&sampling);
        throughline_forward::spawn(sources.clone(), sink, config)
            .with_context(|| format!("the way to the upstream `{}` cannot be set up", upstream.name))
    };
    settings.upstreams.iter().map(spawn).collect()
}

fn announce(settings: &Settings, address: SocketAddr, door: SocketAddr, grpc_door: Option<SocketAddr>) {
    let inspector = match &settings.access {
        Access::Token(token) if settings.token_is_new => format!("?access_token={}", token.expose_secret()),
        Access::Token(_) => "?access_token=<your token>".to_owned(),
        Access::Open | Access::Local => String::new(),
    };
    let from = if settings.doors.trusted_token.is_some() { "with your token" } else { "from this machine" };
    let mut text = format!("Cruddur    http://{address}\ninspector  http://{address}/traces{inspector}\n");
    if let Some(grpc_door) = grpc_door {
        text.push_str(&format!("gRPC       http://{grpc_door} ({from})\n"));
    }
    text.push_str(&format!("OTLP       http://{door} ({from})\n"));
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
