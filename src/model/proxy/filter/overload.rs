//! Overload: what a proxy does that has too much to do.
//!
//! At each refresh the proxy looks at its pressure: what it has under way as a share of what it may have
//! (requests, connections of clients), or the busy share of its workers, of which it takes an average that
//! forgets 5 % at each look. By a threshold its action is in force until the next refresh, or not; scaled, its
//! strength grows from one threshold to the other.
//!
//! ```text
//! scaled from 50 % to 90 %, at most 100 requests:  50 → 0    70 → 50 %    90 and more → 100 %
//! ```
//!
//! Source: Envoy's `overload_manager_impl.cc` (`ThresholdTriggerImpl`, `ScaledTriggerImpl`),
//! `conn_manager_impl.cc` (`stop_accepting_requests`, with which the load shed point
//! `http_connection_manager_decode_headers` agrees; `disable_http_keepalive`), `worker_impl.cc`
//! (`stop_accepting_connections`, `reject_incoming_connections`), `scaled_range_timer_manager_impl.cc`
//! (`reduce_timeouts`) and `cpu_utilization_monitor.cc` (its average). Envoy's monitors look at heap and CPU;
//! that the pressure is that of requests or connections, as if each held its part of the heap, is ours.
//! Left out: actions on memory (`shrink_heap`, `reset_high_memory_stream`) and HTTP/3; other load shed points.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::filter::{Overload, Trigger};

/// What a look at the busy share of the workers weighs (`DAMPENING_ALPHA`).
const SMOOTHING: f64 = 0.05;

/// The pressure as one proxy knows it, and how strong its action is.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pressure {
    /// The number of the interval in which it looked; none before the first.
    looked: Option<u64>,
    /// The strength of the action since that look, and before it.
    strength: f64,
    before: f64,
    since: Time,
    /// The average busy share of the workers.
    busy: f64,
}

impl Pressure {
    /// Whether it is time to look again, in a proxy that began so long before the run.
    #[must_use]
    pub fn is_due(&self, policy: &Overload, now: Time, before: Duration) -> bool {
        self.looked != Some(number(policy, now, before))
    }

    /// When the next look is due.
    #[must_use]
    pub fn next_look(policy: &Overload, now: Time, before: Duration) -> Time {
        let interval = policy.refresh_interval.max(Duration::from_ns(1));
        let left = interval.ns() - (now + before).ns() % interval.ns();
        now.saturating_add(Duration::from_ns(left))
    }

    /// It looks: the pressure is this.
    pub fn look(&mut self, policy: &Overload, now: Time, before: Duration, pressure: f64) {
        self.looked = Some(number(policy, now, before));
        self.before = self.strength;
        self.since = now;
        self.strength = strength(policy.trigger, pressure);
    }

    /// The workers were busy for this share of the time since the last look: the average.
    pub fn smooth(&mut self, share: f64) -> f64 {
        self.busy = share.min(1.0) * SMOOTHING + (1.0 - SMOOTHING) * self.busy;
        self.busy
    }

    /// How strong the action is, 0 to 1.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.strength
    }

    /// How strong it was a little while ago.
    #[must_use]
    pub fn strength_at(&self, time: Time) -> f64 {
        if time < self.since { self.before } else { self.strength }
    }

    /// Whether a request is refused; `draw` are 64 random bits of it.
    #[must_use]
    pub fn sheds(&self, draw: u64) -> bool {
        uniform(draw) < self.strength
    }
}

/// The timeout of idle connections under an action of this strength.
#[must_use]
pub fn reduced(idle: Duration, least: Duration, strength: f64) -> Duration {
    let span = idle.saturating_sub(least).ns();
    // Whole milliseconds, as Envoy's timers.
    let ms = (span as f64 * (1.0 - strength)) / 1e6;
    least + Duration::from_ms(floor(ms))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
fn floor(number: f64) -> u64 {
    libm::floor(number) as u64
}

/// The number of the interval.
fn number(policy: &Overload, now: Time, before: Duration) -> u64 {
    (now + before).ns() / policy.refresh_interval.ns().max(1)
}

/// The strength of an action under a pressure.
fn strength(trigger: Trigger, pressure: f64) -> f64 {
    match trigger {
        Trigger::Threshold(threshold) if threshold <= pressure => 1.0,
        Trigger::Threshold(_) => 0.0,
        Trigger::Scaled { from, to } => ((pressure - from) / (to - from)).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::filter::{Monitor, OverloadAction};

    fn policy(trigger: Trigger) -> Overload {
        Overload {
            monitor: Monitor::Requests(100),
            refresh_interval: Duration::from_s(1),
            trigger,
            action: OverloadAction::StopRequests,
        }
    }

    fn at_ms(ms: u64) -> Time {
        Time::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_threshold_is_all_or_none_and_scaled_is_between() {
        let close = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} {other}");
        let threshold = Trigger::Threshold(0.95);
        close(strength(threshold, 0.94), 0.0);
        close(strength(threshold, 0.95), 1.0);
        let scaled = Trigger::Scaled { from: 0.5, to: 0.9 };
        for (pressure, share) in [(0.5, 0.0), (0.7, 0.5), (0.9, 1.0), (3.0, 1.0), (0.0, 0.0)] {
            close(strength(scaled, pressure), share);
        }
    }

    #[test]
    fn between_two_looks_nothing_changes() {
        let policy = policy(Trigger::Threshold(0.5));
        let before = Duration::from_ms(300);
        let mut pressure = Pressure::default();
        assert!(!pressure.sheds(0));
        pressure.look(&policy, at_ms(0), before, 0.5);
        assert!(pressure.sheds(u64::MAX));
        assert!(!pressure.is_due(&policy, at_ms(699), before));
        assert!(pressure.is_due(&policy, at_ms(700), before));
        pressure.look(&policy, at_ms(700), before, 0.49);
        assert!(!pressure.sheds(0));
    }

    #[test]
    fn a_proxy_remembers_how_strong_it_was_before_its_last_look() {
        let policy = policy(Trigger::Threshold(0.5));
        let mut pressure = Pressure::default();
        pressure.look(&policy, at_ms(100), Duration::ZERO, 1.0);
        assert_eq!([99, 100].map(|ms| pressure.strength_at(at_ms(ms)) < 1.0), [true, false]);
        let before = Duration::from_ms(300);
        assert_eq!(Pressure::next_look(&policy, at_ms(100), before), at_ms(700));
        assert_eq!(Pressure::next_look(&policy, at_ms(700), before), at_ms(1_700));
    }

    #[test]
    fn the_busy_share_is_an_average_that_forgets_a_twentieth() {
        // 1 - 0.95^n: half after 14 looks at workers that are always busy.
        let mut pressure = Pressure::default();
        let looks = (1..=14).map(|_| pressure.smooth(2.0)).collect::<Vec<_>>();
        assert!(looks[12] < 0.5 && 0.5 < looks[13] && looks[13] < 0.52, "{looks:?}");
    }

    /// The example of Envoy's page on the overload manager: between 85 % and 95 %, 92 % of the heap make 600 s
    /// and at least 2 s to 181.4 s.
    #[test]
    fn an_idle_timeout_shrinks_as_in_envoys_example() {
        let scaled = strength(Trigger::Scaled { from: 0.85, to: 0.95 }, 0.92);
        let timeout = reduced(Duration::from_s(600), Duration::from_s(2), scaled);
        assert!(timeout.ns().abs_diff(181_400_000_000) <= 1_000_000, "{timeout}");
        assert_eq!(reduced(Duration::from_s(9), Duration::from_s(2), 1.0), Duration::from_s(2));
        assert_eq!(reduced(Duration::from_s(9), Duration::from_s(2), 0.0), Duration::from_s(9));
    }
}
