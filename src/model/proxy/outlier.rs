//! Outlier detection: endpoints that fail in a row are left out for a while.
//!
//! Attempts are counted, not requests. The n-th failure ejects at once, if the share of ejected
//! endpoints allows it: with 10 % and fewer than 10 endpoints nobody is ever ejected. An ejection
//! lasts base × k, k = ejections so far, one less for each interval spent healthy; it ends on the
//! interval grid.
//!
//! Source: Envoy outlier docs; measured on Envoy 1.40 (family e05).
//! Left out: success rate, failure percentage, split local origin, enforcement shares, jitter.

use crate::kernel::time::{Duration, Time};
use crate::plan::policy::OutlierDetection;
use crate::vocabulary::outcome::{Details, Outcome};

/// What one proxy thinks of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    failures: u32,
    gateway_failures: u32,
    /// Set while ejected: since when.
    ejected_at: Option<Time>,
    /// Ejections so far, less one for each healthy interval.
    multiplier: u32,
}

impl Health {
    /// Whether the endpoint is left out.
    pub const fn is_ejected(&self) -> bool {
        self.ejected_at.is_some()
    }

    /// Whether [`Health::tick`] could change anything.
    pub const fn needs_ticks(&self) -> bool {
        self.ejected_at.is_some() || self.multiplier != 0
    }

    /// An attempt ended; whether its endpoint deserves ejection.
    #[must_use]
    pub fn record(&mut self, policy: &OutlierDetection, outcome: Outcome) -> bool {
        let local = !matches!(
            outcome.details,
            Details::ViaUpstream
                | Details::AppError
                | Details::AppOverflow
                | Details::AppCallFailed
        );
        let failed = local || 500 <= outcome.status;
        let gateway = local || (502..=504).contains(&outcome.status);
        self.failures = if failed { self.failures + 1 } else { 0 };
        self.gateway_failures = if gateway { self.gateway_failures + 1 } else { 0 };
        let reached = |limit, count| limit != 0 && limit <= count;
        !self.is_ejected()
            && (reached(policy.consecutive_5xx, self.failures)
                || reached(policy.consecutive_gateway, self.gateway_failures))
    }

    /// Leaves the endpoint out from now on.
    pub fn eject(&mut self, now: Time) {
        self.ejected_at = Some(now);
        self.multiplier += 1;
        self.failures = 0;
        self.gateway_failures = 0;
    }

    /// The interval's tick; whether the endpoint comes back.
    #[must_use]
    pub fn tick(&mut self, policy: &OutlierDetection, now: Time) -> bool {
        let Some(since) = self.ejected_at else {
            self.multiplier = self.multiplier.saturating_sub(1);
            return false;
        };
        let limit = policy.max_ejection.max(policy.base_ejection);
        let length =
            (policy.base_ejection.ns().saturating_mul(u64::from(self.multiplier))).min(limit.ns());
        if now < since + Duration::from_ns(length) {
            return false;
        }
        self.ejected_at = None;
        true
    }
}

/// Whether one more of `endpoints` may be ejected when `ejected` are.
#[must_use]
pub fn may_eject(policy: &OutlierDetection, ejected: usize, endpoints: usize) -> bool {
    (policy.always_eject_one && ejected == 0)
        || (ejected + 1) as f64 <= policy.max_ejection_share * endpoints as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> OutlierDetection {
        OutlierDetection {
            consecutive_5xx: 3,
            consecutive_gateway: 0,
            interval: Duration::from_s(1),
            base_ejection: Duration::from_s(2),
            max_ejection: Duration::from_s(300),
            max_ejection_share: 0.1,
            always_eject_one: false,
        }
    }

    #[test]
    fn ten_percent_of_nine_endpoints_is_nobody() {
        assert!(!may_eject(&policy(), 0, 9));
        assert!(may_eject(&policy(), 0, 10));
        assert!(!may_eject(&policy(), 1, 19));
        assert!(may_eject(&OutlierDetection { always_eject_one: true, ..policy() }, 0, 3));
    }

    #[test]
    fn the_third_failure_in_a_row_ejects_and_a_success_starts_over() {
        let mut health = Health::default();
        let (bad, good) = (Outcome::answer(503), Outcome::answer(200));
        let mut record = |outcome| health.record(&policy(), outcome);
        assert_eq!(
            [bad, bad, good, bad, bad, bad].map(&mut record),
            [false, false, false, false, false, true]
        );
    }

    #[test]
    fn an_ejection_ends_on_the_grid_and_the_next_one_is_longer() {
        let (policy, at) = (policy(), |s: f64| Time::ZERO + Duration::from_s_f64(s));
        let mut health = Health::default();
        health.eject(at(0.3));
        assert_eq!([1.0, 2.0, 3.0].map(|s| health.tick(&policy, at(s))), [false, false, true]);
        health.eject(at(3.2));
        let ticks = [4.0, 5.0, 6.0, 7.0, 8.0].map(|s| health.tick(&policy, at(s)));
        assert_eq!(ticks, [false, false, false, false, true]);
        assert!(health.needs_ticks());
        // Two healthy intervals forget both ejections.
        let _ = [health.tick(&policy, at(9.0)), health.tick(&policy, at(10.0))];
        assert!(!health.needs_ticks());
    }
}
