//! The phases of a request.

/// A phase of a request, named after what it waits for. The variants are in the order in which phases occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// In the browser: queue, worker, preflight, and any time between the other phases.
    Stall,
    /// Requests whose response was a redirect.
    Redirect,
    /// Name resolution.
    Dns,
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the browser to the server.
    Uplink,
    /// In the server, until the head of its response was sent.
    Server,
    /// From the server to the browser, until the head of the response was received.
    Downlink,
    /// Network and server together, if they cannot be separated.
    Wait,
    /// The body of the response.
    Download,
    /// From the last byte to its delivery to the program.
    Delivery,
}

impl Phase {
    /// All phases, in the order in which they occur.
    pub const ALL: [Self; 11] = [
        Self::Stall,
        Self::Redirect,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Uplink,
        Self::Server,
        Self::Downlink,
        Self::Wait,
        Self::Download,
        Self::Delivery,
    ];

    /// Returns the name in lower case, as in attribute keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Redirect => "redirect",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Uplink => "uplink",
            Self::Server => "server",
            Self::Downlink => "downlink",
            Self::Wait => "wait",
            Self::Download => "download",
            Self::Delivery => "delivery",
        }
    }

    /// Returns a description of the phase.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Stall => "waiting in the browser",
            Self::Redirect => "redirects",
            Self::Dns => "name resolution",
            Self::Connect => "TCP connection",
            Self::Tls => "TLS handshake",
            Self::Uplink => "uplink",
            Self::Server => "server",
            Self::Downlink => "downlink",
            Self::Wait => "network and server together",
            Self::Download => "download of the body",
            Self::Delivery => "delivery to the program",
        }
    }
}

/// The level of detail known about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// All phases, including the server's part.
    Fine,
    /// Only start and end: the timing is missing, hidden by the other origin, or out of order.
    Coarse,
    /// The browser's phases, but not the server's part of the wait.
    Unsynced,
}

impl Quality {
    /// Returns the name, as in the attribute `throughline.network.quality`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Coarse => "coarse",
            Self::Unsynced => "unsynced",
        }
    }
}

/// One phase of one request, in nanoseconds of the client's clock. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The phase.
    pub phase: Phase,
    /// Its start.
    pub start_ns: i64,
    /// Its end.
    pub end_ns: i64,
}

impl Segment {
    /// Returns its duration.
    #[must_use]
    pub const fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// The phases of a request, in order and without gaps: the first begins at the request's start, the last ends at its
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decomposition {
    /// The phases; empty if the request took no time.
    pub segments: Vec<Segment>,
    /// The level of detail of the timing.
    pub quality: Quality,
}
