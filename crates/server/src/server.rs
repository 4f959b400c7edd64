//! [`Server`]: the command line, around an application or alone.

use std::{fmt, process::ExitCode};

use throughline_self_check::Outcome;

use crate::{
    application::{Application, BoxError, Context},
    archive, doctor, healthcheck, serve,
    settings::{self, Command, Identity},
};

/// BSD's `EX_USAGE`: a setting is wrong, and nothing was started.
const EXIT_USAGE: u8 = 64;

pub(crate) type Build = Box<dyn FnOnce(&Context) -> Result<Application, BoxError> + Send>;

/// A server as a program: receiver, store, inspector and forwarder, alone or around an application.
///
/// The program has the command line of `throughline`: the settings (flags, environment) and the commands `doctor`, `backup`, `export`,
/// `import`, and so on.
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
    /// `throughline` alone.
    pub fn new() -> Self {
        Self { identity: Identity::default(), build: None }
    }

    /// The name of the program in its help, its messages and its banner, and what its help says that it is. The name is the
    /// default of `service.name` and the beginning of the targets whose `tracing` spans are recorded, besides those of Throughline.
    pub fn name(mut self, name: &'static str, about: &'static str) -> Self {
        self.identity = Identity { name, about };
        self
    }

    /// Serves an application at the same address. `build` is called once, in the server's Tokio runtime, when the data directory
    /// is there and before any socket is bound; its error ends the program.
    pub fn application(
        mut self,
        build: impl FnOnce(&Context) -> Result<Application, BoxError> + Send + 'static,
    ) -> Self {
        self.build = Some(Box::new(build));
        self
    }

    /// Runs the command line of this process. The exit code is 64 (`EX_USAGE`) if a setting is wrong, 1 if something failed.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let Self { identity, build } = self;
        let wrong_setting = |error: &settings::SettingError| {
            eprintln!("{}: a setting is wrong: {error}", identity.name);
            ExitCode::from(EXIT_USAGE)
        };
        let cli = match settings::parse(&identity, std::env::args_os()) {
            Ok(cli) => cli,
            Err(settings::ParseError::Setting(error)) => return wrong_setting(&error),
            Err(settings::ParseError::Usage(error)) => {
                // Help and version are printed this way too.
                // best effort: nobody reads the output if it is closed.
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
            Err(error) => return wrong_setting(&error),
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
                    return wrong_setting(&error);
                }
                match cli.command {
                    Some(Command::RotateIngestTokenKey) => settings.receivers.rotate_ingest_token_key(&settings.data_dir),
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

/// Installs the provider of cryptography that `reqwest` uses, which is built without one. An application's own is kept.
pub(crate) fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // best effort: another thread may have installed one meanwhile, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
