//! The configuration file: sinks and retention are tables, other settings have the names of their flags.

mod format;

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use clap::{Arg, Command};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use toml::{Spanned, Value};

use self::format::{Document, HeaderSource, SinkTable};
use super::{
    ParseError, SettingError,
    cli::id_of_key,
    error::CONFIG,
    sinks::{Headers, Upstream, base_url},
    wrong,
};

/// Arguments that are keys of a table in the file, or that the file cannot set.
const NOT_TOP_LEVEL: [&str; 6] =
    ["config", "sink", "sink_headers", "retain_for", "retain_bytes", "retain_unsent_bytes"];
const TABLES: [&str; 2] = ["sink", "retention"];

/// A checked configuration file.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) sinks: Vec<Upstream>,
    /// The values of arguments by argument id.
    pub(super) values: BTreeMap<String, String>,
}

impl ConfigFile {
    /// Reads a file. `command` has the arguments that the file can set, and their value parsers.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, SettingError> {
        let text = fs::read_to_string(path)
            .map_err(|error| wrong(CONFIG, format!("cannot read `{}`: {error}", path.display())))?;
        Self::parse(&Source { path, text: &text }, command, |name| std::env::var(name).ok())
    }

    fn parse(
        source: &Source<'_>,
        command: &Command,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingError> {
        let document: Document = toml::from_str(source.text)
            .map_err(|error| source.wrong(error.span(), format::describe(error.message())))?;
        let mut file = Self::default();
        for table in document.sinks {
            let sink = sink(source, table, &variable)?;
            if file.sinks.iter().any(|other| other.name == sink.name) {
                let reason = format!("`{}`: duplicate sink name `{}`", source.path.display(), sink.name);
                return Err(wrong(CONFIG, reason));
            }
            file.sinks.push(sink);
        }
        // Without environment variables, only the values of the file are checked.
        let arguments = command.clone().mut_args(|argument| argument.env(None::<&'static str>));
        let retention = [
            ("for", "retain_for", document.retention.age),
            ("bytes", "retain_bytes", document.retention.bytes),
            ("unsent_bytes", "retain_unsent_bytes", document.retention.unsent_bytes),
        ];
        for (key, id, value) in retention.into_iter().filter_map(|(key, id, value)| Some((key, id, value?))) {
            file.values.insert(id.to_owned(), checked(source, &arguments, &format!("retention.{key}"), id, &value)?);
        }
        for (key, value) in document.others {
            let name = key.get_ref();
            let id = id_of_key(name);
            let known = known_keys(&arguments);
            if !known.contains(&id) {
                return Err(source.wrong(Some(key.span()), format::unknown_key(name, &known)));
            }
            file.values.insert(id.to_owned(), checked(source, &arguments, name, id, &value)?);
        }
        Ok(file)
    }
}

/// The text and the path of a file.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn wrong(&self, span: Option<Range<usize>>, reason: impl std::fmt::Display) -> SettingError {
        let before = span.and_then(|span| self.text.get(..span.start));
        let line = before.map(|before| format!(" line {}", before.matches('\n').count() + 1));
        wrong(CONFIG, format!("`{}`{}: {reason}", self.path.display(), line.as_deref().unwrap_or("")))
    }
}

/// Returns the top-level keys of a file.
fn known_keys(command: &Command) -> Vec<&str> {
    let arguments = command.get_arguments().filter(|argument| argument.get_long().is_some());
    let ids = arguments.map(|argument| argument.get_id().as_str()).filter(|id| !NOT_TOP_LEVEL.contains(id));
    ids.chain(TABLES).collect()
}

/// Converts a value to the text of a flag, and checks it with the value parser of the argument.
fn checked(
    source: &Source<'_>,
    arguments: &Command,
    key: &str,
    id: &str,
    value: &Spanned<Value>,
) -> Result<String, SettingError> {
    let argument = arguments.get_arguments().find(|argument| argument.get_id() == id).expect("the key is known");
    let wrong = |reason: String| source.wrong(Some(value.span()), format!("`{key}`: {reason}"));
    let text = flag_value(argument, value.get_ref()).map_err(|expected| wrong(format!("expected {expected}")))?;
    let flag = format!("--{}={text}", argument.get_long().expect("every argument is a flag"));
    match arguments.clone().try_get_matches_from(["throughline", &flag]) {
        Ok(_) => Ok(text),
        Err(error) => Err(match ParseError::of(error, arguments) {
            ParseError::Setting(error) => wrong(error.reason),
            // clap's message may contain the value.
            ParseError::Usage(_) => wrong("the value is invalid".to_owned()),
        }),
    }
}

/// Converts a value to the text of a flag, or returns the expected types. The value name in the help (`SWITCH`, `MS`) is the type.
fn flag_value(argument: &Arg, value: &Value) -> Result<String, &'static str> {
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (name, value) {
        (_, Value::String(text)) => Ok(text.clone()),
        ("SWITCH", Value::Boolean(is_on)) => Ok(if *is_on { "on" } else { "off" }.to_owned()),
        ("MS" | "N" | "NUMBER" | "SECONDS" | "SIZE" | "LIST", Value::Integer(number)) => Ok(number.to_string()),
        ("SECONDS", Value::Float(number)) => Ok(number.to_string()),
        ("LIST" | "ORIGIN", Value::Array(entries)) => {
            let entries = entries.iter().map(|entry| match entry {
                Value::String(text) => Ok(text.clone()),
                Value::Integer(number) => Ok(number.to_string()),
                _ => Err("an array of strings"),
            });
            Ok(entries.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        ("SWITCH", _) => Err("true or false"),
        ("MS" | "N" | "NUMBER" | "SECONDS", _) => Err("a number"),
        ("SIZE", _) => Err("a string such as \"10GiB\", or a number of bytes"),
        ("LIST" | "ORIGIN", _) => Err("a string, or an array of strings"),
        _ => Err("a string"),
    }
}

fn sink(
    source: &Source<'_>,
    table: SinkTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Upstream, SettingError> {
    let urls = base_url(table.url.get_ref())
        .map_err(|reason| source.wrong(Some(table.url.span()), format!("`url`: {reason}")))?;
    let mut headers = Headers::new();
    for (key, value) in table.headers {
        let span = value.span();
        let header = header(&key, value.into_inner(), &variable);
        headers.push(header.map_err(|reason| source.wrong(Some(span), format!("header `{key}`: {reason}")))?);
    }
    Upstream::new(table.name.get_ref(), urls, headers)
        .map_err(|reason| source.wrong(Some(table.name.span()), format!("`name`: {reason}")))
}

/// Checks a header. Errors do not contain the value, which may be a secret.
fn header(
    name: &str,
    value: HeaderSource,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(String, SecretString), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the header name is invalid")?;
    let value = match value {
        HeaderSource::Text(value) => value,
        HeaderSource::Variable(variable_name) => variable(&variable_name)
            .filter(|value| !value.is_empty())
            .map(SecretString::from)
            .ok_or_else(|| format!("the environment variable {variable_name} is not set"))?,
    };
    HeaderValue::from_str(value.expose_secret()).map_err(|_| "the value has characters that a header cannot have")?;
    Ok((name.as_str().to_owned(), value))
}

#[cfg(test)]
mod tests;
