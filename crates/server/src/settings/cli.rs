//! The command line: its commands, and the layers of values (flags, environment, configuration file, defaults).

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{
    Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::OsStringValueParser,
};

use super::{Args, ParseError, file::ConfigFile};
use crate::archive::{Format, Kind};

/// The name and the description of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "throughline",
            about: "End-to-end tracing for web applications: receives OTLP, stores and shows traces, and forwards them",
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
    /// Checks whether a server is running, for container health checks; the exit code is 0 if it is.
    Healthcheck,
    /// Checks every step from a span in this program to the sinks, and prints each fault with help; the exit code is 1 if traces do
    /// not arrive. Does not change the data directory.
    Doctor,
    /// Copies traces, log records, metrics, and the position of each sink into a new directory; the server may be running.
    Backup {
        /// The directory to create; it must not exist.
        directory: PathBuf,
    },
    /// Writes all records of one signal to a file, as OTLP in JSON or protobuf; the server may be running.
    Export {
        /// The file to create; it must not exist.
        file: PathBuf,
        /// The format; by default protobuf for `.pb` and similar extensions, otherwise JSON.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// The signal to export.
        #[arg(long, value_enum, default_value = "traces")]
        signal: Kind,
    },
    /// Stores the records of OTLP files in JSON or protobuf, optionally compressed with gzip; the server must not be running.
    Import {
        /// The files to read.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The format; by default protobuf for `.pb` and similar extensions, otherwise JSON.
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// The signal of the records; by default detected in JSON, and `traces` in protobuf.
        #[arg(long, value_enum)]
        signal: Option<Kind>,
    },
    /// Prints every setting as a Markdown table.
    Settings,
    /// Generates a new ingest token key in the data directory. A running server starts to use it; tokens signed with the old key
    /// are valid until they expire.
    #[command(alias = "rotate-ticket-key")]
    RotateIngestTokenKey,
}

/// A former name of a setting, which still works and is not documented.
struct FormerName {
    /// The id of the argument.
    id: &'static str,
    flag: &'static str,
    environment: &'static str,
}

const FORMER_NAMES: [FormerName; 5] = [
    FormerName { id: "otlp_listen", flag: "trusted-listen", environment: "THROUGHLINE_TRUSTED_LISTEN" },
    FormerName { id: "otlp_token", flag: "trusted-token", environment: "THROUGHLINE_TRUSTED_TOKEN" },
    FormerName { id: "ingest_token_key", flag: "ticket-key", environment: "THROUGHLINE_TICKET_KEY" },
    FormerName { id: "redact", flag: "scrub", environment: "THROUGHLINE_SCRUB" },
    FormerName { id: "redact_pattern", flag: "scrub-pattern", environment: "THROUGHLINE_SCRUB_PATTERN" },
];

/// Returns the id of the argument with the former key `key` in a configuration file; `key` itself if there is none.
pub(super) fn id_of_key(key: &str) -> &str {
    let former = FORMER_NAMES.iter().find(|former| former.flag.replace('-', "_") == key);
    former.map_or(key, |former| former.id)
}

/// Parses a command line.
///
/// A flag takes precedence over its environment variable, the variable over the configuration file, and the file over the default.
/// An empty or blank variable counts as absent, so that a `.env` file can name variables that it does not set.
pub(crate) fn parse(identity: &Identity, arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ParseError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_set = |name: &OsStr| std::env::var_os(name).is_some_and(|value| !value.to_string_lossy().trim().is_empty());
    let command = command(identity).mut_args(|argument| {
        // Flags are accepted before and after the name of a command.
        let argument = argument.global(true);
        let former = FORMER_NAMES.iter().find(|former| argument.get_id() == former.id);
        let argument = match former {
            Some(former) => argument.alias(former.flag),
            None => argument,
        };
        let Some(name) = argument.get_env().map(OsStr::to_owned).filter(|name| !is_set(name)) else { return argument };
        match former.map(|former| former.environment).filter(|former| is_set(OsStr::new(former))) {
            Some(former) => argument.env(former),
            None if std::env::var_os(name).is_some() => argument.env(None::<&'static str>),
            None => argument,
        }
    });
    let file = match config_path(command.clone(), &arguments) {
        Some(path) => ConfigFile::read(&path, &command)?,
        None => ConfigFile::default(),
    };
    let ConfigFile { sinks, mut values } = file;
    let command = command.mut_args(|argument| match values.remove(argument.get_id().as_str()) {
        Some(value) => argument.default_value(value),
        None => argument,
    });
    let matches = command.clone().try_get_matches_from(arguments).map_err(|error| ParseError::of(error, &command))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.args.outbox.sinks_of_file = sinks;
    Ok(cli)
}

/// Returns the path of the configuration file. An invalid command line also returns `None`: the error is reported when it is parsed
/// in full.
fn config_path(command: clap::Command, arguments: &[OsString]) -> Option<PathBuf> {
    // Values are not checked here, so that the file is read and checked even if a flag has an invalid value.
    let unchecked = |argument: Arg| match argument.get_action() {
        ArgAction::Set | ArgAction::Append => argument.value_parser(OsStringValueParser::new()),
        _ => argument,
    };
    let matches = command.mut_args(unchecked).try_get_matches_from(arguments).ok()?;
    matches.get_one::<OsString>("config").map(PathBuf::from)
}

pub(super) fn command(identity: &Identity) -> clap::Command {
    Cli::command().name(identity.name).about(identity.about)
}

/// Formats all settings as a Markdown table, for the README.
pub(crate) fn markdown(identity: &Identity) -> String {
    let mut table = String::from("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for argument in command(identity).get_arguments() {
        let (Some(flag), Some(environment)) = (argument.get_long(), argument.get_env()) else { continue };
        let default = argument.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
        let meaning = argument.get_help().map(ToString::to_string).expect("every setting has a doc comment");
        table.push_str(&format!(
            "| `--{flag}` | `{}` | {} | {meaning} |\n",
            environment.to_string_lossy(),
            default.as_deref().unwrap_or("")
        ));
    }
    table
}
