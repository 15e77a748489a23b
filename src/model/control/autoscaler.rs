//! The horizontal pod autoscaler of istiod: how many replicas there are to be, by the CPU they use.
//!
//! ```text
//! every 15 s   wanted = ⌈replicas · use / target⌉, if use / target is off by more than a tenth
//!              up: at once, at most to max(2 · replicas, replicas + 4)
//!              down: to the most that was wanted in the last five minutes
//! ```
//!
//! Source: kubernetes pkg/controller/podautoscaler and its v2 defaults; istio charts/istio-discovery
//! (80 % of the CPU request).
//! Left out: the delay of metrics; pods whose CPU is not known yet, other than such as do not serve.

use crate::kernel::time::{Duration, Time};
use std::collections::VecDeque;

/// Between two looks (`--horizontal-pod-autoscaler-sync-period`).
pub const SYNC: Duration = Duration::from_s(15);
/// The window of `--horizontal-pod-autoscaler-downscale-stabilization`.
const STABILIZATION: Duration = Duration::from_s(300);
/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// Added within a period at the most, where twice as many is less.
const ADDED_MAX: u32 = 4;

/// The autoscaler with what it has wanted.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    least: u32,
    most: u32,
    wanted: VecDeque<(Time, u32)>,
}

impl Autoscaler {
    /// Between so many replicas.
    pub fn new(least: u32, most: u32) -> Self {
        Self { least, most: most.max(least), wanted: VecDeque::new() }
    }

    /// A look: `replicas` there are, whose mean use is `load` times the target. How many there are
    /// to be.
    #[must_use]
    pub fn look(&mut self, now: Time, replicas: u32, load: f64) -> u32 {
        let wanted = if (load - 1.0).abs() <= TOLERANCE {
            replicas
        } else {
            let exact = libm::ceil(f64::from(replicas) * load).clamp(0.0, f64::from(self.most));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            let exact = exact as u32;
            exact.min((replicas * 2).max(replicas + ADDED_MAX))
        };
        let wanted = wanted.clamp(self.least, self.most);
        self.wanted.push_back((now, wanted));
        while self.wanted.front().is_some_and(|(at, _)| STABILIZATION < now.since(*at)) {
            self.wanted.pop_front();
        }
        let stable = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        if wanted < replicas { stable.min(replicas) } else { wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    #[test]
    fn it_scales_up_at_once_and_down_after_five_minutes() {
        let mut scaler = Autoscaler::new(1, 5);
        assert_eq!(scaler.look(at(0), 1, 1.05), 1, "within the tolerance");
        assert_eq!(scaler.look(at(15), 1, 3.0), 3);
        assert_eq!(scaler.look(at(30), 3, 4.0), 5, "no more than there may be");
        for s in (45..=330).step_by(15) {
            assert_eq!(scaler.look(at(s), 5, 0.1), 5, "{s} s");
        }
        assert_eq!(scaler.look(at(345), 5, 0.1), 1, "what was wanted at 30 s is over");
    }

    #[test]
    fn it_adds_at_most_four_or_as_many_again() {
        let mut scaler = Autoscaler::new(1, 100);
        assert_eq!(scaler.look(at(0), 2, 50.0), 6);
        assert_eq!(scaler.look(at(15), 6, 50.0), 12);
    }
}
