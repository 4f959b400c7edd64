//! Settings in two stages: what was typed ([`Args`]), then what it means here ([`Settings`]). Everything is checked before
//! any socket is bound.

mod doors;

pub(crate) use self::doors::DoorSettings;

use std::{
    ffi::OsString,
    fs::DirBuilder,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use thiserror::Error;
use throughline_axum::IpNet;
use throughline_inspector_server::{Access, is_base_path};
use throughline_store::Retention;
use url::Url;

use crate::{
    addresses::{self, PrintAddresses},
    archive::{Format, Kind},
};

mod outbox;
mod proxies;
mod retention;

use outbox::OutboxArgs;
pub(crate) use outbox::{Outbox, Upstream};
use retention::RetentionArgs;

const HONEYCOMB: &str = "https://api.honeycomb.io";

/// The name of the program, and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "throughline",
            about: "End-to-end tracing for web applications: receives OTLP, stores it, shows traces, and forwards them",
        }
    }
}

#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) args: Args,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Asks a running server whether it lives; exit code 0 if so. For container health checks.
    Healthcheck,
    /// Looks at the whole chain, from a span in this program to the upstream, and says what is wrong and what to do about it;
    /// exit code 1 if traces do not come through.
    Doctor,
    /// Copies traces, log records, metrics, and how far each upstream has them, into a directory, while the server runs or not.
    Backup {
        /// Where to; it must not be there yet.
        directory: PathBuf,
    },
    /// Writes everything of the store into a file, as OTLP in JSON or protobuf, while the server runs or not.
    Export {
        /// Where to; it must not be there yet.
        file: PathBuf,
        /// How; by default as the file's name says: protobuf for `.pb` and its like, JSON for all others.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// What.
        #[arg(long, value_enum, default_value = "traces")]
        signal: Kind,
    },
    /// Stores what is in files of OTLP in JSON or protobuf, compressed by gzip or not; the server must not run.
    Import {
        /// Which.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How they are written; by default as their names say: protobuf for `.pb` and its like, JSON for all others.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// What is in them; JSON says it by itself, protobuf does not and is traces by default.
        #[arg(long, value_enum)]
        signal: Option<Kind>,
    },
    /// Prints every setting as a Markdown table.
    Settings,
    /// Makes a new key for tickets in the data directory; a running server takes it up, and old tickets stay good until they
    /// expire.
    RotateTicketKey,
}

/// Who may look at traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectorAccess {
    /// Open on loopback to this machine alone, by token on any other address
    Auto,
    /// Open to whoever reaches the address
    Open,
    /// By token everywhere
    Token,
}

/// What was typed. An empty value is no value.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Where pages, API and inspector are served
    #[arg(long, env = "THROUGHLINE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: String,
    #[command(flatten)]
    doors: doors::DoorArgs,
    /// Networks or addresses of proxies that are believed about who asks, by `Forwarded` and `X-Forwarded-*`, separated by
    /// commas; `off` for none
    #[arg(long, env = "THROUGHLINE_TRUSTED_PROXIES", value_name = "LIST", default_value = "127.0.0.0/8,::1")]
    trusted_proxies: String,
    /// The path below which the inspector, its API and the receiver for pages are served, such as `/tracing`; the root by default
    #[arg(long, env = "THROUGHLINE_BASE_PATH", value_name = "PATH")]
    base_path: Option<String>,
    /// Where the data is kept; made if it is not there
    #[arg(long, env = "THROUGHLINE_DATA_DIR", value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// An origin whose pages may call the API and the telemetry door from elsewhere; may be given more than once
    #[arg(long, env = "FRONTEND_URL", value_name = "ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Who may look at traces
    #[arg(long, env = "THROUGHLINE_INSPECTOR_ACCESS", value_name = "WHO", default_value = "auto")]
    inspector_access: String,
    /// The token for the inspector, at least 16 characters; made anew at each start if it is needed and not given
    #[arg(long, env = "THROUGHLINE_ACCESS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    access_token: Option<String>,
    /// `service.name` of this server
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    service_name: Option<String>,
    /// `service.name` of the pages, whatever they claim; `<service name>-web` by default
    #[arg(long, env = "THROUGHLINE_BROWSER_SERVICE_NAME", value_name = "NAME")]
    browser_service_name: Option<String>,
    /// More resource attributes: `key=value,key=value`
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", value_name = "LIST")]
    resource_attributes: Option<String>,
    #[command(flatten)]
    outbox: OutboxArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    /// Whether a span is sent through the whole chain at the start, and the log says how far it came
    #[arg(long, env = "THROUGHLINE_SELF_CHECK", value_name = "WHETHER", default_value = "on")]
    self_check: String,
    /// How the addresses of all listeners are printed at the start: `text` for people, `json` for programs
    #[arg(long, env = "THROUGHLINE_PRINT_ADDRESSES", value_name = "FORMAT", value_enum, default_value = "text")]
    print_addresses: PrintAddresses,
    /// A file to which the addresses are written at the start, as JSON; it is complete as soon as it exists
    #[arg(long, env = "THROUGHLINE_PORT_FILE", value_name = "PATH")]
    port_file: Option<PathBuf>,
    /// What is logged, as `tracing` filters say it
    #[arg(long, env = "THROUGHLINE_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
}

/// A setting that cannot be.
#[derive(Debug, Error)]
#[error("{setting}: {reason}")]
pub(crate) struct SettingError {
    setting: &'static str,
    reason: String,
}

fn wrong(setting: &'static str, reason: impl Into<String>) -> SettingError {
    SettingError { setting, reason: reason.into() }
}

/// What it means here.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The name of the program.
    pub(crate) program: &'static str,
    pub(crate) listen: SocketAddr,
    pub(crate) doors: DoorSettings,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The base path: empty, or with a slash at its beginning and none at its end.
    pub(crate) base_path: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) access: Access,
    /// The same for an inspector within another application, whose address is not known here.
    pub(crate) embedded_access: Access,
    /// Whether the token was generated and has to be printed.
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

/// The command line, with empty values of settings taken as absent: `.env` files name what they do not set.
pub(crate) fn parse(identity: &Identity, arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let empty = command(identity)
        .get_arguments()
        .filter_map(|argument| argument.get_env().map(|name| (argument.get_id().clone(), name.to_owned())))
        .filter(|(_, name)| std::env::var_os(name).is_some_and(|value| value.is_empty()))
        .map(|(id, _)| id)
        .collect::<Vec<_>>();
    let command = command(identity).mut_args(|argument| {
        // Before the name of a command or after it, as it comes to mind.
        let argument = argument.global(true);
        if empty.contains(argument.get_id()) { argument.env(None::<&'static str>) } else { argument }
    });
    let matches = command.try_get_matches_from(arguments)?;
    <Cli as clap::FromArgMatches>::from_arg_matches(&matches)
}

fn command(identity: &Identity) -> clap::Command {
    Cli::command().name(identity.name).about(identity.about)
}

impl Settings {
    /// Makes the data directory, for this user alone, if it is not there.
    pub(crate) fn make_data_dir(&self) -> Result<(), SettingError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.data_dir).map_err(|error| {
            wrong("--data-dir / THROUGHLINE_DATA_DIR", format!("`{}` cannot be made: {error}", self.data_dir.display()))
        })
    }
}

impl Args {
    /// Checks and completes what was typed.
    pub(crate) fn resolve(self, identity: &Identity) -> Result<Settings, SettingError> {
        let listen = address("--listen / THROUGHLINE_LISTEN", &self.listen)?;
        let doors = self.doors.resolve(listen)?;
        let trusted_proxies = proxies::trusted_proxies(&self.trusted_proxies)?;
        let base_path = base_path(self.base_path)?;
        if self.data_dir.as_os_str().is_empty() {
            return Err(wrong("--data-dir / THROUGHLINE_DATA_DIR", "it is empty"));
        }
        if self.data_dir.exists() && !self.data_dir.is_dir() {
            return Err(wrong(
                "--data-dir / THROUGHLINE_DATA_DIR",
                format!("`{}` is not a directory", self.data_dir.display()),
            ));
        }
        let allowed_origins = self
            .allow_origin
            .iter()
            .map(|origin| origin.trim())
            .filter(|origin| !origin.is_empty())
            .map(origin)
            .collect::<Result<_, _>>()?;
        let access_setting = "--inspector-access / THROUGHLINE_INSPECTOR_ACCESS";
        let wish = InspectorAccess::from_str(&self.inspector_access, true)
            .map_err(|_| wrong(access_setting, format!("`{}` is none of auto, open, token", self.inspector_access)))?;
        let token = self.access_token.filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(wrong(
                "--access-token / THROUGHLINE_ACCESS_TOKEN",
                "it needs at least 16 printable ASCII characters without spaces",
            ));
        }
        let token_needed = match wish {
            InspectorAccess::Open => false,
            InspectorAccess::Token => true,
            InspectorAccess::Auto => !listen.ip().is_loopback(),
        };
        let embedded_access = match wish {
            InspectorAccess::Open => Access::Open,
            InspectorAccess::Token => Access::Token(secret(token.clone())),
            InspectorAccess::Auto => Access::LocalOrToken(secret(token.clone())),
        };
        let token_is_new = token_needed && token.is_none();
        let access = if token_needed {
            Access::Token(secret(token))
        } else if wish == InspectorAccess::Open {
            Access::Open
        } else {
            Access::Local
        };
        let mut resource_attributes = resource_attributes(self.resource_attributes.as_deref().unwrap_or_default())?;
        // OTEL_SERVICE_NAME wins over a service.name among the attributes, as the specification says.
        let named = resource_attributes
            .iter()
            .position(|(key, _)| key == "service.name")
            .map(|n| resource_attributes.remove(n).1);
        let service_name = non_empty(self.service_name).or(named).unwrap_or_else(|| identity.name.to_owned());
        let browser_service_name =
            non_empty(self.browser_service_name).unwrap_or_else(|| format!("{service_name}-web"));
        let outbox = self.outbox.resolve()?;
        let retention = self.retention.resolve(outbox.upstreams.iter().map(|upstream| upstream.name.as_str()))?;
        let self_check = match self.self_check.as_str() {
            "on" => true,
            "off" => false,
            other => {
                return Err(wrong("--self-check / THROUGHLINE_SELF_CHECK", format!("`{other}` is neither on nor off")));
            }
        };
        if let Some(path) = &self.port_file {
            port_file(path)?;
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            return Err(wrong("--log / THROUGHLINE_LOG", error.to_string()));
        }
        Ok(Settings {
            program: identity.name,
            listen,
            doors,
            trusted_proxies,
            base_path,
            data_dir: self.data_dir,
            allowed_origins,
            access,
            embedded_access,
            token_is_new,
            service_name,
            browser_service_name,
            resource_attributes,
            outbox,
            retention,
            self_check,
            print_addresses: self.print_addresses,
            port_file: self.port_file,
            log: self.log,
        })
    }
}

fn base_path(text: Option<String>) -> Result<String, SettingError> {
    let Some(text) = non_empty(text) else { return Ok(String::new()) };
    let path = text.trim().trim_end_matches('/');
    if !is_base_path(path) {
        let reason =
            format!("`{text}` is not a path such as /tracing: a slash and letters, digits, `-`, `.`, `_` or `~`");
        return Err(wrong("--base-path / THROUGHLINE_BASE_PATH", reason));
    }
    Ok(path.to_owned())
}

/// The token, or a new one.
fn secret(token: Option<String>) -> SecretString {
    token.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()).into()
}

fn port_file(path: &Path) -> Result<(), SettingError> {
    let setting = "--port-file / THROUGHLINE_PORT_FILE";
    if path.file_name().is_none() || path.is_dir() {
        return Err(wrong(setting, format!("`{}` is not the path of a file", path.display())));
    }
    let folder = addresses::folder(path);
    if !folder.is_dir() {
        return Err(wrong(setting, format!("`{}` is not a directory; create it first", folder.display())));
    }
    Ok(())
}

fn non_empty(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.trim().is_empty())
}

fn address(setting: &'static str, text: &str) -> Result<SocketAddr, SettingError> {
    let text = text.trim();
    // `localhost` is what people type; a name that needs a resolver is not what is meant.
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| wrong(setting, format!("`{text}` is not an address and port such as 127.0.0.1:3000")))
}

fn origin(text: &str) -> Result<String, SettingError> {
    let setting = "--allow-origin / FRONTEND_URL";
    let url = Url::parse(text).map_err(|error| wrong(setting, format!("`{text}` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(setting, format!("`{text}` is not an http or https origin")));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong(setting, format!("`{text}` is more than an origin: scheme, host and port are all of it")));
    }
    Ok(url.origin().ascii_serialization())
}

fn resource_attributes(text: &str) -> Result<Vec<(String, String)>, SettingError> {
    let setting = "--resource-attributes / OTEL_RESOURCE_ATTRIBUTES";
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| wrong(setting, format!("`{pair}` has no `=`")))?;
            if key.trim().is_empty() {
                return Err(wrong(setting, format!("`{pair}` has no key")));
            }
            let value = percent_encoding::percent_decode_str(value.trim())
                .decode_utf8()
                .map_err(|_| wrong(setting, format!("the value of `{}` is not UTF-8", key.trim())))?;
            Ok((key.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

/// The settings as a Markdown table, for the README.
pub(crate) fn markdown(identity: &Identity) -> String {
    let mut table = String::from("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for argument in command(identity).get_arguments() {
        let (Some(flag), Some(environment)) = (argument.get_long(), argument.get_env()) else { continue };
        let default = argument.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
        let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        table.push_str(&format!(
            "| `--{flag}` | `{}` | {} | {meaning} |\n",
            environment.to_string_lossy(),
            default.unwrap_or_default()
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, SettingError> {
        let arguments = std::iter::once("throughline").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).unwrap().args.resolve(&Identity::default())
    }

    #[test]
    fn the_defaults_stand() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(settings.doors.trusted_listen.to_string(), "127.0.0.1:4318");
        assert_eq!(settings.doors.grpc_listen.unwrap().to_string(), "127.0.0.1:4317");
        assert!(settings.doors.trusted_token.is_none() && settings.doors.ticket_keys.is_none());
        assert_eq!(settings.doors.scrub.len(), 3);
        assert_eq!(settings.service_name, "throughline");
        assert_eq!(settings.browser_service_name, "throughline-web");
        assert!(settings.outbox.upstreams.is_empty());
        assert!(matches!(settings.access, Access::Local));
        assert_eq!(settings.trusted_proxies.len(), 2);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_name_of_the_setting() {
        for (arguments, part) in [
            (&["--listen", "nonsense"][..], "--listen"),
            (&["--listen", "127.0.0.1:70000"], "--listen"),
            (&["--trusted-listen", "0.0.0.0:4318"], "loopback"),
            (&["--grpc-listen", "0.0.0.0:4317"], "loopback"),
            (&["--grpc-listen", "127.0.0.1:4318"], "--grpc-listen"),
            (&["--trusted-token", "short"], "--trusted-token"),
            (&["--ticket-key", "short"], "--ticket-key"),
            (&["--scrub", "cards"], "--scrub"),
            (&["--scrub-pattern", "("], "--scrub-pattern"),
            (&["--read-timeout", "0"], "--read-timeout"),
            (&["--max-connections", "0"], "--max-connections"),
            (&["--trusted-proxies", "10.0.0.0/33"], "--trusted-proxies"),
            (&["--listen", "127.0.0.1:4318"], "--trusted-listen"),
            (&["--allow-origin", "localhost:3000"], "--allow-origin"),
            (&["--allow-origin", "https://a.example/path"], "more than an origin"),
            (&["--inspector-access", "maybe"], "--inspector-access"),
            (&["--access-token", "short"], "--access-token"),
            (&["--resource-attributes", "novalue"], "--resource-attributes"),
            (&["--otlp-endpoint", "ftp://x"], "--otlp-endpoint"),
            (&["--self-check", "maybe"], "--self-check"),
            (&["--port-file", "/no-such-directory/ports.json"], "--port-file"),
            (&["--port-file", "/"], "--port-file"),
            (&["--log", "a=b=c"], "--log"),
        ] {
            let error = settings(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn with_a_token_the_trusted_doors_may_be_anywhere() {
        let settings = settings(&[
            "--trusted-listen",
            "0.0.0.0:4318",
            "--grpc-listen",
            "off",
            "--trusted-token",
            "0123456789abcdef",
        ])
        .unwrap();
        assert_eq!(settings.doors.grpc_listen, None);
        assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn a_public_address_wants_a_token() {
        let settings = settings(&["--listen", "0.0.0.0:3000"]).unwrap();
        assert!(matches!(settings.access, Access::Token(_)) && settings.token_is_new);
        let settings = self::settings(&["--listen", "0.0.0.0:3000", "--inspector-access", "open"]).unwrap();
        assert!(matches!(settings.access, Access::Open));
    }

    #[test]
    fn names_come_from_the_attributes_unless_they_are_given() {
        let settings =
            settings(&["--resource-attributes", "service.name=a,deployment.environment.name=x%20y"]).unwrap();
        assert_eq!(settings.service_name, "a");
        assert_eq!(settings.resource_attributes, [("deployment.environment.name".to_owned(), "x y".to_owned())]);
        let settings = self::settings(&["--resource-attributes", "service.name=a", "--service-name", "b"]).unwrap();
        assert_eq!(settings.service_name, "b");
    }
}
