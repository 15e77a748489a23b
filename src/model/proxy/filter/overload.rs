//! Overload: a proxy with too many requests under way refuses new ones.
//!
//! At each refresh the proxy looks how many requests it has under way, as a share of what it may have: the
//! pressure. By a threshold it then refuses all requests until the next refresh, or none; scaled, a share
//! of them that grows from one threshold to the other.
//!
//! ```text
//! scaled from 50 % to 90 %, at most 100 requests:  50 → 0    70 → 50 %    90 and more → 100 %
//! ```
//!
//! Source: Envoy's `overload_manager_impl.cc` (`ThresholdTriggerImpl`, `ScaledTriggerImpl`) and
//! `conn_manager_impl.cc` (`overload_actions.stop_accepting_requests`, with which the load shed point
//! `http_connection_manager_decode_headers` agrees). Envoy's monitors look at heap and CPU; that the pressure is
//! that of requests, as if each held its part of the heap, is ours.
//! Left out: all other actions and load shed points; limits on connections, also of a listener.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::filter::{Overload, Trigger};

/// The pressure as one proxy knows it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressure {
    /// The number of the interval in which it looked; none before the first.
    looked: Option<u64>,
    /// The share of requests that are refused.
    share: f64,
}

impl Pressure {
    /// Whether it is time to look again, in a proxy that began so long before the run.
    #[must_use]
    pub fn is_due(&self, policy: &Overload, now: Time, before: Duration) -> bool {
        self.looked != Some(number(policy, now, before))
    }

    /// The proxy has so many requests under way.
    pub fn look(&mut self, policy: &Overload, now: Time, before: Duration, active: usize) {
        self.looked = Some(number(policy, now, before));
        self.share = refused(policy.trigger, active as f64 / f64::from(policy.max_active));
    }

    /// Whether a request is refused; `draw` are 64 random bits of it.
    #[must_use]
    pub fn sheds(&self, draw: u64) -> bool {
        uniform(draw) < self.share
    }
}

/// The number of the interval.
fn number(policy: &Overload, now: Time, before: Duration) -> u64 {
    (now + before).ns() / policy.refresh_interval.ns().max(1)
}

/// The share of requests that are refused under a pressure.
fn refused(trigger: Trigger, pressure: f64) -> f64 {
    match trigger {
        Trigger::Threshold(threshold) if threshold <= pressure => 1.0,
        Trigger::Threshold(_) => 0.0,
        Trigger::Scaled { from, to } => ((pressure - from) / (to - from)).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(trigger: Trigger) -> Overload {
        Overload { max_active: 100, refresh_interval: Duration::from_s(1), trigger }
    }

    fn at_ms(ms: u64) -> Time {
        Time::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_threshold_is_all_or_none_and_scaled_is_between() {
        let close = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} {other}");
        let threshold = Trigger::Threshold(0.95);
        close(refused(threshold, 0.94), 0.0);
        close(refused(threshold, 0.95), 1.0);
        let scaled = Trigger::Scaled { from: 0.5, to: 0.9 };
        for (pressure, share) in [(0.5, 0.0), (0.7, 0.5), (0.9, 1.0), (3.0, 1.0), (0.0, 0.0)] {
            close(refused(scaled, pressure), share);
        }
    }

    #[test]
    fn between_two_looks_nothing_changes() {
        let policy = policy(Trigger::Threshold(0.5));
        let before = Duration::from_ms(300);
        let mut pressure = Pressure::default();
        assert!(!pressure.sheds(0));
        pressure.look(&policy, at_ms(0), before, 50);
        assert!(pressure.sheds(u64::MAX));
        assert!(!pressure.is_due(&policy, at_ms(699), before));
        assert!(pressure.is_due(&policy, at_ms(700), before));
        pressure.look(&policy, at_ms(700), before, 49);
        assert!(!pressure.sheds(0));
    }
}
