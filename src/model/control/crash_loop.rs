//! `CrashLoopBackOff`: how long a container that ended waits until it is started again.
//!
//! 10 s, doubled with each end, at most 300 s; after ten minutes of running it begins anew.
//!
//! Source: kubernetes.io, pod-lifecycle, "Container restarts"; kubelet's `backOffPeriod` and
//! `MaxContainerBackOff`.
//! Left out: that the kubelet looks at a pod at most every 10 s or so; the gates that shorten the
//! decay.

use crate::kernel::time::{Duration, Time};

/// The longest wait.
const MAX: Duration = Duration::from_s(300);
/// Who has run for so long is well again.
const RESET: Duration = Duration::from_s(600);

/// One container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CrashLoop {
    /// Ends in a row.
    ends: u32,
    running_since: Time,
}

impl CrashLoop {
    /// It runs.
    pub fn started(&mut self, now: Time) {
        self.running_since = now;
    }

    /// It ended; how long it waits, with `base` as the first wait.
    #[must_use]
    pub fn ended(&mut self, now: Time, base: Duration) -> Duration {
        if RESET <= now.since(self.running_since) {
            self.ends = 0;
        }
        // 2^32 times the base is more than the longest wait in every case.
        let wait = Duration::from_ns(base.ns().saturating_mul(1 << self.ends.min(32)));
        self.ends = self.ends.saturating_add(1);
        wait.min(MAX.max(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_five_minutes_and_begin_anew_after_ten_minutes_of_running() {
        let mut container = CrashLoop::default();
        let mut now = Time::ZERO + Duration::from_s(3_600);
        container.started(Time::ZERO);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = container.ended(now, Duration::from_s(10));
            waits.push(wait.ns() / 1_000_000_000);
            now += wait;
            container.started(now);
            now += Duration::from_s(5);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        now += Duration::from_s(600);
        assert_eq!(container.ended(now, Duration::from_s(10)), Duration::from_s(10));
    }
}
