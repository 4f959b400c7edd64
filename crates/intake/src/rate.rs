//! How fast browsers may send: a token bucket for each session, one for each client, and one for all together, since sessions
//! and addresses are cheap.

use crate::{
    SessionId,
    config::{Limits, RateLimit},
};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// All kinds of buckets. Memory is bounded by the number of sessions and clients that are told apart.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    all: RateLimit,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    sessions: Buckets<SessionId>,
    clients: Buckets<IpAddr>,
}

/// Whom a request is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) session: SessionId,
    /// Where that says something about the sender.
    pub(crate) client: Option<IpAddr>,
}

/// A bucket for each of those that are told apart.
#[derive(Debug)]
struct Buckets<K> {
    limit: RateLimit,
    most: usize,
    by_key: HashMap<K, Bucket>,
}

/// Tokens may be owed: what a batch costs is known only after it is read.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(limit: RateLimit, now: Instant) -> Self {
        Self { tokens: f64::from(limit.burst.max(1)), at: now }
    }

    fn fill(&mut self, limit: RateLimit, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * f64::from(limit.per_second)).min(f64::from(limit.burst.max(1)));
        self.at = self.at.max(now);
    }

    /// How long until there is a whole token; `None` if there is one.
    fn wait(&self, limit: RateLimit) -> Option<Duration> {
        let missing = 1.0 - self.tokens;
        (missing > 0.0).then(|| Duration::from_secs_f64((missing / f64::from(limit.per_second.max(1))).min(3600.0)))
    }
}

impl RateLimiter {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let state = State {
            all: Bucket::full(limits.public_rate, now),
            sessions: Buckets::new(limits.session_rate, limits.tracked_sessions),
            clients: Buckets::new(limits.client_rate, limits.tracked_clients),
        };
        Self { all: limits.public_rate, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one token of the session, one of the client and one of all for a request.
    ///
    /// # Errors
    /// How long to wait where there is none.
    pub(crate) fn admit(&self, sender: Sender, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        state.all.fill(self.all, now);
        if let Some(wait) = state.all.wait(self.all) {
            return Err(wait);
        }
        let client = sender.client.and_then(told_apart);
        client.map_or(Ok(()), |client| state.clients.look(client, now))?;
        state.sessions.look(sender.session, now)?;
        state.charge(sender.session, client, 1.0);
        Ok(())
    }

    /// Takes one token of the client for a ticket.
    ///
    /// # Errors
    /// How long to wait where there is none.
    pub(crate) fn admit_client(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Some(client) = client.and_then(told_apart) else { return Ok(()) };
        let mut state = self.state();
        state.clients.look(client, now)?;
        state.clients.charge(&client, 1.0);
        Ok(())
    }

    /// Takes what an admitted request costs beyond its first token.
    pub(crate) fn charge(&self, sender: Sender, records: usize) {
        let cost = f64::from(u32::try_from(records.saturating_sub(1)).unwrap_or(u32::MAX));
        self.state().charge(sender.session, sender.client.and_then(told_apart), cost);
    }
}

/// What stands for a client: its address, of IPv6 the part that a provider gives to one customer. None for loopback, where
/// everybody comes through the same proxy.
fn told_apart(address: IpAddr) -> Option<IpAddr> {
    match address {
        address if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

impl State {
    fn charge(&mut self, session: SessionId, client: Option<IpAddr>, cost: f64) {
        self.all.tokens -= cost;
        self.sessions.charge(&session, cost);
        if let Some(client) = client {
            self.clients.charge(&client, cost);
        }
    }
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new(limit: RateLimit, most: usize) -> Self {
        Self { limit, most: most.max(1), by_key: HashMap::new() }
    }

    /// How long to wait, if there is no token.
    fn look(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if !self.by_key.contains_key(&key) && self.by_key.len() >= self.most {
            self.forget(now);
        }
        let bucket = self.by_key.entry(key).or_insert_with(|| Bucket::full(self.limit, now));
        bucket.fill(self.limit, now);
        bucket.wait(self.limit).map_or(Ok(()), Err)
    }

    fn charge(&mut self, key: &K, cost: f64) {
        if let Some(bucket) = self.by_key.get_mut(key) {
            bucket.tokens -= cost;
        }
    }

    /// Makes room: whoever's bucket is full again is as good as new; else the one that was quiet longest goes.
    fn forget(&mut self, now: Instant) {
        let before = self.by_key.len();
        let limit = self.limit;
        self.by_key.retain(|_, bucket| bucket.fill_level(limit, now) < f64::from(limit.burst.max(1)));
        if self.by_key.len() == before {
            let oldest = self.by_key.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.by_key.remove(&oldest);
            }
        }
    }
}

impl Bucket {
    fn fill_level(mut self, limit: RateLimit, now: Instant) -> f64 {
        self.fill(limit, now);
        self.tokens
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
        limiter.charge(sender(1), 50);
        // 20 - 50 = 30 owed, and one more wanted, at 10 a second.
        assert_eq!(limiter.admit(sender(1), start), Err(Duration::from_millis(3_100)));
        assert_eq!(limiter.admit(sender(2), start), Ok(()));
        assert_eq!(limiter.admit(sender(1), start + Duration::from_millis(3_100)), Ok(()));
        assert!(limiter.admit(sender(1), start + Duration::from_millis(3_150)).is_err());
    }

    #[test]
    fn new_sessions_do_not_get_round_the_limit_of_all() {
        let start = Instant::now();
        let all = RateLimit { per_second: 5, burst: 10 };
        let limiter = limiter(RateLimit { per_second: 100, burst: 100 }, all, 10, start);
        let admitted = (0..100).filter(|number| limiter.admit(sender(*number), start).is_ok()).count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn new_sessions_do_not_get_round_the_limit_of_their_client() {
        let start = Instant::now();
        let client_rate = RateLimit { per_second: 1, burst: 10 };
        let limiter = RateLimiter::new(&Limits { client_rate, tracked_clients: 2, ..Limits::default() }, start);
        let from = |number, client: &str| Sender { client: Some(client.parse().unwrap()), ..sender(number) };
        let admitted = |client: &str| (0..100).filter(|&n| limiter.admit(from(n, client), start).is_ok()).count();
        assert_eq!(admitted("192.0.2.1"), 10);
        assert_eq!(admitted("192.0.2.2"), 10);
        assert!(limiter.admit_client(Some("192.0.2.2".parse().unwrap()), start).is_err(), "tickets count too");
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
    fn the_quiet_are_forgotten_before_those_who_owe() {
        let start = Instant::now();
        let limiter = limiter(RateLimit { per_second: 1, burst: 5 }, ALL, 2, start);
        limiter.admit(sender(1), start).unwrap();
        limiter.charge(sender(1), 1_000);
        limiter.admit(sender(2), start).unwrap();
        let later = start + Duration::from_secs(10);
        limiter.admit(sender(3), later).unwrap();
        assert!(limiter.admit(sender(1), later).is_err(), "still owes");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(10);
        let limiter = limiter(RateLimit { per_second: 10, burst: 1 }, ALL, 3, start);
        assert_eq!(limiter.admit(sender(1), start), Ok(()));
        assert!(limiter.admit(sender(1), start - Duration::from_secs(5)).is_err());
        assert!(limiter.admit(sender(1), start).is_err());
    }
}
