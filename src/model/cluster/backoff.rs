//! `CrashLoopBackOff`: how long the kubelet waits before it starts an ended container again.
//!
//! ```text
//! start ×  start ×   10 s   start ×   20 s   start ×  …  300 s
//!       at once
//! ```
//!
//! The first restart is made at once. One that has run for twice the longest wait, 10 min, begins
//! anew. No other wait is shorter than a second, in which a kubelet looks at its pods once.
//!
//! Source: kubernetes.io pod-lifecycle ("initial crash: an immediate restart; repeated crashes: an
//! exponential delay"); client-go `util/flowcontrol/backoff.go`, `hasExpired`.
//! Left out: the per-node ceiling of 1.35 (`KubeletCrashLoopBackOffMax`).

use crate::kernel::time::{Duration, Time};

/// A kubelet lists its containers this often.
const LIST: Duration = Duration::from_s(1);

/// The restarts of one container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CrashLoop {
    /// Ends in a row.
    ends: u32,
    /// When it was last started.
    started: Time,
}

impl CrashLoop {
    /// The container starts.
    pub fn start(&mut self, now: Time) {
        self.started = now;
    }

    /// The container ended: how long until it is started again.
    pub fn end(&mut self, now: Time, base: Duration, max: Duration, reset: Duration) -> Duration {
        if reset.max(LIST) <= now.saturating_since(self.started) {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        match self.ends {
            1 => Duration::ZERO,
            ends => {
                let doublings = (ends - 2).min(40);
                Duration::from_ns(base.ns().saturating_mul(1 << doublings).min(max.ns())).max(LIST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_s;

    fn ends(run: Duration, count: usize) -> Vec<u64> {
        let (mut container, mut now) = (CrashLoop::default(), Time::from_ns(1));
        let mut waits = Vec::new();
        for _ in 0..count {
            container.start(now);
            now += run;
            let wait = container.end(now, S(10), S(300), S(600));
            waits.push(wait.ns() / 1_000_000_000);
            now += wait;
        }
        waits
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!(ends(S(1), 9), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_are_forgiven() {
        assert_eq!(ends(S(600), 5), [0; 5], "a failed startup probe: every ten minutes, no wait");
        assert_eq!(ends(S(599), 4), [0, 10, 20, 40]);
    }

    #[test]
    fn a_container_that_ends_at_once_never_spins() {
        let (mut container, now) = (CrashLoop::default(), Time::from_ns(1));
        container.start(now);
        let zero = Duration::ZERO;
        let waits = [(); 3].map(|()| container.end(now, zero, zero, zero));
        assert_eq!(waits, [zero, S(1), S(1)]);
    }
}
