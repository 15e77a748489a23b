//! `HTTPLocalRateLimitPolicy`: requests of all clients, of each client, and of some.
//!
//! ```text
//! GCRA: a request is allowed if  now >= TAT − (n − 1)/n s,  then  TAT = max(TAT, now) + 1/n s
//! ```
//!
//! so that n may come at once, and one more each 1/n s. First the limit of all is asked, which counts the
//! request even if the next limit refuses it; then the client's override, or else the limit of each identity.
//! Clients without an identity share one. Each proxy counts for itself.
//!
//! Source: linkerd2-proxy linkerd/proxy/server-policy/src/local_rate_limit.rs; governor `gcra.rs` (`Quota::per_second`).
//! Left out: earlier versions of governor, which let one more come at once after a rest.

use super::answer::RateLimited;
use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::linkerd::policy::LocalRateLimit;
use std::collections::BTreeMap;

/// One limit: the theoretical arrival time of its next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gcra {
    next: Time,
}

impl Gcra {
    /// Takes a request, if `rps` allow it. Of 0 nothing is limited.
    #[must_use]
    pub fn take(&mut self, now: Time, rps: u32) -> bool {
        if rps == 0 {
            return true;
        }
        let cell = Duration::from_ns((NS_PER_S / u64::from(rps)).max(1));
        let burst = cell * u64::from(rps - 1);
        if now < self.next.saturating_sub(burst) {
            return false;
        }
        self.next = self.next.max(now).saturating_add(cell);
        true
    }
}

/// What one proxy counts for one `Server`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limiter {
    total: Gcra,
    /// By the client's identity.
    identities: BTreeMap<Option<u32>, Gcra>,
    overrides: Vec<Gcra>,
}

impl Limiter {
    /// A request of a client with this identity comes.
    pub fn check(
        &mut self,
        policy: &LocalRateLimit,
        now: Time,
        client: Option<u32>,
    ) -> Result<(), RateLimited> {
        if !self.total.take(now, policy.total_rps) {
            return Err(RateLimited::Total(policy.total_rps));
        }
        let is_of = |client: &u32| {
            let named = |one: &crate::plan::linkerd::policy::RateOverride| {
                one.rps != 0 && one.clients.contains(client)
            };
            // Of two that name it, the last counts.
            policy.overrides.iter().rposition(named)
        };
        if let Some(place) = client.as_ref().and_then(is_of) {
            self.overrides.resize(policy.overrides.len(), Gcra::default());
            let rps = policy.overrides[place].rps;
            let takes = self.overrides[place].take(now, rps);
            return if takes { Ok(()) } else { Err(RateLimited::Override(rps)) };
        }
        let rps = policy.identity_rps;
        if rps != 0 && !self.identities.entry(client).or_default().take(now, rps) {
            return Err(RateLimited::Identity(rps));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::policy::RateOverride;

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    fn burst(gcra: &mut Gcra, s: f64, rps: u32) -> usize {
        (0..1000).filter(|_| gcra.take(at(s), rps)).count()
    }

    #[test]
    fn as_many_come_at_once_as_come_in_a_second() {
        let mut gcra = Gcra::default();
        assert_eq!(burst(&mut gcra, 0.0, 10), 10);
        assert_eq!([0.05, 0.1, 0.15, 0.4].map(|s| burst(&mut gcra, s, 10)), [0, 1, 0, 3]);
        // A rest fills it, and no more.
        assert_eq!(burst(&mut gcra, 500.0, 10), 10);
        assert_eq!(burst(&mut Gcra::default(), 3.0, 1), 1);
        assert_eq!(burst(&mut Gcra::default(), 3.0, 0), 1000);
    }

    #[test]
    fn a_steady_stream_gets_its_rate() {
        let mut gcra = Gcra::default();
        let taken = (0..1500).filter(|n| gcra.take(at(f64::from(*n) * 0.02), 10)).count();
        // 30 s at 50 rps: ten at first, then ten a second.
        assert!((309..=310).contains(&taken), "{taken}");
    }

    #[test]
    fn all_then_the_override_then_each() {
        let policy = LocalRateLimit {
            total_rps: 100,
            identity_rps: 2,
            overrides: vec![RateOverride { rps: 5, clients: vec![7, 8] }],
        };
        let mut limiter = Limiter::default();
        let mut passed = |client, count: usize| {
            let results = (0..count).map(|_| limiter.check(&policy, at(0.0), client));
            let results: Vec<_> = results.collect();
            let passed = results.iter().filter(|one| one.is_ok()).count();
            (passed, results.into_iter().find_map(Result::err))
        };
        assert_eq!(passed(Some(1), 3), (2, Some(RateLimited::Identity(2))));
        assert_eq!(passed(Some(2), 2), (2, None));
        // All without an identity are one client.
        assert_eq!(passed(None, 3), (2, Some(RateLimited::Identity(2))));
        // Those of an override share it, and it is theirs alone.
        assert_eq!(passed(Some(7), 3), (3, None));
        assert_eq!(passed(Some(8), 3), (2, Some(RateLimited::Override(5))));
        // 14 were asked for; those that were refused count for all.
        assert_eq!(passed(Some(3), 90), (2, Some(RateLimited::Identity(2))));
        assert_eq!(passed(Some(4), 1), (0, Some(RateLimited::Total(100))));
    }
}
