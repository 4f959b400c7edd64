//! The binary `throughline`: Cruddur's API, the doors for telemetry, the store, the inspector's API and the pages, in one
//! process.

mod app;
mod archive;
mod assets;
mod caller;
mod cookie;
mod cruddur;
mod doctor;
mod error;
mod healthcheck;
mod inspector;
mod listen;
mod self_check;
mod serve;
mod settings;
mod telemetry;

use std::process::ExitCode;

use settings::Command;
use throughline_self_check::Outcome;

/// BSD's `EX_USAGE`: a setting is wrong, and nothing was started.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match settings::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; nobody is left to tell if the output is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if let Some(Command::Settings) = cli.command {
        print!("{}", settings::markdown());
        return ExitCode::SUCCESS;
    }
    let settings = match cli.args.resolve() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("throughline: a setting is wrong: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    // Before any client is made: reqwest is built without a provider of its own. A second call would be an error of no account.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match cli.command {
        Some(Command::Healthcheck) => healthcheck::run(settings.listen),
        Some(Command::Doctor) => match doctor::run(&settings) {
            Ok(Outcome::Bad) => return ExitCode::FAILURE,
            other => other.map(drop),
        },
        Some(Command::Backup { directory }) => archive::backup(&settings.data_dir, &directory),
        Some(Command::Export { file, format, signal }) => archive::export(&settings.data_dir, &file, format, signal),
        Some(Command::Import { files, format, signal }) => {
            serve::with_store(&settings, |store| archive::import(store, &files, format, signal))
        }
        Some(Command::Settings | Command::RotateTicketKey) | None => {
            if let Err(error) = settings.make_data_dir() {
                eprintln!("throughline: a setting is wrong: {error}");
                return ExitCode::from(EXIT_USAGE);
            }
            match cli.command {
                Some(Command::RotateTicketKey) => settings.doors.rotate_ticket_key(&settings.data_dir),
                _ => serve::run(settings),
            }
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughline: {error:#}");
            if error.is::<archive::Usage>() || error.is::<settings::SettingError>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
