#![doc = include_str!("../README.md")]

mod atomic_file;
mod body;
mod bounds;
mod config;
mod decode;
mod enrich;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod ingest_token;
mod ingest_token_key;
mod ingest_token_keys;
mod item;
mod origin;
mod otlp_token;
mod rate;
mod receivers;
mod redact;
mod refusal;
mod session;
mod stats;

pub use crate::{
    config::{BodyLimits, IntakeConfig, Limits, RateLimit, SpanLimits},
    ingest_token::{Claims, IngestToken, IngestTokenError},
    ingest_token_key::{IngestTokenKey, IngestTokenKeyError},
    ingest_token_keys::IngestTokenKeys,
    otlp_token::OtlpToken,
    receivers::{
        ClientAddress, INGEST_TOKEN_HEADER, Intake, IssueError, IssuedIngestToken, grpc_router, otlp_router,
        page_router,
    },
    redact::{PatternError, REDACTED, RedactionRule, UnknownRedactionRule},
    session::{SessionId, SessionIdError},
    stats::{RecordStats, RefusedRequests, Rejected, Stats},
};
