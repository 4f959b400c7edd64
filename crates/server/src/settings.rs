//! Settings are read in two stages: value parsers check each argument on its own ([`Args`]), and [`Args::resolve`] checks rules that
//! span several arguments and derives [`Settings`]. Both stages complete before a socket is bound.

mod cli;
mod error;
mod file;
mod outbox;
mod proxies;
mod receivers;
mod retention;
mod sinks;
#[cfg(test)]
mod tests;
mod values;

use std::{
    fs::DirBuilder,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Args as ClapArgs, ValueEnum};
use secrecy::SecretString;
use throughline_axum::IpNet;
use throughline_inspector_server::Access;
use throughline_store::Retention;
use url::Origin;

pub(crate) use self::{
    cli::{Command, Identity, markdown, parse},
    error::{ParseError, SettingError},
    outbox::Outbox,
    receivers::ReceiverSettings,
    sinks::Upstream,
    values::is_token,
};
use self::{error::wrong, outbox::OutboxArgs, retention::RetentionArgs, values::List};
use crate::addresses::{self, PrintAddresses};

const DATA_DIR: &str = "--data-dir / THROUGHLINE_DATA_DIR";

/// The access settings of an inspector that is embedded in another application.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedAccess {
    pub(crate) mode: InspectorAccess,
    /// The access token, if it is set.
    pub(crate) token: Option<SecretString>,
}

/// Which clients may access the inspector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectorAccess {
    /// On a loopback address, clients on this machine; on any other address, clients with the access token
    Auto,
    /// All clients that reach the address
    Open,
    /// Clients with the access token
    Token,
}

/// The arguments, each parsed on its own.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// A TOML file with settings; flags and environment variables take precedence over it
    #[arg(long, env = "THROUGHLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address on which pages, the API and the inspector are served
    #[arg(
        long,
        env = "THROUGHLINE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:3000",
        value_parser = values::address
    )]
    listen: SocketAddr,
    #[command(flatten)]
    receivers: receivers::ReceiverArgs,
    /// Networks or addresses of the proxies whose `Forwarded` and `X-Forwarded-*` headers are trusted, separated by commas; `off` for
    /// none
    #[arg(
        long,
        env = "THROUGHLINE_TRUSTED_PROXIES",
        value_name = "LIST",
        default_value = "127.0.0.0/8,::1",
        value_parser = proxies::trusted_proxies
    )]
    trusted_proxies: List<IpNet>,
    /// The path under which the inspector, its API and the receiver for pages are served, such as `/tracing`; the root by default
    #[arg(long, env = "THROUGHLINE_BASE_PATH", value_name = "PATH", value_parser = values::base_path)]
    base_path: Option<String>,
    /// The data directory; created if it does not exist
    #[arg(long, env = "THROUGHLINE_DATA_DIR", value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// An origin whose pages may call this server's API and receiver for pages; separate several with commas, or repeat the flag
    #[arg(long, env = "FRONTEND_URL", value_name = "ORIGIN", value_parser = values::origins)]
    allow_origin: Vec<List<Origin>>,
    /// Which clients may access the inspector
    #[arg(
        long,
        env = "THROUGHLINE_INSPECTOR_ACCESS",
        value_name = "WHO",
        default_value = "auto",
        value_enum,
        ignore_case = true
    )]
    inspector_access: InspectorAccess,
    /// The access token of the inspector, at least 16 characters; if it is required and not set, one is generated: by `throughline` at each start, by an application that embeds the inspector once
    #[arg(
        long,
        env = "THROUGHLINE_ACCESS_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = values::token
    )]
    access_token: Option<SecretString>,
    /// `service.name` of this server
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", value_parser = values::text)]
    service_name: Option<String>,
    /// `service.name` of the pages, which replaces the name they send; `<service name>-web` by default
    #[arg(long, env = "THROUGHLINE_BROWSER_SERVICE_NAME", value_name = "NAME", value_parser = values::text)]
    browser_service_name: Option<String>,
    /// Additional resource attributes: `key=value,key=value`, values percent-encoded
    #[arg(
        long,
        env = "OTEL_RESOURCE_ATTRIBUTES",
        value_name = "LIST",
        value_parser = values::resource_attributes
    )]
    resource_attributes: Option<List<(String, String)>>,
    #[command(flatten)]
    outbox: OutboxArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Whether a test span is sent through the whole pipeline at startup and the result is logged: `on` or `off`
    #[arg(
        long,
        env = "THROUGHLINE_SELF_CHECK",
        value_name = "SWITCH",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = values::switch
    )]
    self_check: bool,
    /// The format in which the addresses of all listeners are printed at startup: `text` for people, `json` for programs
    #[arg(long, env = "THROUGHLINE_PRINT_ADDRESSES", value_name = "FORMAT", value_enum, default_value = "text")]
    print_addresses: PrintAddresses,
    /// A file to which these addresses are written as JSON at startup; it is complete as soon as it exists
    #[arg(long, env = "THROUGHLINE_PORT_FILE", value_name = "PATH")]
    port_file: Option<PathBuf>,
    /// The log filter, in the syntax of `tracing`'s `EnvFilter`
    #[arg(
        long,
        env = "THROUGHLINE_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = values::log_filter
    )]
    log: String,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The name of the program.
    pub(crate) program: &'static str,
    pub(crate) listen: SocketAddr,
    pub(crate) receivers: ReceiverSettings,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The base path: empty, or starting with a slash and not ending with one.
    pub(crate) base_path: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) access: Access,
    /// The access settings of an embedded inspector, whose address is not known here.
    pub(crate) embedded: EmbeddedAccess,
    /// Whether the access token was generated and therefore has to be printed.
    pub(crate) token_is_new: bool,
    pub(crate) service_name: String,
    pub(crate) browser_service_name: String,
    pub(crate) resource_attributes: Vec<(String, String)>,
    pub(crate) outbox: Outbox,
    pub(crate) retention: Retention,
    pub(crate) self_check: bool,
    pub(crate) print_addresses: PrintAddresses,
    pub(crate) port_file: Option<PathBuf>,
    pub(crate) log: String,
}

impl Settings {
    /// Creates the data directory with mode 0700 if it does not exist.
    pub(crate) fn make_data_dir(&self) -> Result<(), SettingError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.data_dir)
            .map_err(|error| wrong(DATA_DIR, format!("cannot create `{}`: {error}", self.data_dir.display())))
    }
}

impl Args {
    /// Checks the rules that need several settings or the file system, and derives the settings.
    pub(crate) fn resolve(self, identity: &Identity) -> Result<Settings, SettingError> {
        // The propagator is parsed again where it is installed. Parsing it here rejects an unknown name before anything is created.
        throughline_propagator::Propagator::from_env().map_err(|error| wrong("OTEL_PROPAGATORS", error.to_string()))?;
        let receivers = self.receivers.resolve(self.listen)?;
        data_dir(&self.data_dir)?;
        if let Some(path) = &self.port_file {
            port_file(path)?;
        }
        let origins = self.allow_origin.iter().flat_map(|list| &list.0);
        let token_is_needed = match self.inspector_access {
            InspectorAccess::Open => false,
            InspectorAccess::Token => true,
            InspectorAccess::Auto => !self.listen.ip().is_loopback(),
        };
        let token_is_new = token_is_needed && self.access_token.is_none();
        let embedded = EmbeddedAccess { mode: self.inspector_access, token: self.access_token.clone() };
        let token = self.access_token.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string().into());
        let access = match self.inspector_access {
            _ if token_is_needed => Access::Token(token),
            InspectorAccess::Open => Access::Open,
            InspectorAccess::Auto | InspectorAccess::Token => Access::Local,
        };
        let mut resource_attributes = self.resource_attributes.map_or_else(Vec::new, |list| list.0);
        // The OpenTelemetry specification gives OTEL_SERVICE_NAME precedence over `service.name` in OTEL_RESOURCE_ATTRIBUTES.
        let named = resource_attributes
            .iter()
            .position(|(key, _)| key == "service.name")
            .map(|index| resource_attributes.remove(index).1);
        let service_name = self.service_name.or(named).unwrap_or_else(|| identity.name.to_owned());
        let browser_service_name = self.browser_service_name.unwrap_or_else(|| format!("{service_name}-web"));
        let outbox = self.outbox.resolve()?;
        let retention = self.retention.resolve(outbox.upstreams.iter().map(|upstream| &upstream.name))?;
        Ok(Settings {
            program: identity.name,
            listen: self.listen,
            receivers,
            trusted_proxies: self.trusted_proxies.0,
            // default: the root has an empty base path.
            base_path: self.base_path.unwrap_or_default(),
            allowed_origins: origins.map(Origin::ascii_serialization).collect(),
            data_dir: self.data_dir,
            access,
            embedded,
            token_is_new,
            service_name,
            browser_service_name,
            resource_attributes,
            outbox,
            retention,
            self_check: self.self_check,
            print_addresses: self.print_addresses,
            port_file: self.port_file,
            log: self.log,
        })
    }
}

fn data_dir(path: &Path) -> Result<(), SettingError> {
    if path.as_os_str().is_empty() {
        return Err(wrong(DATA_DIR, "the path is empty"));
    }
    if path.exists() && !path.is_dir() {
        return Err(wrong(DATA_DIR, format!("`{}` is not a directory", path.display())));
    }
    Ok(())
}

fn port_file(path: &Path) -> Result<(), SettingError> {
    let setting = "--port-file / THROUGHLINE_PORT_FILE";
    if path.file_name().is_none() || path.is_dir() {
        return Err(wrong(setting, format!("`{}` is not a file path", path.display())));
    }
    let folder = addresses::folder(path);
    if !folder.is_dir() {
        return Err(wrong(setting, format!("`{}` is not a directory; create it first", folder.display())));
    }
    Ok(())
}
