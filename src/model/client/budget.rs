//! What one client may send again: a token bucket, a breaker.
//!
//! The bucket makes retries a share of the requests, and of failures a few at first. The breaker stops
//! them as soon as this one client sees too many failures; a client that sends little sees little.
//!
//! Source: `mbrooker/simulator_example`, `retry_sim`: tokens come with each request, whatever becomes of
//! it; the breaker compares failed sends with requests, so retries count against it.
//! Left out: tokens that are given back for an answer, as in the AWS SDKs.

use crate::kernel::time::{Duration, Time};
use crate::plan::client::{Client, RetryBreaker, RetryBucket};

/// What a client remembers.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    tokens: f64,
    /// Requests and failed sends, since then.
    requests: f64,
    failures: f64,
    since: Time,
}

impl Budget {
    /// That of a client that has sent nothing yet.
    pub fn new(client: &Client) -> Self {
        let tokens = client.bucket.map_or(0.0, |bucket| bucket.size);
        Self { tokens, requests: 0.0, failures: 0.0, since: Time::ZERO }
    }

    /// A request begins.
    pub fn begin(&mut self, client: &Client, now: Time) {
        if let Some(RetryBucket { size, deposit, .. }) = client.bucket {
            self.tokens = (self.tokens + deposit).min(size);
        }
        self.turn(client, now);
        self.requests += 1.0;
    }

    /// A send has failed.
    pub fn failed(&mut self, client: &Client, now: Time) {
        self.turn(client, now);
        self.failures += 1.0;
    }

    /// Whether it may send again; what that costs is taken.
    #[must_use]
    pub fn take(&mut self, client: &Client) -> bool {
        if let Some(RetryBreaker { share, .. }) = client.breaker
            && share * self.requests.max(1.0) < self.failures
        {
            return false;
        }
        let Some(RetryBucket { cost, .. }) = client.bucket else { return true };
        let has_enough = cost <= self.tokens;
        if has_enough {
            self.tokens -= cost;
        }
        has_enough
    }

    /// Counts of a window that is over are forgotten.
    fn turn(&mut self, client: &Client, now: Time) {
        let window = client.breaker.map_or(Duration::ZERO, |breaker| breaker.window);
        if !window.is_zero() && window <= now.since(self.since) {
            (self.requests, self.failures) = (0.0, 0.0);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::client::{Backoff, Jitter};

    fn client() -> Client {
        let backoff = Backoff { jitter: Jitter::Full, base: Duration::ZERO, max: Duration::ZERO };
        Client {
            count: 1,
            timeout: Duration::ZERO,
            attempts: 3,
            backoff,
            bucket: None,
            breaker: None,
        }
    }

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    #[test]
    fn a_full_bucket_is_spent_and_then_fills_by_requests() {
        let bucket = Some(RetryBucket { size: 2.0, deposit: 0.25, cost: 1.0 });
        let client = Client { bucket, ..client() };
        let mut budget = Budget::new(&client);
        budget.begin(&client, at(0));
        assert_eq!([(); 3].map(|()| budget.take(&client)), [true, true, false]);
        for request in 1..=4 {
            budget.begin(&client, at(0));
            assert_eq!(budget.take(&client), request == 4);
        }
    }

    #[test]
    fn a_breaker_opens_above_its_share_and_forgets_with_its_window() {
        let breaker = Some(RetryBreaker { share: 0.5, window: Duration::from_s(10) });
        let client = Client { breaker, ..client() };
        let mut budget = Budget::new(&client);
        budget.begin(&client, at(1));
        budget.begin(&client, at(1));
        budget.failed(&client, at(2));
        assert!(budget.take(&client));
        budget.failed(&client, at(3));
        assert!(!budget.take(&client));
        budget.begin(&client, at(11));
        assert!(budget.take(&client));
    }
}
