//! The parts of a request.

/// What a request was waiting for. In the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// In the browser: queue, worker, preflight, and whatever lies between the other phases.
    Stall,
    /// Requests that were answered with a redirect.
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
    /// From the server to the browser, until the head of the response was there.
    Downlink,
    /// Network and server together, where nothing tells them apart.
    Wait,
    /// The body of the response.
    Download,
    /// From the last byte to the program.
    Delivery,
}

impl Phase {
    /// All of them, in the order in which they happen.
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

    /// Lower case, as in attribute names.
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

    /// What was waited for, in words.
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

/// How much is known about the inside of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Every phase, the server's part among them.
    Fine,
    /// Nothing but start and end: no timing, timing that the other origin hides, or timing out of order.
    Coarse,
    /// The browser's phases, but not which part of the wait was the server's.
    Unsynced,
}

impl Quality {
    /// As in the attribute `throughline.network.quality`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Coarse => "coarse",
            Self::Unsynced => "unsynced",
        }
    }
}

/// One phase of one request, in nanoseconds of the client's clock. Never of no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What was waited for.
    pub phase: Phase,
    /// From here,
    pub start_ns: i64,
    /// to here.
    pub end_ns: i64,
}

impl Segment {
    /// How long it took.
    #[must_use]
    pub const fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// A request in parts: in order, each beginning where the one before ends, the first at the request's start, the
/// last ending at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decomposition {
    /// The parts; none if the request took no time.
    pub segments: Vec<Segment>,
    /// What they rest upon.
    pub quality: Quality,
}
