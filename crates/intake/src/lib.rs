#![doc = include_str!("../README.md")]

mod atomic_file;
mod body;
mod bounds;
mod config;
mod decode;
mod receivers;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod item;
mod origin;
mod rate;
mod refusal;
mod redact;
mod session;
mod enrich;
mod stats;
mod ingest_token;
mod ingest_token_key;
mod ingest_token_keys;
mod otlp_token;

pub use crate::{
    config::{BodyLimits, IntakeConfig, Limits, RateLimit, SpanLimits},
    receivers::{
        ClientAddress, Intake, IssueError, IssuedIngestToken, INGEST_TOKEN_HEADER, grpc_router, page_router, otlp_router,
    },
    redact::{PatternError, REDACTED, RedactionRule, UnknownRedactionRule},
    session::{SessionId, SessionIdError},
    stats::{RecordStats, RefusedRequests, Rejected, Stats},
    ingest_token::{Claims, IngestToken, IngestTokenError},
    ingest_token_key::{IngestTokenKey, IngestTokenKeyError},
    ingest_token_keys::IngestTokenKeys,
    otlp_token::OtlpToken,
};
