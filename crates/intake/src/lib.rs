#![doc = include_str!("../README.md")]

mod body;
mod bounds;
mod config;
mod decode;
mod doors;
mod item;
mod origin;
mod rate;
mod refusal;
mod session;
mod stamp;
mod stats;
mod ticket;
mod ticket_key;

pub use crate::{
    config::{BodyLimits, IntakeConfig, Limits, RateLimit, SpanLimits},
    doors::{ClientAddress, Intake, IssuedTicket, TICKET_HEADER, public_router, trusted_router},
    session::{SessionId, SessionIdError},
    stats::{RecordStats, RefusedRequests, Rejected, Stats},
    ticket::{Claims, Ticket, TicketError},
    ticket_key::{TicketKey, TicketKeyError},
};
