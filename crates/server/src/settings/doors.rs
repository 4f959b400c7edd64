//! Settings of the receivers.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::Args;
use secrecy::SecretString;
use throughline_intake::{ScrubRule, TicketKey, TicketKeys};

use super::{
    SettingError,
    values::{List, Maybe, OFF, address, address_or_off, token},
    wrong,
};
use crate::listen::Patience;

const TRUSTED_LISTEN: &str = "--trusted-listen / THROUGHLINE_TRUSTED_LISTEN";
const GRPC_LISTEN: &str = "--grpc-listen / THROUGHLINE_GRPC_LISTEN";
const LONGEST_READ_TIMEOUT_S: f64 = 3600.0;
const MOST_CONNECTIONS: usize = 1_000_000;

/// The arguments as they were typed.
#[derive(Debug, Args)]
pub(crate) struct DoorArgs {
    /// The OTLP/HTTP receiver for programs on this machine; for those on other machines only with a token
    #[arg(
        long,
        env = "THROUGHLINE_TRUSTED_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4318",
        value_parser = address
    )]
    trusted_listen: SocketAddr,
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
        env = "THROUGHLINE_TRUSTED_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = token
    )]
    trusted_token: Option<SecretString>,
    /// The key that signs the ingest tokens of pages, 64 hex digits; after a comma, older keys whose tokens are still valid; by
    /// default a key is generated and kept in the data directory
    #[arg(
        long,
        env = "THROUGHLINE_TICKET_KEY",
        value_name = "KEYS",
        hide_env_values = true,
        value_parser = ticket_keys
    )]
    ticket_key: Option<TicketKeys>,
    /// Which secrets are removed from the records of pages, of authorization, card, email; `off` for none
    #[arg(
        long,
        env = "THROUGHLINE_SCRUB",
        value_name = "LIST",
        default_value = "authorization,card,email",
        value_parser = scrub_rules
    )]
    scrub: List<ScrubRule>,
    /// A regular expression for what else is removed from them
    #[arg(long, env = "THROUGHLINE_SCRUB_PATTERN", value_name = "REGEX", value_parser = scrub_pattern)]
    scrub_pattern: Option<ScrubRule>,
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
pub(crate) struct DoorSettings {
    pub(crate) trusted_listen: SocketAddr,
    pub(crate) grpc_listen: Option<SocketAddr>,
    pub(crate) trusted_token: Option<SecretString>,
    /// `None` if the key is in the data directory.
    pub(crate) ticket_keys: Option<TicketKeys>,
    pub(crate) scrub: Vec<ScrubRule>,
    pub(crate) patience: Patience,
}

impl DoorArgs {
    /// Checks what needs several settings. `listen` is the address of pages.
    pub(super) fn resolve(self, listen: SocketAddr) -> Result<DoorSettings, SettingError> {
        let trusted_listen = self.trusted_listen;
        let grpc_listen = self.grpc_listen.0;
        let receivers = [(TRUSTED_LISTEN, Some(trusted_listen)), (GRPC_LISTEN, grpc_listen)];
        for (setting, receiver) in receivers.into_iter().filter_map(|(setting, address)| Some((setting, address?))) {
            if !receiver.ip().is_loopback() && self.trusted_token.is_none() {
                let reason = format!(
                    "`{receiver}` is not a loopback address, and the receiver believes every client; set \
                     --trusted-token / THROUGHLINE_TRUSTED_TOKEN as well"
                );
                return Err(wrong(setting, reason));
            }
            if receiver == listen && receiver.port() != 0 {
                return Err(wrong(setting, format!("`{receiver}` is the address of --listen already")));
            }
        }
        if grpc_listen.is_some_and(|grpc| grpc == trusted_listen && grpc.port() != 0) {
            return Err(wrong(GRPC_LISTEN, format!("`{trusted_listen}` is the address of --trusted-listen already")));
        }
        let mut scrub = self.scrub.0;
        scrub.extend(self.scrub_pattern);
        Ok(DoorSettings {
            trusted_listen,
            grpc_listen,
            trusted_token: self.trusted_token,
            ticket_keys: self.ticket_key,
            scrub,
            patience: Patience { read_timeout: self.read_timeout, max_connections: self.max_connections },
        })
    }
}

impl DoorSettings {
    /// Generates a new key for ingest tokens in the data directory. The key before stays valid for as long as its tokens.
    pub(crate) fn rotate_ticket_key(&self, data_dir: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ticket_keys.is_none(),
            "the key is set by --ticket-key / THROUGHLINE_TICKET_KEY: put a new one before it, separated by a comma"
        );
        TicketKeys::rotate(data_dir)?;
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
fn ticket_keys(text: &str) -> Result<TicketKeys, &'static str> {
    const EXPECTED: &str = "it is not 64 hex digits, or several such separated by commas";
    let mut keys = text.split(',').map(|key| ticket_key(key.trim()).ok_or(EXPECTED));
    let current = keys.next().ok_or(EXPECTED)??;
    Ok(TicketKeys::new(current, keys.collect::<Result<_, _>>()?))
}

fn ticket_key(text: &str) -> Option<TicketKey> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(TicketKey::from_bytes(bytes))
}

fn scrub_rules(list: &str) -> Result<List<ScrubRule>, String> {
    if list.trim() == OFF {
        return Ok(List(Vec::new()));
    }
    List::parse(list, ',', |name| name.parse().map_err(|error: throughline_intake::UnknownScrubRule| error.to_string()))
}

fn scrub_pattern(text: &str) -> Result<ScrubRule, String> {
    ScrubRule::pattern(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hex_and_never_shown() {
        let (new, old) = ("ab".repeat(32), "01".repeat(32));
        assert!(ticket_keys(&new).is_ok());
        assert!(ticket_keys(&format!("{new}, {old}")).is_ok());
        for wrong in [&new[1..], "", &format!("{new},"), &format!("{new},x"), &"é".repeat(32)] {
            assert!(ticket_keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_scrubbing() {
        assert_eq!(scrub_rules("authorization, card,email").unwrap().0.len(), 3);
        assert!(scrub_rules("off").unwrap().0.is_empty());
        assert!(scrub_rules("cards").is_err());
        assert!(scrub_pattern("emp-[0-9]+").is_ok() && scrub_pattern("(").is_err());
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
