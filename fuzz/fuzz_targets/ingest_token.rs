//! Ingest tokens: a valid token was issued, and has exactly one text form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use throughline_intake::{IngestToken, IngestTokenError, IngestTokenKey, SessionId};

const SERVICE: &str = "web";
const TTL: Duration = Duration::from_secs(900);

fuzz_target!(|input: (u64, [u8; 16], Vec<u8>)| {
    let (now_s, session, bytes) = input;
    let key = IngestTokenKey::from_bytes([42; 32]);
    let text = String::from_utf8_lossy(&bytes);
    if let Ok(claims) = IngestToken::verify(&key, SERVICE, &text, now_s) {
        let issued_s = claims.expires_at_s - TTL.as_secs().min(claims.expires_at_s);
        let ttl = Duration::from_secs(claims.expires_at_s - issued_s);
        assert!(now_s < claims.expires_at_s);
        assert_eq!(IngestToken::issue(&key, claims.session_id, SERVICE, issued_s, ttl), text);
    }

    // Any edit of a valid token is rejected.
    let now_s = now_s % 100_000_000_000;
    let session_id = SessionId::from_bytes(session);
    let issued = IngestToken::issue(&key, session_id, SERVICE, now_s, TTL);
    let claims = IngestToken::verify(&key, SERVICE, &issued, now_s).expect("it was just issued");
    assert_eq!(claims.session_id, session_id);
    assert_eq!(IngestToken::verify(&key, SERVICE, &issued, now_s + TTL.as_secs()), Err(IngestTokenError::Expired));
    let mut edited = issued.clone().into_bytes();
    for edit in bytes.chunks_exact(2) {
        let at = usize::from(edit[0]) % edited.len();
        edited[at] = edit[1];
    }
    let edited = String::from_utf8_lossy(&edited);
    assert_eq!(IngestToken::verify(&key, SERVICE, &edited, now_s).is_ok(), edited == issued);
});
