//! How fast browsers may send: one token bucket for each session, and one for all together, since sessions are cheap.

use crate::{SessionId, config::RateLimit};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Both kinds of bucket. Memory is bounded by the number of sessions that are told apart.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    session: RateLimit,
    all: RateLimit,
    tracked_sessions: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    sessions: HashMap<SessionId, Bucket>,
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
    pub(crate) fn new(session: RateLimit, all: RateLimit, tracked_sessions: usize, now: Instant) -> Self {
        let state = State { all: Bucket::full(all, now), sessions: HashMap::new() };
        Self { session, all, tracked_sessions: tracked_sessions.max(1), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one token of the session and one of all for a request.
    ///
    /// # Errors
    /// How long to wait where there is none.
    pub(crate) fn admit(&self, session: SessionId, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        state.all.fill(self.all, now);
        if let Some(wait) = state.all.wait(self.all) {
            return Err(wait);
        }
        if !state.sessions.contains_key(&session) && state.sessions.len() >= self.tracked_sessions {
            state.forget(self.session, now);
        }
        let bucket = state.sessions.entry(session).or_insert_with(|| Bucket::full(self.session, now));
        bucket.fill(self.session, now);
        if let Some(wait) = bucket.wait(self.session) {
            return Err(wait);
        }
        bucket.tokens -= 1.0;
        state.all.tokens -= 1.0;
        Ok(())
    }

    /// Takes what an admitted request costs beyond its first token.
    pub(crate) fn charge(&self, session: SessionId, spans: usize) {
        let cost = f64::from(u32::try_from(spans.saturating_sub(1)).unwrap_or(u32::MAX));
        let mut state = self.state();
        state.all.tokens -= cost;
        if let Some(bucket) = state.sessions.get_mut(&session) {
            bucket.tokens -= cost;
        }
    }
}

impl State {
    /// Makes room: whoever's bucket is full again is as good as new; else the one that was quiet longest goes.
    fn forget(&mut self, limit: RateLimit, now: Instant) {
        let before = self.sessions.len();
        self.sessions.retain(|_, bucket| bucket.fill_level(limit, now) < f64::from(limit.burst.max(1)));
        if self.sessions.len() == before {
            let oldest = self.sessions.iter().min_by_key(|(_, bucket)| bucket.at).map(|(session, _)| *session);
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
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

    fn session(number: u8) -> SessionId {
        SessionId::from_bytes([number; 16])
    }

    #[test]
    fn a_session_that_sends_too_much_waits_and_others_do_not() {
        let start = Instant::now();
        let limiter = RateLimiter::new(RateLimit { per_second: 10, burst: 20 }, ALL, 10, start);
        assert_eq!(limiter.admit(session(1), start), Ok(()));
        limiter.charge(session(1), 50);
        // 20 - 50 = 30 owed, and one more wanted, at 10 a second.
        assert_eq!(limiter.admit(session(1), start), Err(Duration::from_millis(3_100)));
        assert_eq!(limiter.admit(session(2), start), Ok(()));
        assert_eq!(limiter.admit(session(1), start + Duration::from_millis(3_100)), Ok(()));
        assert!(limiter.admit(session(1), start + Duration::from_millis(3_150)).is_err());
    }

    #[test]
    fn new_sessions_do_not_get_round_the_limit_of_all() {
        let start = Instant::now();
        let all = RateLimit { per_second: 5, burst: 10 };
        let limiter = RateLimiter::new(RateLimit { per_second: 100, burst: 100 }, all, 10, start);
        let admitted = (0..100).filter(|number| limiter.admit(session(*number), start).is_ok()).count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let limiter = RateLimiter::new(RateLimit { per_second: 1, burst: 5 }, ALL, 3, start);
        for number in 0..100_u8 {
            let now = start + Duration::from_millis(u64::from(number));
            assert_eq!(limiter.admit(session(number), now), Ok(()));
            assert!(limiter.state().sessions.len() <= 3);
        }
        assert!(limiter.state().sessions.contains_key(&session(99)));
    }

    #[test]
    fn the_quiet_are_forgotten_before_those_who_owe() {
        let start = Instant::now();
        let limiter = RateLimiter::new(RateLimit { per_second: 1, burst: 5 }, ALL, 2, start);
        limiter.admit(session(1), start).unwrap();
        limiter.charge(session(1), 1_000);
        limiter.admit(session(2), start).unwrap();
        let later = start + Duration::from_secs(10);
        limiter.admit(session(3), later).unwrap();
        assert!(limiter.admit(session(1), later).is_err(), "still owes");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(10);
        let limiter = RateLimiter::new(RateLimit { per_second: 10, burst: 1 }, ALL, 3, start);
        assert_eq!(limiter.admit(session(1), start), Ok(()));
        assert!(limiter.admit(session(1), start - Duration::from_secs(5)).is_err());
        assert!(limiter.admit(session(1), start).is_err());
    }
}
