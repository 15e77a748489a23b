//! What an endpoint costs: the peak of its answer times, forgotten exponentially, times what is under way.
//!
//! ```text
//! a longer time:  estimate = time
//! a shorter one:  estimate = estimate · e^(−Δt/decay) + time · (1 − e^(−Δt/decay))
//! a look:         as a time of zero        cost = estimate · (under way + 1)
//! ```
//!
//! A look changes the estimate, as in tower: a time is compared with the estimate as of the last look.
//! Times end with the first frame of data of the answer. With penalties a failed answer counts as one that
//! took 5 s or as long as its `Retry-After`, and never less than is estimated.
//!
//! Source: tower 0.5.3 `load/peak_ewma.rs`; linkerd2-proxy linkerd/load-biaser/src/lib.rs at 29637b64.
//! Left out: penalties that are made larger to last until their `Retry-After` (later commits).

use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::LinkerdBalancer;

/// However little is given, no estimate begins with less.
const DEFAULT_MIN: Duration = Duration::from_ms(1);

/// What one proxy thinks of one endpoint.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeakEwma {
    /// Never NaN, never negative.
    estimate_ns: f64,
    updated: Time,
}

impl PeakEwma {
    /// Of an endpoint that has not answered yet.
    pub fn new(now: Time, default_rtt: Duration) -> Self {
        Self { estimate_ns: default_rtt.max(DEFAULT_MIN).ns() as f64, updated: now }
    }

    /// An answer took so long.
    pub fn observe(&mut self, now: Time, rtt: Duration, decay: Duration) {
        self.update(now, rtt.ns() as f64, decay);
    }

    /// A failed answer counts as a slow one; `retry_after` is what it asks for.
    pub fn penalize(&mut self, now: Time, rules: &LinkerdBalancer, retry_after: Option<Duration>) {
        let asked = retry_after.unwrap_or(Duration::ZERO).min(rules.max_retry_after);
        let penalty = rules.penalty.max(asked).ns() as f64;
        self.update(now, penalty.max(self.estimate_ns), rules.decay);
    }

    /// What one more request would cost with `pending` under way.
    #[must_use]
    pub fn cost(&mut self, now: Time, decay: Duration, pending: u32) -> f64 {
        self.update(now, 0.0, decay);
        self.estimate_ns * (f64::from(pending) + 1.0)
    }

    fn update(&mut self, now: Time, rtt_ns: f64, decay: Duration) {
        self.estimate_ns = if self.estimate_ns < rtt_ns {
            rtt_ns
        } else {
            let elapsed = now.saturating_since(self.updated).ns() as f64;
            let kept = libm::exp(-elapsed / decay.ns().max(1) as f64);
            self.estimate_ns * kept + rtt_ns * (1.0 - kept)
        };
        self.updated = now;
        debug_assert!(0.0 <= self.estimate_ns, "an estimate of {}", self.estimate_ns);
    }
}

/// Whether an answer is penalized, and whether its `Retry-After` counts.
pub fn is_penalized(status: u16, grpc: Option<u8>) -> (bool, bool) {
    let grpc = grpc.is_some_and(|code| matches!(code, 2 | 4 | 8 | 13 | 14 | 15));
    (status == 429 || (500..=599).contains(&status) || grpc, matches!(status, 429 | 503))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    const DECAY: Duration = Duration::from_s(10);

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    fn ms(ms: f64) -> Duration {
        Duration::from_ns_f64(ms * 1e6)
    }

    fn is(shown: f64, formula: f64) {
        assert!((shown - formula).abs() <= formula * 1e-12, "{shown}, not {formula}");
    }

    #[test]
    fn the_estimate_follows_its_formula() {
        let mut ewma = PeakEwma::new(at(0.0), ms(30.0));
        is(ewma.cost(at(0.0), DECAY, 0), 30e6);
        is(ewma.cost(at(0.0), DECAY, 3), 30e6 * 4.0);
        // A peak is taken at once.
        ewma.observe(at(0.0), ms(200.0), DECAY);
        is(ewma.cost(at(0.0), DECAY, 0), 200e6);
        // 5 s later 20 ms: half a decay of the old, the rest of the new.
        ewma.observe(at(5.0), ms(20.0), DECAY);
        let kept = libm::exp(-0.5);
        let estimate = 200e6 * kept + 20e6 * (1.0 - kept);
        is(ewma.cost(at(5.0), DECAY, 0), estimate);
        // Without answers it decays to nothing.
        is(ewma.cost(at(25.0), DECAY, 1), 2.0 * estimate * libm::exp(-2.0));
        assert!(ewma.cost(at(1e7), DECAY, 9) < 1e-9);
    }

    /// tower's own tests `default_decay` and `compound_decay`, with a decay of 1 s.
    #[test]
    fn it_decays_as_in_towers_tests() {
        let second = Duration::from_s(1);
        let mut ewma = PeakEwma::new(at(0.0), ms(10.0));
        is(ewma.cost(at(0.0), second, 0), 10e6);
        let (first, then) = (ewma.cost(at(0.1), second, 0), ewma.cost(at(0.2), second, 0));
        assert!(9e6 < first && first < 10e6 && 8e6 < then && then < 9e6);
        let mut ewma = PeakEwma::new(at(0.0), ms(20.0));
        assert!(20e6 < ewma.cost(at(0.1), second, 1) && 40e6 < ewma.cost(at(0.2), second, 2));
        ewma.observe(at(0.3), ms(200.0), second);
        is(ewma.cost(at(0.3), second, 1), 400e6);
        ewma.observe(at(0.4), ms(200.0), second);
        is(ewma.cost(at(0.4), second, 0), 200e6);
        assert!(ewma.cost(at(1.4), second, 0) < 100e6 && ewma.cost(at(11.4), second, 0) < 1e5);
    }

    #[test]
    fn nothing_makes_it_no_number() {
        let mut ewma = PeakEwma::new(at(0.0), Duration::ZERO);
        is(ewma.cost(at(0.0), Duration::ZERO, 0), 1e6);
        ewma.observe(at(0.0), Duration::ZERO, Duration::ZERO);
        ewma.observe(at(1.0), Duration::ZERO, Duration::ZERO);
        for (s, pending) in [(1.0, 0), (1.0, u32::MAX), (1e9, u32::MAX)] {
            assert!(ewma.cost(at(s), Duration::ZERO, pending).is_finite());
        }
    }

    #[test]
    fn a_failed_answer_counts_as_slow_and_lowers_no_estimate() {
        let rules = Linkerd::default().linkerd_balancer;
        let mut ewma = PeakEwma::new(at(0.0), rules.default_rtt);
        ewma.penalize(at(1.0), &rules, None);
        is(ewma.cost(at(1.0), rules.decay, 0), 5e9);
        ewma.penalize(at(1.0), &rules, Some(Duration::from_s(60)));
        is(ewma.cost(at(1.0), rules.decay, 0), 60e9);
        ewma.penalize(at(4.0), &rules, Some(Duration::from_s(4000)));
        is(ewma.cost(at(4.0), rules.decay, 0), 300e9);
        ewma.penalize(at(9.0), &rules, None);
        is(ewma.cost(at(9.0), rules.decay, 0), 300e9);
        let shown = [200, 429, 500, 503].map(|status| is_penalized(status, None));
        assert_eq!(shown, [(false, false), (true, true), (true, false), (true, true)]);
        assert!(is_penalized(200, Some(8)).0 && !is_penalized(200, Some(5)).0);
    }
}
