//! Settings of the doors through which telemetry comes in.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::Args;
use throughline_intake::{ScrubRule, TicketKey, TicketKeys};

use super::{SettingError, address, non_empty, wrong};
use crate::listen::Patience;
use secrecy::SecretString;

/// What turns a setting off that has a default.
const OFF: &str = "off";
const TRUSTED_LISTEN: &str = "--trusted-listen / THROUGHLINE_TRUSTED_LISTEN";
const GRPC_LISTEN: &str = "--grpc-listen / THROUGHLINE_GRPC_LISTEN";
const READ_TIMEOUT: &str = "--read-timeout / THROUGHLINE_READ_TIMEOUT";
const LONGEST_READ_TIMEOUT_S: f64 = 3600.0;

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct DoorArgs {
    /// The trusted door: OTLP/HTTP from programs on this machine; from elsewhere only with a token
    #[arg(long, env = "THROUGHLINE_TRUSTED_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:4318")]
    trusted_listen: String,
    /// The same door for OTLP/gRPC; `off` for none
    #[arg(long, env = "THROUGHLINE_GRPC_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:4317")]
    grpc_listen: String,
    /// What programs have to send to the trusted doors as `authorization: Bearer …`, at least 16 characters; nothing by default
    #[arg(long, env = "THROUGHLINE_TRUSTED_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    trusted_token: Option<String>,
    /// What tickets of pages are signed with, 64 hex digits; after a comma, older keys whose tickets are still good; by default a
    /// key is made and kept in the data directory
    #[arg(long, env = "THROUGHLINE_TICKET_KEY", value_name = "KEYS", hide_env_values = true)]
    ticket_key: Option<String>,
    /// Which secrets are taken out of what pages send, of authorization, card, email; `off` for none
    #[arg(long, env = "THROUGHLINE_SCRUB", value_name = "LIST", default_value = "authorization,card,email")]
    scrub: String,
    /// What else is taken out: a regular expression
    #[arg(long, env = "THROUGHLINE_SCRUB_PATTERN", value_name = "REGEX")]
    scrub_pattern: Option<String>,
    /// Seconds that the head of a request may take, and its body to the doors
    #[arg(long, env = "THROUGHLINE_READ_TIMEOUT", value_name = "SECONDS", default_value = "30")]
    read_timeout: String,
    /// Connections to one address at once; others wait
    #[arg(long, env = "THROUGHLINE_MAX_CONNECTIONS", value_name = "NUMBER", default_value = "1024")]
    max_connections: String,
}

/// What it means here.
#[derive(Clone, Debug)]
pub(crate) struct DoorSettings {
    pub(crate) trusted_listen: SocketAddr,
    pub(crate) grpc_listen: Option<SocketAddr>,
    pub(crate) trusted_token: Option<SecretString>,
    /// None: it is in the data directory.
    pub(crate) ticket_keys: Option<TicketKeys>,
    pub(crate) scrub: Vec<ScrubRule>,
    pub(crate) patience: Patience,
}

impl DoorArgs {
    /// `listen` is where pages are served.
    pub(super) fn resolve(self, listen: SocketAddr) -> Result<DoorSettings, SettingError> {
        let trusted_token = non_empty(self.trusted_token);
        if trusted_token.as_ref().is_some_and(|token| !is_token(token)) {
            return Err(wrong(
                "--trusted-token / THROUGHLINE_TRUSTED_TOKEN",
                "it needs at least 16 printable ASCII characters without spaces",
            ));
        }
        let door = |setting, text: &str| {
            let door = address(setting, text)?;
            if !door.ip().is_loopback() && trusted_token.is_none() {
                return Err(wrong(
                    setting,
                    format!(
                        "`{door}` is not a loopback address, and whoever reaches this door is believed; \
                         set --trusted-token / THROUGHLINE_TRUSTED_TOKEN as well"
                    ),
                ));
            }
            if door == listen && door.port() != 0 {
                return Err(wrong(setting, format!("`{door}` is where pages are served already")));
            }
            Ok(door)
        };
        let trusted_listen = door(TRUSTED_LISTEN, &self.trusted_listen)?;
        let grpc_listen = match self.grpc_listen.trim() {
            OFF => None,
            text => Some(door(GRPC_LISTEN, text)?),
        };
        if grpc_listen.is_some_and(|grpc| grpc == trusted_listen && grpc.port() != 0) {
            return Err(wrong(GRPC_LISTEN, format!("`{trusted_listen}` is where OTLP/HTTP is taken already")));
        }
        let patience = Patience {
            read_timeout: seconds(&self.read_timeout)?,
            max_connections: self
                .max_connections
                .trim()
                .parse()
                .ok()
                .filter(|n| (1..=1_000_000).contains(n))
                .ok_or_else(|| {
                    let reason = format!("`{}` is not a number from 1 to 1000000", self.max_connections);
                    wrong("--max-connections / THROUGHLINE_MAX_CONNECTIONS", reason)
                })?,
        };
        Ok(DoorSettings {
            trusted_listen,
            grpc_listen,
            trusted_token: trusted_token.map(SecretString::from),
            ticket_keys: non_empty(self.ticket_key).as_deref().map(ticket_keys).transpose()?,
            scrub: scrub(&self.scrub, non_empty(self.scrub_pattern).as_deref())?,
            patience,
        })
    }
}

impl DoorSettings {
    /// Makes a new ticket key in the data directory; the one that was there stays good for as long as its tickets.
    pub(crate) fn rotate_ticket_key(&self, data_dir: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.ticket_keys.is_none(),
            "the key is set by --ticket-key / THROUGHLINE_TICKET_KEY: put the new one before it, separated by a comma"
        );
        TicketKeys::rotate(data_dir)?;
        println!("there is a new ticket key; tickets of the old one are good until they expire");
        Ok(())
    }
}

fn is_token(token: &str) -> bool {
    token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn seconds(text: &str) -> Result<Duration, SettingError> {
    let seconds = text.trim().parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST_READ_TIMEOUT_S);
    let wrong = || wrong(READ_TIMEOUT, format!("`{text}` is not a number of seconds, above 0 and up to 3600"));
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// The text is not repeated: it holds keys.
fn ticket_keys(text: &str) -> Result<TicketKeys, SettingError> {
    let key = |text: &str| -> Option<TicketKey> {
        let text = text.trim();
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(TicketKey::from_bytes(bytes))
    };
    let keys: Option<Vec<_>> = text.split(',').map(key).collect();
    let mut keys = keys
        .ok_or_else(|| {
            wrong(
                "--ticket-key / THROUGHLINE_TICKET_KEY",
                "it is not 64 hex digits, or several such separated by commas",
            )
        })?
        .into_iter();
    let current = keys.next().ok_or_else(|| wrong("--ticket-key / THROUGHLINE_TICKET_KEY", "it is empty"))?;
    Ok(TicketKeys::new(current, keys.collect()))
}

fn scrub(list: &str, pattern: Option<&str>) -> Result<Vec<ScrubRule>, SettingError> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != OFF);
    let rules: Result<Vec<ScrubRule>, _> = names.map(str::parse).collect();
    let mut rules = rules.map_err(|error| wrong("--scrub / THROUGHLINE_SCRUB", error.to_string()))?;
    if let Some(pattern) = pattern {
        let rule = ScrubRule::pattern(pattern);
        rules.push(rule.map_err(|error| wrong("--scrub-pattern / THROUGHLINE_SCRUB_PATTERN", error.to_string()))?);
    }
    Ok(rules)
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
            let error = ticket_keys(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn rules_of_scrubbing() {
        assert_eq!(scrub("authorization, card,email", Some("emp-[0-9]+")).unwrap().len(), 4);
        assert!(scrub("off", None).unwrap().is_empty());
        assert!(scrub("cards", None).is_err());
        assert!(scrub("card", Some("(")).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
