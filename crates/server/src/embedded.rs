//! The pipeline embedded in another application. It runs on its own threads, so that it does not block the application's runtime.

use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
};

use axum::Router;
use http::{HeaderValue, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use throughline_inspector_server::Access;
use tokio::sync::oneshot;

use crate::{
    access_token, compose,
    init::{Destination, InitError},
    pipeline::Opened,
    settings::{self, Identity, InspectorAccess, Settings},
    telemetry::from_here,
};

const THREADS: usize = 2;

/// A running pipeline. Dropping it stops the receivers and closes the store.
pub(crate) struct Embedded {
    endpoint: Uri,
    authorization: Option<HeaderValue>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The routes for the application, and the address of the OTLP/HTTP receiver.
type Started = (Router, std::net::SocketAddr);

impl Embedded {
    /// Starts a pipeline with the settings of the environment, and returns it with the routes for the application.
    pub(crate) fn start(service_name: &str) -> Result<(Self, Router), InitError> {
        let (settings, new_token) = settings(service_name)?;
        let authorization = settings.receivers.otlp_token.as_ref().map(|token| {
            let text = format!("Bearer {}", token.expose_secret());
            HeaderValue::from_str(&text).expect("the settings accept printable ASCII characters only")
        });
        let (started_tx, started_rx) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let page = format!("{}/traces", settings.base_path);
        let thread = thread::Builder::new()
            .name("throughline".to_owned())
            .spawn(move || run(&settings, &started_tx, stopped))
            .map_err(|error| InitError::Inspector(error.to_string()))?;
        let started = started_rx.recv().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread of the pipeline panicked")));
        let (router, otlp_http) = started.map_err(|error| InitError::Inspector(format!("{error:#}")))?;
        let endpoint = Uri::try_from(format!("http://{}/v1/traces", from_here(otlp_http)))
            .expect("a socket address is a valid authority");
        match new_token {
            Some(token) => tracing::info!(
                "the inspector is at {page}; clients that are not on this machine open {page}?access_token={} once; the OTLP \
                 receiver is at http://{otlp_http}",
                token.expose_secret()
            ),
            None => tracing::info!("the inspector is at {page}; the OTLP receiver is at http://{otlp_http}"),
        }
        Ok((Self { endpoint, authorization, stop: Some(stop), thread: Some(thread) }, router))
    }

    /// Returns the destination of the application's own spans.
    pub(crate) fn destination(&self) -> Destination {
        Destination { endpoint: self.endpoint.clone(), authorization: self.authorization.clone() }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // best effort: sending fails only if the thread has already ended.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the pipeline panicked");
        }
    }
}

/// Returns the settings of the environment, and the access token if it was not set there.
fn settings(service_name: &str) -> Result<(Settings, Option<SecretString>), InitError> {
    let identity = Identity::default();
    let wrong = |error: &dyn std::error::Error| InitError::Setting(error.to_string());
    let cli = settings::parse(&identity, std::iter::once("throughline".into())).map_err(|error| wrong(&error))?;
    let mut settings = cli.args.resolve(&identity).map_err(|error| wrong(&error))?;
    if settings.browser_service_name == format!("{}-web", settings.service_name) {
        settings.browser_service_name = format!("{service_name}-web");
    }
    service_name.clone_into(&mut settings.service_name);
    settings.make_data_dir().map_err(|error| wrong(&error))?;
    let (mode, given) = (settings.embedded.mode, settings.embedded.token.clone());
    if mode == InspectorAccess::Open {
        settings.access = Access::Open;
        return Ok((settings, None));
    }
    let (token, new_token) = match given {
        Some(token) => (token, None),
        None => {
            let token = access_token::load_or_create(&settings.data_dir);
            let token = token
                .map_err(|error| InitError::Inspector(format!("cannot read or write the access token: {error}")))?;
            (token.clone(), Some(token))
        }
    };
    // The address of the application is not known here.
    settings.access = if mode == InspectorAccess::Token { Access::Token(token) } else { Access::LocalOrToken(token) };
    Ok((settings, new_token))
}

/// Runs a pipeline until `stopped` resolves.
fn run(settings: &Settings, started: &mpsc::Sender<anyhow::Result<Started>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // best effort: sending fails only if the application has ended.
            let _ = started.send(Err(error.into()));
            return;
        }
    };
    runtime.block_on(async {
        let opened = Opened::open(settings);
        let running = match opened {
            Ok(opened) => opened.listen(settings).await,
            Err(error) => Err(error),
        };
        let running = match running {
            Ok(running) => running,
            Err(error) => {
                // best effort: as above.
                let _ = started.send(Err(error));
                return;
            }
        };
        let router = compose::product(settings, &running.pipeline, running.stopping())
            .layer(compose::identify(&settings.trusted_proxies));
        // best effort: as above.
        let _ = started.send(Ok((router, running.otlp_http)));
        // An error means that the sender was dropped, which also ends the pipeline.
        drop(stopped.await);
        running.shutdown().await;
    });
}
