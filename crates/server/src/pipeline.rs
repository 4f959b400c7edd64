//! The pipeline: receivers, store and sinks, from opening the data directory to the shutdown.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret as _;
use throughline_forward::{ForwardConfig, Forwarder, OtlpSink, Sampling, Sources};
use throughline_inspector_server::Sinks;
use throughline_intake::{IngestTokenKeys, Intake, IntakeConfig, OtlpToken};
use throughline_otlp::{KeyValue, Value};
use throughline_store::{Metrics, Outbox, Store, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    compose,
    listen::listen,
    settings::{Settings, Upstream},
    telemetry::from_here,
};

/// The file that is locked by the process that uses a data directory.
pub(crate) const LOCK_FILE: &str = "in-use.lock";

/// The timeout for requests in flight after the signal to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// The lifetime of an ingest token. A page that sleeps longer has to request a new token.
const INGEST_TOKEN_TTL: Duration = Duration::from_mins(15);
/// The interval at which the data directory is checked for a new key.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// The parts of a running pipeline that the routes use. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) intake: Intake,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) sinks: Sinks,
    /// The base URL of the OTLP/HTTP receiver for other programs.
    pub(crate) otlp_http: String,
}

/// A data directory that this process has locked, with open stores.
pub(crate) struct Opened {
    lock: File,
    store: Store,
    metrics: Metrics,
    config: IntakeConfig,
}

/// A running pipeline with listening receivers.
pub(crate) struct Running {
    pub(crate) pipeline: Pipeline,
    pub(crate) otlp_http: SocketAddr,
    pub(crate) otlp_grpc: Option<SocketAddr>,
    pub(crate) forwarders: Vec<Forwarder>,
    /// Stops all listeners except the OTLP/HTTP receiver.
    stop: watch::Sender<bool>,
    /// Stops the OTLP/HTTP receiver, which is last because it receives the last spans of this process.
    close: watch::Sender<bool>,
    grpc: Option<JoinHandle<()>>,
    http: JoinHandle<()>,
    _lock: File,
}

impl Opened {
    /// Locks the data directory, which must exist, and opens the stores in it.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let lock = lock(&settings.data_dir)?;
        let store = store(settings)?;
        let metrics = Metrics::open(&settings.data_dir).context("cannot open the metrics store")?;
        let config = intake_config(settings, metrics.clone())?;
        Ok(Self { lock, store, metrics, config })
    }

    /// Binds the receivers for other programs, and starts the sinks.
    pub(crate) async fn listen(self, settings: &Settings) -> anyhow::Result<Running> {
        let Self { lock, store, metrics, config } = self;
        let http = bind("--otlp-listen", settings.receivers.otlp_listen).await?;
        let grpc = match settings.receivers.grpc_listen {
            Some(address) => Some(bind("--grpc-listen", address).await?),
            None => None,
        };
        let otlp_http = http.local_addr()?;
        let otlp_grpc = grpc.as_ref().map(TcpListener::local_addr).transpose()?;
        let intake = Intake::new(store.clone(), config);
        let outbox = outbox(&settings.data_dir)?;
        let sources = Sources::new(store.clone(), outbox.clone()).with_metrics(metrics.clone());
        let forwarders = forwarders(settings, &sources)?;
        let sinks = Sinks::new(outbox, &forwarders);
        if settings.receivers.ingest_token_keys.is_none() {
            tokio::spawn(follow_ingest_token_keys(settings.data_dir.clone(), intake.clone()));
        }
        let ((stop, stopping), (close, closing)) = (watch::channel(false), watch::channel(false));
        let limits = settings.receivers.connection_limits;
        let grpc = grpc.map(|grpc| tokio::spawn(listen(grpc, compose::grpc_router(intake.clone()), limits, stopping)));
        let http = tokio::spawn(listen(http, compose::otlp_router(intake.clone()), limits, closing));
        let pipeline =
            Pipeline { intake, store, metrics, sinks, otlp_http: format!("http://{}", from_here(otlp_http)) };
        Ok(Running { pipeline, otlp_http, otlp_grpc, forwarders, stop, close, grpc, http, _lock: lock })
    }
}

impl Running {
    /// Returns a receiver whose value becomes true when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Stops live streams and all listeners except the OTLP/HTTP receiver, which runs until [`Running::shutdown`].
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops the receivers and the sinks, and closes the store.
    pub(crate) async fn shutdown(self) {
        self.stop();
        if let Some(grpc) = self.grpc {
            // best effort: clients send requests again that are cut off here.
            let _ = tokio::time::timeout(DRAIN, grpc).await;
        }
        self.close.send_replace(true);
        // best effort: as above.
        let _ = tokio::time::timeout(DRAIN, self.http).await;
        // The sinks shut down concurrently, so that an upstream that does not respond does not delay the others.
        let ends: Vec<_> = self.forwarders.into_iter().map(|forwarder| tokio::spawn(forwarder.shutdown())).collect();
        for end in ends {
            if let Err(error) = end.await {
                tracing::error!(%error, "a sink failed during shutdown");
            }
        }
        self.pipeline.store.close().await;
    }
}

/// Opens the store. A damaged store is renamed and replaced by an empty one, so that the application starts in any case.
fn store(settings: &Settings) -> anyhow::Result<Store> {
    let (dir, retention) = (&settings.data_dir, &settings.retention);
    let opened = match Store::open_with(dir, retention.clone()) {
        Err(StoreError::Corrupt(reason)) => {
            let renamed = throughline_store::move_damaged_file(dir).context("cannot rename the damaged trace store")?;
            // The log is not set up yet.
            eprintln!(
                "throughline: the trace store is damaged ({reason}); it was renamed to `{}`, and an empty one was created",
                renamed.display()
            );
            Store::open_with(dir, retention.clone())
        }
        opened => opened,
    };
    opened.context("cannot open the trace store")
}

/// Locks the data directory for this process until the returned file is closed.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(LOCK_FILE);
    let file = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            anyhow::anyhow!(
                "another instance uses the data directory `{}`; choose another one with --data-dir",
                data_dir.display()
            )
        }
        TryLockError::Error(error) => anyhow::Error::new(error).context(format!("cannot lock `{}`", path.display())),
    })?;
    Ok(file)
}

pub(crate) async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; if another instance is running, choose another address with {setting}")
    })
}

/// Loads the key again when `throughline rotate-ingest-token-key` has replaced it.
async fn follow_ingest_token_keys(data_dir: PathBuf, intake: Intake) {
    let mut known = IngestTokenKeys::changed_at(&data_dir);
    loop {
        tokio::time::sleep(KEY_INTERVAL).await;
        let changed = IngestTokenKeys::changed_at(&data_dir);
        if changed == known {
            continue;
        }
        match IngestTokenKeys::load_or_create(&data_dir, INGEST_TOKEN_TTL) {
            Ok(keys) => {
                intake.set_ingest_token_keys(keys);
                tracing::info!("a new ingest token key was loaded");
            }
            Err(error) => {
                tracing::error!(%error, "cannot load the new ingest token key; the previous key remains in use");
            }
        }
        known = changed;
    }
}

fn intake_config(settings: &Settings, metrics: Metrics) -> anyhow::Result<IntakeConfig> {
    let receivers = &settings.receivers;
    let ingest_token_keys = match &receivers.ingest_token_keys {
        Some(keys) => keys.clone(),
        None => IngestTokenKeys::load_or_create(&settings.data_dir, INGEST_TOKEN_TTL)
            .context("cannot read or create the ingest token key")?,
    };
    let mut config = IntakeConfig::new(ingest_token_keys, settings.browser_service_name.clone());
    config.ingest_token_ttl = INGEST_TOKEN_TTL;
    config.otlp_token = receivers.otlp_token.as_ref().map(|token| OtlpToken::new(token.expose_secret()));
    config.redact.clone_from(&receivers.redact);
    config.metrics = Some(metrics);
    config.limits.page_body.timeout = receivers.connection_limits.read_timeout;
    config.limits.otlp_body.timeout = receivers.connection_limits.read_timeout;
    config.allowed_origins.clone_from(&settings.allowed_origins);
    config.resource_attributes = settings
        .resource_attributes
        .iter()
        .map(|(key, value)| KeyValue { key: key.clone(), value: Value::String(value.clone()) })
        .collect();
    Ok(config)
}

/// Opens the database of the outbox. A damaged one is renamed and replaced by an empty one, so that the server starts. At worst, a late
/// span is forwarded to an upstream that did not receive the rest of its trace.
fn outbox(data_dir: &Path) -> anyhow::Result<Outbox> {
    match Outbox::open(data_dir) {
        Err(StoreError::Corrupt(reason)) => {
            let damaged = data_dir.join("outbox.db");
            tracing::error!(%reason, "outbox.db is damaged; it is renamed to outbox.db.damaged, and an empty one is created");
            std::fs::rename(&damaged, data_dir.join("outbox.db.damaged")).context("cannot rename outbox.db")?;
            // SQLite would apply the old write-ahead log to the new database.
            for rest in ["outbox.db-wal", "outbox.db-shm"] {
                match std::fs::remove_file(data_dir.join(rest)) {
                    // The file does not exist if the database was closed properly.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.with_context(|| format!("cannot remove {rest}"))?,
                }
            }
            Outbox::open(data_dir)
        }
        opened => opened,
    }
    .context("cannot open outbox.db")
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
            .with_context(|| format!("cannot set up forwarding to the upstream `{}`", upstream.name))
    };
    settings.upstreams.iter().map(spawn).collect()
}
