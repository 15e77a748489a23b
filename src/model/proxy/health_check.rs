//! Active health checks: when an endpoint is asked next, and what its answers make of it.
//!
//! ```text
//! healthy   -- unhealthy_threshold failures in a row, or one bad status --> unhealthy
//! unhealthy -- healthy_threshold successes in a row (the first check: one) --> healthy
//! ```
//!
//! A bad status speaks for the endpoint itself, so it does not wait for the threshold, unless the status
//! is among those that do. The wait to the next check is short only once the cluster has had a request:
//! the first check runs before any, so by default the second comes a minute later.
//!
//! Source: Envoy's health checking docs; measured on Envoy 1.40 (family e11): refused connections count
//! to the threshold, a 503 ejects at once, and with the default `no_traffic_interval` five seconds of
//! 503 are never seen.
//! Left out: edge intervals, degraded answers, immediate failure headers.

use crate::kernel::stream::below;
use crate::kernel::time::Duration;
use crate::plan::health_check::HealthCheck;

/// What came of one check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// An answer with this status.
    Status(u16),
    /// No connection, a reset, or no answer in time.
    Network,
}

/// One endpoint as its checks show it. Unhealthy until the first one succeeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    is_healthy: bool,
    /// A check has ended.
    has_answered: bool,
    /// Checks in a row that contradict its state.
    contrary: u32,
}

impl Checked {
    /// Whether the endpoint may be used.
    pub const fn is_healthy(&self) -> bool {
        self.is_healthy
    }

    /// A check ended; whether the endpoint's state changed.
    pub fn record(&mut self, policy: &HealthCheck, check: Check) -> bool {
        let is_first = !std::mem::replace(&mut self.has_answered, true);
        let (is_good, waits) = match check {
            Check::Status(200) => (true, true),
            Check::Status(status) => {
                let within = |(first, last): &(u16, u16)| (*first..=*last).contains(&status);
                (false, policy.retriable_statuses.iter().any(within))
            }
            Check::Network => (false, true),
        };
        if is_good == self.is_healthy {
            self.contrary = 0;
            return false;
        }
        self.contrary += 1;
        let enough = match is_good {
            true if is_first => 1,
            true => policy.healthy_threshold,
            false if waits => policy.unhealthy_threshold,
            false => 1,
        };
        if self.contrary < enough {
            return false;
        }
        self.is_healthy = is_good;
        self.contrary = 0;
        true
    }
}

/// From the end of a check to the next one, where the cluster has had a request or not.
pub fn wait(policy: &HealthCheck, has_traffic: bool, draw: u64) -> Duration {
    let base = if has_traffic { policy.interval } else { policy.no_traffic_interval };
    match usize::try_from(policy.interval_jitter.ns()) {
        Ok(0) | Err(_) => base,
        Ok(most) => base + Duration::from_ns(below(draw, most) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Time;

    fn policy() -> HealthCheck {
        HealthCheck {
            timeout: Duration::from_ms(300),
            interval: Duration::from_ms(500),
            interval_jitter: Duration::ZERO,
            initial_jitter: Duration::ZERO,
            no_traffic_interval: Duration::from_ms(500),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            retriable_statuses: Vec::new(),
        }
    }

    /// When the state changes in 12 s, where a check is `bad` from 2 s to 7 s. The first check runs
    /// 100 ms before the first request.
    fn changes(policy: &HealthCheck, bad: Check) -> Vec<f64> {
        let at = |s: f64| Time::ZERO + Duration::from_s_f64(s);
        // Time zero is a tenth of a second before the first request.
        let (mut now, mut checked, mut changes) = (Time::ZERO, Checked::default(), Vec::new());
        while now < at(12.1) {
            let is_bad = at(2.1) <= now && now < at(7.1);
            let has_traffic = at(0.1) <= now;
            if is_bad && bad == Check::Network {
                now += policy.timeout;
            }
            if checked.record(policy, if is_bad { bad } else { Check::Status(200) }) {
                changes.push(now.since(Time::ZERO).as_s() - 0.1);
            }
            now += wait(policy, has_traffic, 0);
        }
        changes
    }

    fn near(changes: &[f64], measured: &[f64], tolerance: f64) {
        let far = changes.iter().zip(measured).any(|(one, other)| tolerance < (one - other).abs());
        assert!(!far && changes.len() == measured.len(), "{changes:?}, measured {measured:?}");
    }

    /// Family e11, `active_hc_timeout_threshold_3`: the last request 2.37 s after the failure, the
    /// first one 0.79 s after its end.
    #[test]
    fn three_timeouts_make_an_endpoint_unhealthy_and_two_answers_healthy() {
        near(&changes(&policy(), Check::Network), &[-0.1, 4.37, 7.79], 0.6);
    }

    /// Family e11, `active_hc_503_threshold_3`: 0.44 s after the failure, 0.96 s after its end.
    #[test]
    fn a_bad_status_does_not_wait_for_the_threshold() {
        near(&changes(&policy(), Check::Status(503)), &[-0.1, 2.44, 7.96], 0.6);
        let patient = HealthCheck { retriable_statuses: vec![(500, 599)], ..policy() };
        near(&changes(&patient, Check::Status(503)), &[-0.1, 3.5, 7.96], 0.6);
    }

    /// Family e11, `active_hc_503_default_no_traffic_interval_60s`: nothing is seen of five seconds.
    #[test]
    fn before_any_traffic_the_next_check_is_a_minute_away() {
        let policy = HealthCheck { no_traffic_interval: Duration::from_s(60), ..policy() };
        near(&changes(&policy, Check::Status(503)), &[-0.1], 1e-9);
    }

    #[test]
    fn a_jitter_is_added_and_a_good_check_starts_over() {
        let jittered = HealthCheck { interval_jitter: Duration::from_ms(100), ..policy() };
        let waits = [0, u64::MAX].map(|draw| wait(&jittered, true, draw).as_s());
        assert!((waits[0] - 0.5).abs() < 1e-9 && (waits[1] - 0.6).abs() < 1e-6, "{waits:?}");
        let mut checked = Checked::default();
        assert!(checked.record(&policy(), Check::Status(200)) && checked.is_healthy());
        let checks =
            [Check::Network, Check::Network, Check::Status(200), Check::Network, Check::Network];
        assert!(!checks.iter().any(|check| checked.record(&policy(), *check)));
        assert!(checked.record(&policy(), Check::Network) && !checked.is_healthy());
    }
}
