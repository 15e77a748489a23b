//! The client-side rate limit of istiod's calls to the API server.
//!
//! A token bucket that makes callers wait, however long: who comes when it is empty is served in
//! turn, and so a storm of new pods waits for seconds. Kept as one instant.
//!
//! Source: client-go `flowcontrol.NewTokenBucketRateLimiter`; istio pilot/cmd/pilot-discovery/app/cmd.go
//! (80 a second, burst 160); istio#27945 (1 to 24 s for 600 pods).
//! Left out: what else istiod asks the API server for.

use crate::kernel::time::{Duration, NS_PER_S, Time};

/// The bucket of one replica.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Calls per second; 0 for no limit.
    rate_per_s: u32,
    /// Calls at once, at least 1.
    burst: u32,
    /// When the next token after the last taken is there, in ns times the rate.
    next_token: u128,
}

impl Throttle {
    /// A full bucket.
    pub fn new(rate_per_s: u32, burst: u32) -> Self {
        Self { rate_per_s, burst: burst.max(1), next_token: 0 }
    }

    /// When a call that comes now is made.
    pub fn take(&mut self, now: Time) -> Time {
        if self.rate_per_s == 0 {
            return now;
        }
        let rate = u128::from(self.rate_per_s);
        let now_scaled = u128::from(now.ns()) * rate;
        let token = self.next_token.max(now_scaled);
        self.next_token = token + u128::from(NS_PER_S);
        let saved = u128::from(self.burst - 1) * u128::from(NS_PER_S);
        let wait_ns = token.saturating_sub(now_scaled + saved).div_ceil(rate);
        now.saturating_add(Duration::from_ns(u64::try_from(wait_ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_in_turn() {
        let mut throttle = Throttle::new(10, 3);
        let times: Vec<_> = (0..6).map(|_| throttle.take(ms(1000))).collect();
        assert_eq!(times, [ms(1000), ms(1000), ms(1000), ms(1100), ms(1200), ms(1300)]);
        // A second later it has saved 7 of the 10 that came free.
        let times: Vec<_> = (0..4).map(|_| throttle.take(ms(2000))).collect();
        assert_eq!(times, [ms(2000), ms(2000), ms(2000), ms(2100)]);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut throttle = Throttle::new(0, 1);
        assert!((0..1000).all(|_| throttle.take(ms(5)) == ms(5)));
    }

    #[test]
    fn six_hundred_pods_wait_for_up_to_24_s_at_client_gos_old_rate() {
        // istio#27945: the log shows waits of 1 to 24 s; 20 a second, burst 40, give 28 s.
        let mut throttle = Throttle::new(20, 40);
        let last = (0..600).map(|_| throttle.take(ms(0))).max().expect("some");
        assert_eq!(last, ms(28_000));
    }
}
