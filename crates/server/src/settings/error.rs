//! Errors of settings. Each names the flag and the environment variable; none contains a secret.

use std::{borrow::Cow, error::Error as _};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use thiserror::Error;

/// The names of the setting for the configuration file.
pub(super) const CONFIG: &str = "--config / THROUGHLINE_CONFIG";

/// A setting with an invalid value.
#[derive(Debug, Error)]
#[error("{setting}: {reason}")]
pub(crate) struct SettingError {
    setting: Cow<'static, str>,
    pub(super) reason: String,
}

pub(super) fn wrong(setting: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> SettingError {
    SettingError { setting: setting.into(), reason: reason.into() }
}

/// The error of a command line that cannot be parsed.
#[derive(Debug, Error)]
pub(crate) enum ParseError {
    /// A setting has an invalid value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The command line is invalid, or requests help or the version, which clap also returns as an error.
    #[error(transparent)]
    Usage(#[from] clap::Error),
}

impl ParseError {
    /// Converts an error that clap returned for `command`. clap's message contains the value, which may be a secret, and does not
    /// name the environment variable.
    pub(super) fn of(error: clap::Error, command: &Command) -> Self {
        match setting_error(&error, command) {
            Some(error) => Self::Setting(error),
            None => Self::Usage(error),
        }
    }
}

fn setting_error(error: &clap::Error, command: &Command) -> Option<SettingError> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    // The context is a text such as `--listen <ADDR>`.
    let flag = text(error, ContextKind::InvalidArg)?.strip_prefix("--")?.split_whitespace().next()?;
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag))?;
    let value = text(error, ContextKind::InvalidValue).unwrap_or("");
    let reason = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, _) if value.is_empty() => "a value is required".to_owned(),
        (None, Some(ContextValue::Strings(valid))) => format!("`{value}` is not one of {}", valid.join(", ")),
        (None, _) => return None,
    };
    let is_repeated = argument.is_hide_env_values_set() && !value.is_empty() && reason.contains(value);
    let reason = if is_repeated { "the value is invalid".to_owned() } else { reason };
    Some(wrong(names(argument), reason))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Returns the names of a setting, such as `--listen / THROUGHLINE_LISTEN`.
fn names(argument: &Arg) -> String {
    let mut names = format!("--{}", argument.get_long().unwrap_or_else(|| argument.get_id().as_str()));
    if let Some(variable) = argument.get_env() {
        names.push_str(" / ");
        names.push_str(&variable.to_string_lossy());
    }
    names
}
