//! [`Server`]: the command-line program, with or without an application.

use std::{fmt, process::ExitCode};

use throughline_self_check::Outcome;

use crate::{
    application::{Application, BoxError, Context},
    archive, doctor, healthcheck, serve,
    settings::{self, Command, Identity},
};

/// BSD's `EX_USAGE`: a setting is invalid, and nothing was started.
const EXIT_USAGE: u8 = 64;

pub(crate) type Build = Box<dyn FnOnce(&Context) -> Result<Application, BoxError> + Send>;

/// A server program with receivers, store, inspector and forwarder, with or without an application.
///
/// The program has the command line of `throughline`: its settings (flags, environment variables, configuration file) and its commands,
/// such as `doctor`, `backup`, `export` and `import`.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use throughline::{Application, Server};
///
/// fn main() -> std::process::ExitCode {
///     Server::new()
///         .name("notes", "A place for notes")
///         .application(|_context| Ok(Application::new(Router::new().route("/", get(|| async { "hello" })))))
///         .main()
/// }
/// ```
#[must_use]
pub struct Server {
    identity: Identity,
    build: Option<Build>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Creates the program `throughline`, without an application.
    pub fn new() -> Self {
        Self { identity: Identity::default(), build: None }
    }

    /// Sets the name of the program in its help and messages, and the description in its help.
    ///
    /// The name is also the default of `service.name`. `tracing` spans are recorded if their target starts with this name or with
    /// `throughline`.
    pub fn name(mut self, name: &'static str, about: &'static str) -> Self {
        self.identity = Identity { name, about };
        self
    }

    /// Serves an application at the same address.
    ///
    /// `build` is called once, in the server's Tokio runtime, after the data directory has been opened and before a socket is bound. If
    /// it returns an error, the program exits.
    pub fn application(
        mut self,
        build: impl FnOnce(&Context) -> Result<Application, BoxError> + Send + 'static,
    ) -> Self {
        self.build = Some(Box::new(build));
        self
    }

    /// Runs the command line of this process. The exit code is 64 (`EX_USAGE`) for invalid settings or arguments, and 1 for any other
    /// error.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let Self { identity, build } = self;
        let invalid_setting = |error: &settings::SettingError| {
            eprintln!("{}: invalid setting: {error}", identity.name);
            ExitCode::from(EXIT_USAGE)
        };
        let cli = match settings::parse(&identity, std::env::args_os()) {
            Ok(cli) => cli,
            Err(settings::ParseError::Setting(error)) => return invalid_setting(&error),
            Err(settings::ParseError::Usage(error)) => {
                // clap returns help and version as errors too.
                // best effort: printing fails only if the output is closed.
                let _ = error.print();
                return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
            }
        };
        if let Some(Command::Settings) = cli.command {
            print!("{}", settings::markdown(&identity));
            return ExitCode::SUCCESS;
        }
        let settings = match cli.args.resolve(&identity) {
            Ok(settings) => settings,
            Err(error) => return invalid_setting(&error),
        };
        install_crypto_provider();
        let result = match cli.command {
            Some(Command::Healthcheck) => healthcheck::run(settings.listen),
            Some(Command::Doctor) => match doctor::run(&settings) {
                Ok(Outcome::Bad) => return ExitCode::FAILURE,
                other => other.map(drop),
            },
            Some(Command::Backup { directory }) => archive::backup(&settings.data_dir, &directory),
            Some(Command::Export { file, format, signal }) => {
                archive::export(&settings.data_dir, &file, format, signal)
            }
            Some(Command::Import { files, format, signal }) => {
                serve::with_store(&settings, |store| archive::import(store, &files, format, signal))
            }
            Some(Command::Settings | Command::RotateIngestTokenKey) | None => {
                if let Err(error) = settings.make_data_dir() {
                    return invalid_setting(&error);
                }
                match cli.command {
                    Some(Command::RotateIngestTokenKey) => {
                        settings.receivers.rotate_ingest_token_key(&settings.data_dir)
                    }
                    _ => serve::run(settings, build),
                }
            }
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", identity.name);
                if error.is::<archive::Usage>() || error.is::<settings::SettingError>() {
                    ExitCode::from(EXIT_USAGE)
                } else {
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Installs the crypto provider for `reqwest`, which is built without one. A provider that the application has installed is kept.
pub(crate) fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // best effort: this fails only if another thread has installed one in the meantime.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
