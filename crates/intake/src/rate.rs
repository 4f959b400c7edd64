//! Rate limits for browsers: a token bucket for each session, one for each client, and one for all of them together,
//! since session ids and addresses are cheap.
//!
//! A bucket is one number, the time at which it is full again (the generic cell rate algorithm), and may be overdrawn:
//! the cost of a batch is known only after it is read. Each request takes constant time, and memory has a fixed bound:
//! at most [`Limits::tracked_sessions`] and [`Limits::tracked_clients`] buckets are kept, and a new one replaces the
//! least recently used. A session that is forgotten while its bucket is overdrawn gains nothing: a new session id
//! begins with a full bucket as well, and the bucket of its client and that of all browsers together still limit it.

use crate::{
    SessionId,
    config::{Limits, RateLimit},
};
use hashlink::LruCache;
use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The maximum `Retry-After`, in the response to a client above its rate.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// All buckets.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// The origin of the times in the buckets.
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    public: Bucket,
    public_rate: Rate,
    sessions: Buckets<SessionId>,
    clients: Buckets<IpAddr>,
}

/// The session and the client of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) session: SessionId,
    /// The address of the client, if it is known.
    pub(crate) client: Option<IpAddr>,
}

/// The least recently used buckets of sessions or clients.
#[derive(Debug)]
struct Buckets<K: Eq + Hash> {
    rate: Rate,
    by_key: LruCache<K, Bucket>,
}

/// A [`RateLimit`] in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// The time until one token is added.
    token_ns: u128,
    /// The maximum time until a bucket is full at which it still holds one token.
    tolerance_ns: u128,
}

/// When the bucket is full again, in nanoseconds since the limiter's start; a time that has passed means that it is
/// full.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_ns: u128,
}

impl From<RateLimit> for Rate {
    fn from(limit: RateLimit) -> Self {
        // With 0 tokens per second, the next one is added after 584 years.
        let token_ns = 1_000_000_000_u64.checked_div(u64::from(limit.per_second)).map_or(u64::MAX, |ns| ns.max(1));
        let token_ns = u128::from(token_ns);
        let others = u128::from(limit.burst.max(1) - 1);
        Self { token_ns, tolerance_ns: token_ns * others }
    }
}

impl Bucket {
    /// Checks that the bucket holds at least one token.
    ///
    /// # Errors
    /// Returns the time until it holds one.
    fn check(self, rate: Rate, now_ns: u128) -> Result<(), Duration> {
        let ahead_ns = self.full_ns.saturating_sub(now_ns);
        match ahead_ns.saturating_sub(rate.tolerance_ns) {
            0 => Ok(()),
            wait_ns => Err(u64::try_from(wait_ns).map_or(LONGEST_WAIT, Duration::from_nanos).min(LONGEST_WAIT)),
        }
    }

    fn charge(&mut self, rate: Rate, tokens: usize, now_ns: u128) {
        self.full_ns = self.full_ns.max(now_ns).saturating_add(rate.token_ns.saturating_mul(tokens as u128));
    }
}

impl RateLimiter {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let state = State {
            public: Bucket::default(),
            public_rate: limits.public_rate.into(),
            sessions: Buckets::new(limits.session_rate, limits.tracked_sessions),
            clients: Buckets::new(limits.client_rate, limits.tracked_clients),
        };
        Self { start: now, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state inconsistent: nothing panics between related writes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ns(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.start).as_nanos()
    }

    /// Takes one token of the session, one of the client and one of all browsers for a request.
    ///
    /// # Errors
    /// Returns how long to wait if one of the buckets is empty.
    pub(crate) fn admit(&self, sender: Sender, now: Instant) -> Result<(), Duration> {
        let now_ns = self.ns(now);
        let client = sender.client.and_then(client_key);
        let mut state = self.state();
        state.public.check(state.public_rate, now_ns)?;
        client.map_or(Ok(()), |client| state.clients.check(&client, now_ns))?;
        state.sessions.check(&sender.session, now_ns)?;
        state.charge(sender.session, client, 1, now_ns);
        Ok(())
    }

    /// Takes one token of the client for an ingest token.
    ///
    /// # Errors
    /// Returns how long to wait if the bucket is empty.
    pub(crate) fn admit_client(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Some(client) = client.and_then(client_key) else { return Ok(()) };
        let now_ns = self.ns(now);
        let mut state = self.state();
        state.clients.check(&client, now_ns)?;
        state.clients.charge(client, 1, now_ns);
        Ok(())
    }

    /// Takes the tokens for the records of an admitted request, except for the first token, which [`Self::admit`] took.
    pub(crate) fn charge(&self, sender: Sender, records: usize, now: Instant) {
        let tokens = records.saturating_sub(1);
        let now_ns = self.ns(now);
        self.state().charge(sender.session, sender.client.and_then(client_key), tokens, now_ns);
    }
}

/// Returns the part of an address that identifies a client: the whole address, or the /64 prefix for IPv6, which a
/// provider assigns to one customer. `None` for loopback, since all clients may be behind the same proxy there.
fn client_key(address: IpAddr) -> Option<IpAddr> {
    match address {
        address if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

impl State {
    fn charge(&mut self, session: SessionId, client: Option<IpAddr>, tokens: usize, now_ns: u128) {
        self.public.charge(self.public_rate, tokens, now_ns);
        self.sessions.charge(session, tokens, now_ns);
        if let Some(client) = client {
            self.clients.charge(client, tokens, now_ns);
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(limit: RateLimit, most: usize) -> Self {
        Self { rate: limit.into(), by_key: LruCache::new(most.max(1)) }
    }

    /// Checks a bucket; an absent bucket is full.
    fn check(&mut self, key: &K, now_ns: u128) -> Result<(), Duration> {
        self.by_key.get(key).map_or(Ok(()), |bucket| bucket.check(self.rate, now_ns))
    }

    fn charge(&mut self, key: K, tokens: usize, now_ns: u128) {
        // `entry` is not used, since it lets the map exceed its capacity by one.
        if let Some(bucket) = self.by_key.get_mut(&key) {
            return bucket.charge(self.rate, tokens, now_ns);
        }
        let mut bucket = Bucket::default();
        bucket.charge(self.rate, tokens, now_ns);
        self.by_key.insert(key, bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RateLimit = RateLimit { per_second: 1_000, burst: 10_000 };

    fn sender(number: u8) -> Sender {
        Sender { session: SessionId::from_bytes([number; 16]), client: None }
    }

    fn limiter(session_rate: RateLimit, public_rate: RateLimit, tracked_sessions: usize, now: Instant) -> RateLimiter {
        RateLimiter::new(&Limits { session_rate, public_rate, tracked_sessions, ..Limits::default() }, now)
    }

    #[test]
    fn a_session_that_sends_too_much_waits_and_others_do_not() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 10, burst: 20 }, ALL, 10, start);
        assert_eq!(limiter.admit(sender(1), start), Ok(()));
        limiter.charge(sender(1), 50, start);
        // The bucket is overdrawn by 30 tokens and needs one more, at 10 per second.
        assert_eq!(limiter.admit(sender(1), start), Err(Duration::from_millis(3_100)));
        assert_eq!(limiter.admit(sender(2), start), Ok(()));
        assert_eq!(limiter.admit(sender(1), start + Duration::from_millis(3_100)), Ok(()));
        assert!(limiter.admit(sender(1), start + Duration::from_millis(3_150)).is_err());
    }

    #[test]
    fn new_sessions_do_not_bypass_the_global_limit() {
        let start = Instant::now();
        let all = RateLimit { per_second: 5, burst: 10 };
        let limiter = limiter(RateLimit { per_second: 100, burst: 100 }, all, 10, start);
        let admitted = (0..100).filter(|number| limiter.admit(sender(*number), start).is_ok()).count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn new_sessions_do_not_bypass_the_limit_of_their_client() {
        let start = Instant::now();
        let client_rate = RateLimit { per_second: 1, burst: 10 };
        let limiter = RateLimiter::new(&Limits { client_rate, tracked_clients: 2, ..Limits::default() }, start);
        let from = |number, client: &str| Sender { client: Some(client.parse().unwrap()), ..sender(number) };
        let admitted = |client: &str| (0..100).filter(|&n| limiter.admit(from(n, client), start).is_ok()).count();
        assert_eq!(admitted("192.0.2.1"), 10);
        assert_eq!(admitted("192.0.2.2"), 10);
        assert!(limiter.admit_client(Some("192.0.2.2".parse().unwrap()), start).is_err(), "ingest tokens count too");
        // One customer of a provider has 2^64 addresses.
        assert_eq!(admitted("2001:db8::1") + admitted("2001:db8::2"), 10);
        assert_eq!(admitted("127.0.0.1"), 100);
        assert!(limiter.state().clients.by_key.len() <= 2);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 1, burst: 5 }, ALL, 3, start);
        for number in 0..100_u8 {
            let now = start + Duration::from_millis(u64::from(number));
            assert_eq!(limiter.admit(sender(number), now), Ok(()));
            assert!(limiter.state().sessions.by_key.len() <= 3);
        }
        assert!(limiter.state().sessions.by_key.contains_key(&sender(99).session));
    }

    #[test]
    fn the_least_recently_used_session_is_evicted() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 1, burst: 5 }, ALL, 2, start);
        limiter.admit(sender(1), start).unwrap();
        limiter.charge(sender(1), 1_000, start);
        for other in 2..50 {
            limiter.admit(sender(other), start).unwrap();
            assert!(limiter.admit(sender(1), start).is_err(), "still overdrawn");
        }
        assert!(limiter.state().sessions.by_key.contains_key(&sender(49).session));
        assert!(!limiter.state().sessions.by_key.contains_key(&sender(48).session));
    }

    #[test]
    fn a_refused_request_costs_no_memory() {
        let start = Instant::now();
        let all = RateLimit { per_second: 1, burst: 1 };
        let limiter = limiter(RateLimit { per_second: 1, burst: 5 }, all, 10, start);
        limiter.admit(sender(1), start).unwrap();
        assert!(limiter.admit(sender(2), start).is_err());
        assert_eq!(limiter.state().sessions.by_key.len(), 1);
    }

    #[test]
    fn a_bucket_never_exceeds_its_burst() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 10, burst: 3 }, ALL, 10, start);
        limiter.admit(sender(1), start).unwrap();
        let later = start + Duration::from_hours(1);
        let admitted = (0..10).filter(|_| limiter.admit(sender(1), later).is_ok()).count();
        assert_eq!(admitted, 3);
        // Tokens above the burst are also not added while the body of a request arrives.
        let much_later = later + Duration::from_hours(1);
        limiter.charge(sender(1), 4, much_later);
        assert!(limiter.admit(sender(1), much_later).is_err());
    }

    #[test]
    fn waits_are_bounded_and_extreme_limits_do_not_overflow() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 0, burst: u32::MAX }, ALL, 10, start);
        limiter.admit(sender(1), start).unwrap();
        limiter.charge(sender(1), usize::MAX, start);
        assert_eq!(limiter.admit(sender(2), start), Err(LONGEST_WAIT), "all browsers together are overdrawn");
        let limiter = self::limiter(RateLimit { per_second: 0, burst: 2 }, ALL, 10, start);
        limiter.admit(sender(1), start).unwrap();
        limiter.admit(sender(1), start).unwrap();
        assert_eq!(limiter.admit(sender(1), start + Duration::from_hours(100)), Err(LONGEST_WAIT));
    }

    #[test]
    fn a_clock_that_stops_or_goes_back_adds_no_tokens() {
        let start = Instant::now() + Duration::from_secs(10);
        let limiter = limiter(RateLimit { per_second: 10, burst: 1 }, ALL, 3, start);
        assert_eq!(limiter.admit(sender(1), start), Ok(()));
        assert!(limiter.admit(sender(1), start - Duration::from_secs(5)).is_err());
        assert!(limiter.admit(sender(1), start).is_err());
    }
}
