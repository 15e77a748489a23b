//! Admission control: a proxy refuses a share of the requests while too many of them fail.
//!
//! Each worker thread counts the requests of the last seconds and those of them that ended well. With n
//! requests, s successes and the threshold t it refuses ((n - s / t) / (n + 1)) ^ (1 / aggression) of the
//! next ones, and at most so many. What is refused is not counted, so that a service that is well again
//! gets everything again.
//!
//! ```text
//! n = 100, t = 95 %:  s = 95 → 0    s = 76 → 20 %    s = 38 → 59 %    s = 0 → 99 %, cut to 80 %
//! ```
//!
//! Source: Envoy's `admission_control.cc`, `thread_local_controller.cc` (samples of a second each; the
//! average rate is over the whole window however short it has been) and
//! `success_criteria_evaluator.cc`; the idea is that of client-side throttling in Google's SRE book.
//! Left out: answers of filters before this one, which Envoy counts, too.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::filter::AdmissionControl;
use std::collections::VecDeque;

/// Requests that began to be counted within one second of each other.
const GRANULARITY: Duration = Duration::from_s(1);

/// The requests of a short time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sample {
    began: Time,
    requests: u64,
    successes: u64,
}

/// What one worker thread has seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Controller {
    samples: VecDeque<Sample>,
    requests: u64,
    successes: u64,
}

impl Controller {
    /// Whether the next request is refused; `draw` are 64 random bits.
    #[must_use]
    pub fn refuses(&mut self, policy: &AdmissionControl, now: Time, draw: u64) -> bool {
        if self.rps(policy, now) < policy.rps_threshold {
            return false;
        }
        uniform(draw) < self.rejection(policy, now)
    }

    /// The share of requests that are refused now.
    #[must_use]
    pub fn rejection(&mut self, policy: &AdmissionControl, now: Time) -> f64 {
        self.forget(policy, now);
        let (all, good) = (self.requests as f64, self.successes as f64);
        let share = ((all - good / policy.success_threshold) / (all + 1.0)).max(0.0);
        let exponent = 1.0 / policy.aggression.max(1.0);
        libm::pow(share, exponent).min(policy.max_rejection)
    }

    /// A request that was let pass has ended.
    pub fn record(&mut self, policy: &AdmissionControl, now: Time, is_success: bool) {
        self.forget(policy, now);
        if self.samples.back().is_none_or(|newest| GRANULARITY <= now.since(newest.began)) {
            self.samples.push_back(Sample { began: now, requests: 0, successes: 0 });
        }
        let newest = self.samples.back_mut().expect("there is one now");
        let good = u64::from(is_success);
        newest.requests += 1;
        newest.successes += good;
        self.requests += 1;
        self.successes += good;
    }

    /// Requests a second over the window, or as far as the last look at it reaches back.
    fn rps(&self, policy: &AdmissionControl, now: Time) -> u64 {
        let age = self.samples.front().map_or(Duration::ZERO, |oldest| now.since(oldest.began));
        self.requests / (policy.window.max(age).ns() / Duration::from_s(1).ns()).max(1)
    }

    /// Drops what is older than the window.
    fn forget(&mut self, policy: &AdmissionControl, now: Time) {
        while let Some(oldest) = self.samples.front()
            && policy.window <= now.since(oldest.began)
        {
            self.requests -= oldest.requests;
            self.successes -= oldest.successes;
            self.samples.pop_front();
        }
        debug_assert!(self.successes <= self.requests, "a success is a request");
    }
}

/// Whether an answer is a success: by its gRPC status, if it has one, else by its status.
#[must_use]
pub fn is_success(policy: &AdmissionControl, status: u16, grpc: Option<u8>) -> bool {
    match grpc {
        Some(grpc) => policy.grpc_success.contains(&grpc),
        None => policy.http_success.iter().any(|(from, to)| (*from..*to).contains(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AdmissionControl {
        AdmissionControl::default()
    }

    fn at_ms(ms: u64) -> Time {
        Time::from_ns(ms * 1_000_000)
    }

    /// A controller that has seen so many requests and successes just now.
    fn seen(requests: u32, successes: u32) -> Controller {
        let mut controller = Controller::default();
        (0..requests).for_each(|n| controller.record(&policy(), at_ms(0), n < successes));
        controller
    }

    #[test]
    fn the_share_is_that_of_the_formula() {
        let share = |requests, successes| seen(requests, successes).rejection(&policy(), at_ms(1));
        let close = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} {other}");
        close(share(0, 0), 0.0);
        close(share(100, 100), 0.0);
        close(share(100, 95), 0.0);
        close(share(100, 76), 20.0 / 101.0);
        close(share(100, 38), 60.0 / 101.0);
        // At most 80 %.
        close(share(100, 0), 0.8);
        // One failure alone: 1 / 2.
        close(share(1, 0), 0.5);
        let aggressive = AdmissionControl { aggression: 2.0, ..policy() };
        close(seen(100, 76).rejection(&aggressive, at_ms(1)), (20.0_f64 / 101.0).sqrt());
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_a_second_at_a_time() {
        let mut controller = Controller::default();
        // Failures of the first second, and one success later.
        for ms in [0, 400, 999] {
            controller.record(&policy(), at_ms(ms), false);
        }
        controller.record(&policy(), at_ms(20_000), true);
        assert!(0.5 < controller.rejection(&policy(), at_ms(29_999)));
        assert_eq!(controller.rejection(&policy(), at_ms(30_000)).to_bits(), 0.0_f64.to_bits());
        assert_eq!((controller.requests, controller.successes), (1, 1));
    }

    #[test]
    fn too_few_requests_a_second_are_never_refused() {
        let limited = AdmissionControl { rps_threshold: 4, ..policy() };
        // The average is over the whole window of 30 s, however young it is.
        assert!(!seen(119, 0).refuses(&limited, at_ms(500), 0));
        assert!(seen(120, 0).refuses(&limited, at_ms(500), 0));
        assert!(!seen(120, 0).refuses(&limited, at_ms(500), u64::MAX / 100 * 81));
    }

    #[test]
    fn an_answer_is_judged_by_its_grpc_status_if_it_has_one() {
        let policy = policy();
        assert!(is_success(&policy, 200, None) && is_success(&policy, 404, None));
        assert!(!is_success(&policy, 500, None));
        assert!(is_success(&policy, 200, Some(5)));
        // Unavailable, deadline exceeded, internal.
        assert!([14, 4, 13].iter().all(|status| !is_success(&policy, 200, Some(*status))));
    }
}
