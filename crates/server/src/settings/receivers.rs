//! Settings of the receivers.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::Args;
use secrecy::SecretString;
use throughline_intake::{IngestTokenKey, IngestTokenKeys, RedactionRule};

use super::{
    SettingError,
    values::{List, Maybe, OFF, address, address_or_off, token},
    wrong,
};
use crate::listen::ConnectionLimits;

const OTLP_LISTEN: &str = "--otlp-listen / THROUGHLINE_OTLP_LISTEN";
const GRPC_LISTEN: &str = "--grpc-listen / THROUGHLINE_GRPC_LISTEN";
const MAX_READ_TIMEOUT_S: f64 = 3600.0;
const MAX_CONNECTIONS: usize = 1_000_000;

/// The arguments, each parsed on its own.
#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// The address of the OTLP/HTTP receiver for other programs; an address that is not loopback requires `--otlp-token`
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4318",
        value_parser = address
    )]
    otlp_listen: SocketAddr,
    /// The address of the OTLP/gRPC receiver, with the same requirement; `off` for none
    #[arg(
        long,
        env = "THROUGHLINE_GRPC_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4317",
        value_parser = address_or_off
    )]
    grpc_listen: Maybe<SocketAddr>,
    /// The token that programs send to these receivers as `authorization: Bearer …`, at least 16 characters; not required by default
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = token
    )]
    otlp_token: Option<SecretString>,
    /// The key that signs the ingest tokens of pages, 64 hex digits, and after a comma older keys whose tokens are still valid; by
    /// default a key is generated and kept in the data directory
    #[arg(
        long,
        env = "THROUGHLINE_INGEST_TOKEN_KEY",
        value_name = "KEYS",
        hide_env_values = true,
        value_parser = ingest_token_keys
    )]
    ingest_token_key: Option<IngestTokenKeys>,
    /// The kinds of secrets that are removed from the records of pages: `authorization`, `card`, `email`, or `off` for none
    #[arg(
        long,
        env = "THROUGHLINE_REDACT",
        value_name = "LIST",
        default_value = "authorization,card,email",
        value_parser = redaction_rules
    )]
    redact: List<RedactionRule>,
    /// A regular expression whose matches are also removed from the records of pages
    #[arg(long, env = "THROUGHLINE_REDACT_PATTERN", value_name = "REGEX", value_parser = redact_pattern)]
    redact_pattern: Option<RedactionRule>,
    /// The timeout in seconds for reading the head of a request, and at the receivers also its body
    #[arg(
        long,
        env = "THROUGHLINE_READ_TIMEOUT",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds
    )]
    read_timeout: Duration,
    /// The maximum number of open connections of each listener; further connections wait
    #[arg(
        long,
        env = "THROUGHLINE_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = connections
    )]
    max_connections: usize,
}

/// The checked settings of the receivers.
#[derive(Clone, Debug)]
pub(crate) struct ReceiverSettings {
    pub(crate) otlp_listen: SocketAddr,
    pub(crate) grpc_listen: Option<SocketAddr>,
    pub(crate) otlp_token: Option<SecretString>,
    /// `None` if the key is kept in the data directory.
    pub(crate) ingest_token_keys: Option<IngestTokenKeys>,
    pub(crate) redact: Vec<RedactionRule>,
    pub(crate) connection_limits: ConnectionLimits,
}

impl ReceiverArgs {
    /// Checks the rules that need several settings. `listen` is the address on which pages are served.
    pub(super) fn resolve(self, listen: SocketAddr) -> Result<ReceiverSettings, SettingError> {
        let otlp_listen = self.otlp_listen;
        let grpc_listen = self.grpc_listen.0;
        let receivers = [(OTLP_LISTEN, Some(otlp_listen)), (GRPC_LISTEN, grpc_listen)];
        for (setting, receiver) in receivers.into_iter().filter_map(|(setting, address)| Some((setting, address?))) {
            if !receiver.ip().is_loopback() && self.otlp_token.is_none() {
                let reason = format!(
                    "`{receiver}` is not a loopback address, and the receiver would accept records from any machine; set \
                     --otlp-token / THROUGHLINE_OTLP_TOKEN as well"
                );
                return Err(wrong(setting, reason));
            }
            if receiver == listen && receiver.port() != 0 {
                return Err(wrong(setting, format!("`{receiver}` is already the address of --listen")));
            }
        }
        if grpc_listen.is_some_and(|grpc| grpc == otlp_listen && grpc.port() != 0) {
            return Err(wrong(GRPC_LISTEN, format!("`{otlp_listen}` is already the address of --otlp-listen")));
        }
        let mut redact = self.redact.0;
        redact.extend(self.redact_pattern);
        Ok(ReceiverSettings {
            otlp_listen,
            grpc_listen,
            otlp_token: self.otlp_token,
            ingest_token_keys: self.ingest_token_key,
            redact,
            connection_limits: ConnectionLimits {
                read_timeout: self.read_timeout,
                max_connections: self.max_connections,
            },
        })
    }
}

impl ReceiverSettings {
    /// Generates a new ingest token key in the data directory. Tokens signed with the old key are valid until they expire.
    pub(crate) fn rotate_ingest_token_key(&self, data_dir: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ingest_token_keys.is_none(),
            "the key is set by --ingest-token-key / THROUGHLINE_INGEST_TOKEN_KEY; add a new key before it, separated by a comma"
        );
        IngestTokenKeys::rotate(data_dir)?;
        println!("generated a new ingest token key; tokens signed with the old key are valid until they expire");
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= MAX_READ_TIMEOUT_S);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is not a number of seconds above 0 and up to 3600"))
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=MAX_CONNECTIONS).contains(number));
    number.ok_or_else(|| format!("`{text}` is not a number from 1 to {MAX_CONNECTIONS}"))
}

/// Parses keys in hex, separated by commas. Errors do not contain them.
fn ingest_token_keys(text: &str) -> Result<IngestTokenKeys, &'static str> {
    const EXPECTED: &str = "expected a key of 64 hex digits, or several separated by commas";
    let mut keys = text.split(',').map(|key| ingest_token_key(key.trim()).ok_or(EXPECTED));
    let current = keys.next().ok_or(EXPECTED)??;
    Ok(IngestTokenKeys::new(current, keys.collect::<Result<_, _>>()?))
}

fn ingest_token_key(text: &str) -> Option<IngestTokenKey> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(IngestTokenKey::from_bytes(bytes))
}

fn redaction_rules(list: &str) -> Result<List<RedactionRule>, String> {
    if list.trim() == OFF {
        return Ok(List(Vec::new()));
    }
    List::parse(list, ',', |name| {
        name.parse().map_err(|error: throughline_intake::UnknownRedactionRule| error.to_string())
    })
}

fn redact_pattern(text: &str) -> Result<RedactionRule, String> {
    RedactionRule::pattern(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_64_hex_digits() {
        let (new, old) = ("ab".repeat(32), "01".repeat(32));
        assert!(ingest_token_keys(&new).is_ok());
        assert!(ingest_token_keys(&format!("{new}, {old}")).is_ok());
        for wrong in [&new[1..], "", &format!("{new},"), &format!("{new},x"), &"é".repeat(32)] {
            assert!(ingest_token_keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn redaction_rules_are_parsed() {
        assert_eq!(redaction_rules("authorization, card,email").unwrap().0.len(), 3);
        assert!(redaction_rules("off").unwrap().0.is_empty());
        assert!(redaction_rules("cards").is_err());
        assert!(redact_pattern("emp-[0-9]+").is_ok() && redact_pattern("(").is_err());
    }

    #[test]
    fn timeouts_and_connections_have_limits() {
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(connections("1000000"), Ok(1_000_000));
        for wrong in ["0", "-1", "1000001", "", "many"] {
            assert!(connections(wrong).is_err(), "{wrong}");
        }
    }
}
