//! Settings of the receivers.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::Args;
use secrecy::SecretString;
use throughline_intake::{RedactionRule, IngestTokenKey, IngestTokenKeys};

use super::{
    SettingError,
    values::{List, Maybe, OFF, address, address_or_off, token},
    wrong,
};
use crate::listen::ConnectionLimits;

const OTLP_LISTEN: &str = "--otlp-listen / THROUGHLINE_OTLP_LISTEN";
const GRPC_LISTEN: &str = "--grpc-listen / THROUGHLINE_GRPC_LISTEN";
const LONGEST_READ_TIMEOUT_S: f64 = 3600.0;
const MOST_CONNECTIONS: usize = 1_000_000;

/// The arguments as they were typed.
#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// The OTLP/HTTP receiver for programs on this machine; for those on other machines only with a token
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4318",
        value_parser = address
    )]
    otlp_listen: SocketAddr,
    /// The same receiver for OTLP/gRPC; `off` for none
    #[arg(
        long,
        env = "THROUGHLINE_GRPC_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4317",
        value_parser = address_or_off
    )]
    grpc_listen: Maybe<SocketAddr>,
    /// The token that programs send to these receivers as `authorization: Bearer …`, at least 16 characters; none by default
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = token
    )]
    otlp_token: Option<SecretString>,
    /// The key that signs the ingest tokens of pages, 64 hex digits; after a comma, older keys whose tokens are still valid; by
    /// default a key is generated and kept in the data directory
    #[arg(
        long,
        env = "THROUGHLINE_INGEST_TOKEN_KEY",
        value_name = "KEYS",
        hide_env_values = true,
        value_parser = ingest_token_keys
    )]
    ingest_token_key: Option<IngestTokenKeys>,
    /// Which secrets are removed from the records of pages, of authorization, card, email; `off` for none
    #[arg(
        long,
        env = "THROUGHLINE_REDACT",
        value_name = "LIST",
        default_value = "authorization,card,email",
        value_parser = redaction_rules
    )]
    redact: List<RedactionRule>,
    /// A regular expression for what else is removed from them
    #[arg(long, env = "THROUGHLINE_REDACT_PATTERN", value_name = "REGEX", value_parser = redact_pattern)]
    redact_pattern: Option<RedactionRule>,
    /// Timeout in seconds for the head of a request, and for its body at the receivers
    #[arg(
        long,
        env = "THROUGHLINE_READ_TIMEOUT",
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds
    )]
    read_timeout: Duration,
    /// How many connections one address serves at once; others wait
    #[arg(
        long,
        env = "THROUGHLINE_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "1024",
        value_parser = connections
    )]
    max_connections: usize,
}

/// The settings of the receivers, checked.
#[derive(Clone, Debug)]
pub(crate) struct ReceiverSettings {
    pub(crate) otlp_listen: SocketAddr,
    pub(crate) grpc_listen: Option<SocketAddr>,
    pub(crate) otlp_token: Option<SecretString>,
    /// `None` if the key is in the data directory.
    pub(crate) ingest_token_keys: Option<IngestTokenKeys>,
    pub(crate) redact: Vec<RedactionRule>,
    pub(crate) connection_limits: ConnectionLimits,
}

impl ReceiverArgs {
    /// Checks what needs several settings. `listen` is the address of pages.
    pub(super) fn resolve(self, listen: SocketAddr) -> Result<ReceiverSettings, SettingError> {
        let otlp_listen = self.otlp_listen;
        let grpc_listen = self.grpc_listen.0;
        let receivers = [(OTLP_LISTEN, Some(otlp_listen)), (GRPC_LISTEN, grpc_listen)];
        for (setting, receiver) in receivers.into_iter().filter_map(|(setting, address)| Some((setting, address?))) {
            if !receiver.ip().is_loopback() && self.otlp_token.is_none() {
                let reason = format!(
                    "`{receiver}` is not a loopback address, and the receiver believes every client; set \
                     --otlp-token / THROUGHLINE_OTLP_TOKEN as well"
                );
                return Err(wrong(setting, reason));
            }
            if receiver == listen && receiver.port() != 0 {
                return Err(wrong(setting, format!("`{receiver}` is the address of --listen already")));
            }
        }
        if grpc_listen.is_some_and(|grpc| grpc == otlp_listen && grpc.port() != 0) {
            return Err(wrong(GRPC_LISTEN, format!("`{otlp_listen}` is the address of --otlp-listen already")));
        }
        let mut redact = self.redact.0;
        redact.extend(self.redact_pattern);
        Ok(ReceiverSettings {
            otlp_listen,
            grpc_listen,
            otlp_token: self.otlp_token,
            ingest_token_keys: self.ingest_token_key,
            redact,
            connection_limits: ConnectionLimits { read_timeout: self.read_timeout, max_connections: self.max_connections },
        })
    }
}

impl ReceiverSettings {
    /// Generates a new key for ingest tokens in the data directory. The key before stays valid for as long as its tokens.
    pub(crate) fn rotate_ingest_token_key(&self, data_dir: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ingest_token_keys.is_none(),
            "the key is set by --ingest-token-key / THROUGHLINE_INGEST_TOKEN_KEY: put a new one before it, separated by a comma"
        );
        IngestTokenKeys::rotate(data_dir)?;
        println!("there is a new key for ingest tokens; tokens of the old key are valid until they expire");
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST_READ_TIMEOUT_S);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is not a number of seconds, above 0 and up to 3600"))
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number.ok_or_else(|| format!("`{text}` is not a number from 1 to {MOST_CONNECTIONS}"))
}

/// Parses keys in hex, separated by commas. An error does not repeat them.
fn ingest_token_keys(text: &str) -> Result<IngestTokenKeys, &'static str> {
    const EXPECTED: &str = "it is not 64 hex digits, or several such separated by commas";
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
    List::parse(list, ',', |name| name.parse().map_err(|error: throughline_intake::UnknownRedactionRule| error.to_string()))
}

fn redact_pattern(text: &str) -> Result<RedactionRule, String> {
    RedactionRule::pattern(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hex_and_never_shown() {
        let (new, old) = ("ab".repeat(32), "01".repeat(32));
        assert!(ingest_token_keys(&new).is_ok());
        assert!(ingest_token_keys(&format!("{new}, {old}")).is_ok());
        for wrong in [&new[1..], "", &format!("{new},"), &format!("{new},x"), &"é".repeat(32)] {
            assert!(ingest_token_keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_redaction() {
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
