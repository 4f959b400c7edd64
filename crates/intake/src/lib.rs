#![doc = include_str!("../README.md")]

mod atomic_file;
mod body;
mod bounds;
mod config;
mod decode;
mod doors;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod item;
mod origin;
mod rate;
mod refusal;
mod scrub;
mod session;
mod stamp;
mod stats;
mod ticket;
mod ticket_key;
mod ticket_keys;
mod trusted_token;

pub use crate::{
    config::{BodyLimits, IntakeConfig, Limits, RateLimit, SpanLimits},
    doors::{
        ClientAddress, Intake, IssueError, IssuedTicket, TICKET_HEADER, grpc_router, public_router, trusted_router,
    },
    scrub::{PatternError, REDACTED, ScrubRule, UnknownScrubRule},
    session::{SessionId, SessionIdError},
    stats::{RecordStats, RefusedRequests, Rejected, Stats},
    ticket::{Claims, Ticket, TicketError},
    ticket_key::{TicketKey, TicketKeyError},
    ticket_keys::TicketKeys,
    trusted_token::TrustedToken,
};
