//! Ingest tokens, which authenticate browsers.

use crate::{IngestTokenKey, SessionId};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::Duration;
use throughline_context::ingest_token;

/// The prefix of the signed bytes, so that a signature cannot be used for another purpose.
const DOMAIN: &[u8] = b"throughline ingest token v1";
const VERSION: &str = "v1";
/// The maximum number of digits of the expiry; enough until the year 33658.
const MAX_EXPIRY_DIGITS: usize = 12;

/// Issues and verifies ingest tokens.
///
/// An ingest token is `v1.<expiry>.<session>.<mac>`: Unix seconds in decimal, 32 hex digits, and the HMAC-SHA-256 of
/// the preceding text and the service name, in base64url without padding. Every token has exactly one text form.
#[derive(Clone, Copy, Debug)]
pub struct IngestToken;

/// The content of a valid ingest token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// The session to which it was issued.
    pub session_id: SessionId,
    /// When it expires, in Unix seconds.
    pub expires_at_s: u64,
}

/// Why an ingest token is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestTokenError {
    /// The request has no ingest token.
    #[error("no ingest token: request one with POST {} and send it as {}", ingest_token::PATH, ingest_token::HEADER)]
    Missing,
    /// The text is not in the format of an ingest token.
    #[error("the ingest token is malformed")]
    Malformed,
    /// The signature does not match the key and the service.
    #[error("the ingest token was not issued by this server")]
    Forged,
    /// The ingest token has expired.
    #[error("the ingest token has expired: request a new one with POST {}", ingest_token::PATH)]
    Expired,
}

impl IngestToken {
    /// Issues an ingest token for this session and service, valid for `ttl` from `now_s` (Unix seconds).
    #[must_use]
    pub fn issue(key: &IngestTokenKey, session_id: SessionId, service: &str, now_s: u64, ttl: Duration) -> String {
        let expires_at_s = now_s.saturating_add(ttl.as_secs());
        let claims = format!("{VERSION}.{expires_at_s}.{session_id}");
        let mac = URL_SAFE_NO_PAD.encode(mac(key, service, &claims).finalize().into_bytes());
        format!("{claims}.{mac}")
    }

    /// Returns the claims of an ingest token that was issued with this key for this service and is valid at `now_s`
    /// (Unix seconds). The signature is compared in constant time, before the claims are checked.
    ///
    /// # Errors
    /// Returns an error if the token is malformed, was signed with another key or for another service, or has expired.
    pub fn verify(
        key: &IngestTokenKey,
        service: &str,
        ingest_token: &str,
        now_s: u64,
    ) -> Result<Claims, IngestTokenError> {
        let (claims, signature) = ingest_token.rsplit_once('.').ok_or(IngestTokenError::Malformed)?;
        let parsed = parse(claims).ok_or(IngestTokenError::Malformed)?;
        let mut signature_bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(signature, &mut signature_bytes) {
            Ok(32) => {}
            _ => return Err(IngestTokenError::Malformed),
        }
        mac(key, service, claims).verify_slice(&signature_bytes).map_err(|_| IngestTokenError::Forged)?;
        if now_s >= parsed.expires_at_s {
            return Err(IngestTokenError::Expired);
        }
        Ok(parsed)
    }
}

fn parse(claims: &str) -> Option<Claims> {
    let (expiry, session) = claims.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
    let canonical = expiry == "0" || !expiry.starts_with('0');
    if expiry.len() > MAX_EXPIRY_DIGITS || !canonical || !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Claims { session_id: session.parse().ok()?, expires_at_s: expiry.parse().ok()? })
}

fn mac(key: &IngestTokenKey, service: &str, claims: &str) -> Hmac<Sha256> {
    // HMAC pads a key with zeros to the block size of its hash (RFC 2104, section 2).
    let mut block = [0; 64];
    block[..32].copy_from_slice(key.as_bytes());
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(DOMAIN);
    // The length separates service and claims.
    mac.update(&service.len().to_be_bytes());
    mac.update(service.as_bytes());
    mac.update(claims.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(900);

    fn session() -> SessionId {
        SessionId::from_bytes(*b"0123456789abcdef")
    }

    fn key() -> IngestTokenKey {
        IngestTokenKey::from_bytes([42; 32])
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let ingest_token = IngestToken::issue(&key(), session(), "web", 1_000, TTL);
        let claims = Claims { session_id: session(), expires_at_s: 1_900 };
        assert_eq!(IngestToken::verify(&key(), "web", &ingest_token, 1_000), Ok(claims));
        assert_eq!(IngestToken::verify(&key(), "web", &ingest_token, 1_899), Ok(claims));
        assert_eq!(IngestToken::verify(&key(), "web", &ingest_token, 1_900), Err(IngestTokenError::Expired));
    }

    #[test]
    fn the_text_form_is_as_documented() {
        let ingest_token = IngestToken::issue(&key(), session(), "web", 1_000, TTL);
        let parts: Vec<_> = ingest_token.split('.').collect();
        assert_eq!(parts[..3], ["v1", "1900", "30313233343536373839616263646566"]);
        assert_eq!(parts[3].len(), 43);
        assert_eq!(parts.len(), 4);
    }

    #[test]
    fn a_token_of_another_key_or_service_is_forged() {
        let ingest_token = IngestToken::issue(&key(), session(), "web", 1_000, TTL);
        let other = IngestTokenKey::from_bytes([43; 32]);
        assert_eq!(IngestToken::verify(&other, "web", &ingest_token, 1_000), Err(IngestTokenError::Forged));
        assert_eq!(IngestToken::verify(&key(), "shop", &ingest_token, 1_000), Err(IngestTokenError::Forged));
    }

    #[test]
    fn a_forged_token_is_not_reported_as_expired() {
        let ingest_token = IngestToken::issue(&IngestTokenKey::from_bytes([43; 32]), session(), "web", 0, TTL);
        assert_eq!(IngestToken::verify(&key(), "web", &ingest_token, 5_000), Err(IngestTokenError::Forged));
    }

    #[test]
    fn a_changed_claim_is_detected() {
        let ingest_token = IngestToken::issue(&key(), session(), "web", 1_000, TTL);
        let longer = ingest_token.replace("v1.1900.", "v1.9900.");
        assert_eq!(IngestToken::verify(&key(), "web", &longer, 1_000), Err(IngestTokenError::Forged));
        let other = ingest_token.replace(".3031", ".3032");
        assert_eq!(IngestToken::verify(&key(), "web", &other, 1_000), Err(IngestTokenError::Forged));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_invalid(at in any::<prop::sample::Index>(), byte in b' '..=b'~') {
            let ingest_token = IngestToken::issue(&key(), session(), "web", 1_000, TTL);
            let mut bytes = ingest_token.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(IngestToken::verify(&key(), "web", &changed, 1_000).is_ok(), changed == ingest_token);
        }

        #[test]
        fn arbitrary_text_is_rejected(text in "\\PC{0,120}") {
            prop_assert!(IngestToken::verify(&key(), "web", &text, 1_000).is_err());
        }

        #[test]
        fn a_token_with_another_signature_is_forged(expiry in 0_u64..999_999_999_999, session: [u8; 16], mac: [u8; 32]) {
            let session = SessionId::from_bytes(session);
            let text = format!("v1.{expiry}.{session}.{}", URL_SAFE_NO_PAD.encode(mac));
            prop_assert_eq!(IngestToken::verify(&key(), "web", &text, 1_000), Err(IngestTokenError::Forged));
        }
    }
}
