//! Decomposition of a request into phases, from the browser's timing.

use crate::{Decomposition, Exchange, Phase, Quality, Segment, Split};

/// The marks of a `PerformanceResourceTiming` (W3C Resource Timing §4), in nanoseconds since the Unix epoch by the
/// client's clock. Zero means absent, as in the browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceTiming {
    /// `startTime`.
    pub start_ns: i64,
    /// `workerStart`.
    pub worker_start_ns: i64,
    /// `redirectStart`.
    pub redirect_start_ns: i64,
    /// `redirectEnd`.
    pub redirect_end_ns: i64,
    /// `fetchStart`.
    pub fetch_start_ns: i64,
    /// `domainLookupStart`; equal to `fetchStart` on a reused connection.
    pub domain_lookup_start_ns: i64,
    /// `domainLookupEnd`; equal to `fetchStart` on a reused connection.
    pub domain_lookup_end_ns: i64,
    /// `connectStart`; equal to `fetchStart` on a reused connection.
    pub connect_start_ns: i64,
    /// `secureConnectionStart`; equal to `fetchStart` on a reused connection, otherwise between `connectStart` and
    /// `connectEnd`.
    pub secure_connection_start_ns: i64,
    /// `connectEnd`; equal to `fetchStart` on a reused connection.
    pub connect_end_ns: i64,
    /// `requestStart`.
    pub request_start_ns: i64,
    /// `finalResponseHeadersStart` if present, else `responseStart`.
    pub response_start_ns: i64,
    /// `responseEnd`.
    pub response_end_ns: i64,
}

impl ResourceTiming {
    /// Returns whether the present marks are in the order of Resource Timing §4.5. `workerStart` is excluded: it lies
    /// within the stall phase, and a redirect may put it anywhere there.
    fn is_ordered(&self) -> bool {
        [
            self.start_ns,
            self.redirect_start_ns,
            self.redirect_end_ns,
            self.fetch_start_ns,
            self.domain_lookup_start_ns,
            self.domain_lookup_end_ns,
            self.connect_start_ns,
            self.secure_connection_start_ns,
            self.connect_end_ns,
            self.request_start_ns,
            self.response_start_ns,
            self.response_end_ns,
        ]
        .into_iter()
        .filter(|mark_ns| *mark_ns != 0)
        .is_sorted()
    }

    /// Returns whether the marks describe a request from `start_ns` to `end_ns`: another origin may hide them, and a
    /// clock change during the request shifts them.
    fn is_usable(&self, start_ns: i64, end_ns: i64) -> bool {
        self.request_start_ns != 0
            && self.response_start_ns != 0
            && self.request_start_ns <= end_ns
            && self.response_start_ns >= start_ns
            && self.is_ordered()
    }
}

/// Decomposes a request from `start_ns` to `end_ns`, by the client's clock, into its phases.
///
/// `server` is the exchange of the same `timing` and its split: with it, the wait for the response becomes uplink,
/// server and downlink; without it, it is one phase. Marks outside of the request are moved to its ends. For any marks,
/// the phases add up to the whole and none is negative; a request that ends before it starts has no phases.
#[must_use]
pub fn decompose(
    start_ns: i64,
    end_ns: i64,
    timing: Option<&ResourceTiming>,
    server: Option<(&Exchange, &Split)>,
) -> Decomposition {
    let mut parts = Parts { segments: Vec::new(), at_ns: start_ns, end_ns };
    let Some(timing) = timing.filter(|timing| timing.is_usable(start_ns, end_ns)) else {
        parts.until(Phase::Wait, end_ns);
        return Decomposition { segments: parts.segments, quality: Quality::Coarse };
    };

    parts.between(Phase::Redirect, timing.redirect_start_ns, timing.redirect_end_ns);
    parts.between(Phase::Dns, timing.domain_lookup_start_ns, timing.domain_lookup_end_ns);
    match timing.secure_connection_start_ns {
        0 => parts.between(Phase::Connect, timing.connect_start_ns, timing.connect_end_ns),
        secure_ns => {
            parts.between(Phase::Connect, timing.connect_start_ns, secure_ns);
            parts.between(Phase::Tls, secure_ns, timing.connect_end_ns);
        }
    }

    let (request_ns, response_ns) = (timing.request_start_ns, timing.response_start_ns);
    parts.until(Phase::Stall, request_ns);
    let quality = if let Some((exchange, split)) = server {
        let received_ns = request_ns.saturating_add(split.uplink_ns.max(0)).min(response_ns);
        let sent_ns = received_ns.saturating_add(exchange.server_ns()).min(response_ns);
        parts.until(Phase::Uplink, received_ns);
        parts.until(Phase::Server, sent_ns);
        parts.until(Phase::Downlink, response_ns);
        Quality::Fine
    } else {
        parts.until(Phase::Wait, response_ns);
        Quality::Unsynced
    };

    let response_end_ns = if timing.response_end_ns == 0 { end_ns } else { timing.response_end_ns };
    parts.until(Phase::Download, response_end_ns);
    parts.until(Phase::Delivery, end_ns);
    Decomposition { segments: parts.segments, quality }
}

/// The segments up to `at_ns`. An added segment never begins before `at_ns` or ends after `end_ns`.
struct Parts {
    segments: Vec<Segment>,
    at_ns: i64,
    end_ns: i64,
}

impl Parts {
    /// Adds a phase from the end of the last segment to `to_ns`. Adjacent segments of the same phase are merged.
    fn until(&mut self, phase: Phase, to_ns: i64) {
        let to_ns = to_ns.min(self.end_ns);
        if to_ns <= self.at_ns {
            return;
        }
        match self.segments.last_mut() {
            Some(last) if last.phase == phase => last.end_ns = to_ns,
            _ => self.segments.push(Segment { phase, start_ns: self.at_ns, end_ns: to_ns }),
        }
        self.at_ns = to_ns;
    }

    /// Adds a phase with its own marks, and a stall before it. Adds nothing unless both marks are present and in order.
    fn between(&mut self, phase: Phase, from_ns: i64, to_ns: i64) {
        if from_ns != 0 && from_ns < to_ns {
            self.until(Phase::Stall, from_ns);
            self.until(phase, to_ns);
        }
    }
}
