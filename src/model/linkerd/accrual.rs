//! Failure accrual: an endpoint that fails is shut out, then tried with one request.
//!
//! ```text
//! open ── failures in a row, or too few good answers ──> shut ── back-off n ──> probation: one request
//!   ^                                                      ^                        │ failed: n + 1
//!   └──────────────────────────── succeeded ───────────────┴────────────────────────┘
//! ```
//!
//! Answers that come while it is shut do not count, also those of requests from before. In probation the
//! first answer decides, be it of the one request or of one from before. The back-off starts anew with each
//! opening. All endpoints shut are as no endpoints: 504 after 3 s, then 503.
//!
//! The permit of the one request is gone when it is sent, and one that is dropped before its header is not classified: if its
//! client leaves, or a limit ends it, the probation goes on until another answer comes, which may be never. A
//! connection that breaks is an answer, 502.
//!
//! Source: linkerd2-proxy `linkerd/app/outbound/src/http/breaker/{consecutive_failures,unified}.rs`;
//! linkerd/proxy/client-policy/src/grpc.rs for gRPC's failures; linkerd/stack/src/gate.rs (`permit.forget()` in `call`) and
//! linkerd/http/classify/src/channel.rs (no class of a dropped response future) for probes that are given up.
//! Left out: `Retry-After` as the least back-off.

use super::backoff::wait;
use super::success_rate::Window;
use crate::kernel::time::Time;
use crate::plan::linkerd::policy::FailureAccrual;

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Good.
    Success,
    /// 429 or `RESOURCE_EXHAUSTED`: no failure, but a bad sign.
    RateLimited,
    /// 5xx, a bad gRPC status, or no answer.
    Failure,
}

impl Class {
    /// Of an answer; of gRPC where there is a gRPC status.
    pub const fn of(status: u16, grpc: Option<u8>) -> Self {
        match grpc {
            Some(8) => Self::RateLimited,
            // Unknown, DeadlineExceeded, PermissionDenied, Internal, Unavailable, DataLoss.
            Some(2 | 4 | 7 | 13 | 14 | 15) => Self::Failure,
            None if status == 429 => Self::RateLimited,
            None if 500 <= status && status <= 599 => Self::Failure,
            Some(_) | None => Self::Success,
        }
    }
}

/// What one proxy thinks of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breaker {
    state: State,
    /// Failures in a row, while open.
    failures: u32,
    window: Option<Window>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// Until then, for the back-off of that number.
    Shut(Time, u32),
    /// Whether its one request may still be sent; the number of the back-off before it.
    Probation(bool, u32),
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Change {
    /// Nothing.
    None,
    /// Shut until then.
    Shut(Time),
    /// Open again.
    Opened,
}

impl Breaker {
    /// Of a new endpoint.
    pub fn new(policy: &FailureAccrual, now: Time) -> Self {
        let window = policy.success_rate.map(|rate| Window::new(rate.window, now));
        Self { state: State::Open, failures: 0, window }
    }

    /// Whether a request may be sent to it.
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Open | State::Probation(true, _))
    }

    /// A request is sent to it; it was ready.
    pub fn send(&mut self) {
        debug_assert!(self.is_ready(), "sent to an endpoint that is {:?}", self.state);
        if let State::Probation(may_send, _) = &mut self.state {
            *may_send = false;
        }
    }

    /// An answer came; `draw` is for the back-off.
    pub fn record(
        &mut self,
        policy: &FailureAccrual,
        now: Time,
        class: Class,
        draw: impl FnOnce() -> u64,
    ) -> Change {
        match self.state {
            State::Shut(..) => Change::None,
            State::Open => {
                let trips = self.trips(policy, now, class);
                if trips { self.shut(policy, now, 0, draw) } else { Change::None }
            }
            State::Probation(_, number) => {
                let is_bad = match class {
                    Class::Success => false,
                    Class::RateLimited => policy.is_unified,
                    Class::Failure => true,
                };
                if is_bad {
                    return self.shut(policy, now, number.saturating_add(1), draw);
                }
                *self = Self::new(policy, now);
                Change::Opened
            }
        }
    }

    fn trips(&mut self, policy: &FailureAccrual, now: Time, class: Class) -> bool {
        self.failures = if class == Class::Failure { self.failures.saturating_add(1) } else { 0 };
        if let Some(window) = &mut self.window {
            window.record(now, class == Class::Success);
        }
        let in_a_row = policy.max_failures != 0 && policy.max_failures <= self.failures;
        let too_few = |window: &Window| {
            let rate = policy.success_rate;
            rate.is_some_and(|rate| window.is_below(rate.threshold, rate.min_requests))
        };
        in_a_row || self.window.as_ref().is_some_and(too_few)
    }

    fn shut(
        &mut self,
        policy: &FailureAccrual,
        now: Time,
        number: u32,
        draw: impl FnOnce() -> u64,
    ) -> Change {
        let until = now.saturating_add(wait(&policy.backoff, number, draw()));
        self.state = State::Shut(until, number);
        Change::Shut(until)
    }

    /// The time of a [`Change::Shut`] has come: whether the endpoint is on probation now, and so ready.
    #[must_use]
    pub fn time_is_up(&mut self, until: Time) -> bool {
        match self.state {
            State::Shut(own, number) if own == until => {
                self.state = State::Probation(true, number);
                true
            }
            State::Shut(..) | State::Open | State::Probation(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;
    use crate::plan::linkerd::Linkerd;
    use crate::plan::linkerd::policy::Accrual;

    fn policy(mode: Accrual) -> FailureAccrual {
        let mut rules = Linkerd::default().linkerd_accrual;
        rules.mode = mode;
        FailureAccrual::new(&rules).expect("it is on")
    }

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    fn shut_at(breaker: &mut Breaker, policy: &FailureAccrual, classes: &[Class]) -> Option<usize> {
        let shut = |class: &Class| {
            matches!(breaker.record(policy, at(1.0), *class, || 0), Change::Shut(_))
        };
        classes.iter().position(shut)
    }

    #[test]
    fn the_seventh_failure_in_a_row_shuts_and_a_success_starts_over() {
        let policy = policy(Accrual::Consecutive);
        let mut classes = vec![Class::Failure; 6];
        classes.extend([Class::Success; 1]);
        classes.extend([Class::Failure; 8]);
        let mut breaker = Breaker::new(&policy, at(0.0));
        assert_eq!(shut_at(&mut breaker, &policy, &classes), Some(13));
        assert!(!breaker.is_ready());
        // A rate limit is no failure; it starts over as well.
        classes[6] = Class::RateLimited;
        let mut breaker = Breaker::new(&policy, at(0.0));
        assert_eq!(shut_at(&mut breaker, &policy, &classes), Some(13));
    }

    #[test]
    fn penalties_double_until_one_probe_succeeds() {
        let policy = policy(Accrual::Consecutive);
        let mut breaker = Breaker::new(&policy, at(0.0));
        assert_eq!(shut_at(&mut breaker, &policy, &[Class::Failure; 7]), Some(6));
        let mut now = 1.0;
        for penalty in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            // Late answers to earlier requests change nothing.
            assert_eq!(breaker.record(&policy, at(now), Class::Success, || 0), Change::None);
            assert_eq!(shut_at(&mut breaker, &policy, &[Class::Failure; 8]), None);
            now += penalty;
            assert!(!breaker.time_is_up(at(now - 0.5)), "stale");
            assert!(breaker.time_is_up(at(now)) && breaker.is_ready());
            breaker.send();
            assert!(!breaker.is_ready(), "one probe only");
            let next = at(now + (penalty * 2.0).min(60.0));
            let change = breaker.record(&policy, at(now), Class::Failure, || 0);
            assert_eq!(change, Change::Shut(next));
        }
        now += 60.0;
        assert!(breaker.time_is_up(at(now)));
        breaker.send();
        assert_eq!(breaker.record(&policy, at(now), Class::Success, || 0), Change::Opened);
        // It starts from the first penalty again, and from no failure.
        assert_eq!(shut_at(&mut breaker, &policy, &[Class::Failure; 6]), None);
        let change = breaker.record(&policy, at(now), Class::Failure, || 0);
        assert_eq!(change, Change::Shut(at(now + 1.0)));
    }

    #[test]
    fn the_jitter_is_drawn_in_whole_seconds_from_four_on() {
        let policy = policy(Accrual::Consecutive);
        let penalty =
            |number| match Breaker::new(&policy, at(0.0))
                .shut(&policy, at(0.0), number, || u64::MAX)
            {
                Change::Shut(until) => until.since(at(0.0)),
                Change::None | Change::Opened => Duration::MAX,
            };
        assert_eq!([0, 1, 2, 3, 6].map(penalty), [1, 2, 5, 11, 60].map(Duration::from_s));
    }

    #[test]
    fn in_probation_the_first_answer_decides_whosever_it_is() {
        let policy = policy(Accrual::Consecutive);
        let mut breaker = Breaker::new(&policy, at(0.0));
        let _ = shut_at(&mut breaker, &policy, &[Class::Failure; 7]);
        assert!(breaker.time_is_up(at(2.0)));
        // The probe is not sent yet: this is an answer to a request from before.
        assert_eq!(breaker.record(&policy, at(2.1), Class::Success, || 0), Change::Opened);
    }

    /// Nothing tells of a probe that is dropped: only an answer ends a probation.
    #[test]
    fn a_probe_that_is_never_answered_keeps_the_endpoint_out() {
        let policy = policy(Accrual::Consecutive);
        let mut breaker = Breaker::new(&policy, at(0.0));
        let _ = shut_at(&mut breaker, &policy, &[Class::Failure; 7]);
        assert!(breaker.time_is_up(at(2.0)));
        breaker.send();
        assert!(!breaker.is_ready() && !breaker.time_is_up(at(1e6)));
        assert_eq!(breaker.record(&policy, at(1e6), Class::Success, || 0), Change::Opened);
    }

    #[test]
    fn unified_counts_shares_too_and_takes_rate_limits_for_bad() {
        let unified = policy(Accrual::Unified);
        let mut breaker = Breaker::new(&unified, at(0.0));
        // Five answers at least; four of five are just enough.
        let classes = [Class::Success, Class::Success, Class::Success, Class::RateLimited];
        assert_eq!(shut_at(&mut breaker, &unified, &classes), None);
        assert_eq!(shut_at(&mut breaker, &unified, &[Class::Success]), None);
        assert_eq!(shut_at(&mut breaker, &unified, &[Class::RateLimited]), Some(0));
        assert!(breaker.time_is_up(at(2.0)));
        breaker.send();
        let change = breaker.record(&unified, at(2.0), Class::RateLimited, || 0);
        assert_eq!(change, Change::Shut(at(4.0)));
        assert!(breaker.time_is_up(at(4.0)));
        breaker.send();
        assert_eq!(breaker.record(&unified, at(4.0), Class::Success, || 0), Change::Opened);
        // The window is new: four failures are too few.
        assert_eq!(shut_at(&mut breaker, &unified, &[Class::Failure; 4]), None);
        let consecutive = policy(Accrual::Consecutive);
        let mut breaker = Breaker::new(&consecutive, at(0.0));
        let _ = shut_at(&mut breaker, &consecutive, &[Class::Failure; 7]);
        assert!(breaker.time_is_up(at(2.0)));
        let change = breaker.record(&consecutive, at(2.0), Class::RateLimited, || 0);
        assert_eq!(change, Change::Opened, "by failures in a row alone 429 is good enough");
    }

    #[test]
    fn zero_failures_turn_that_count_off() {
        let policy = FailureAccrual { max_failures: 0, ..policy(Accrual::Consecutive) };
        let mut breaker = Breaker::new(&policy, at(0.0));
        assert_eq!(shut_at(&mut breaker, &policy, &[Class::Failure; 100]), None);
    }

    #[test]
    fn classes_of_answers() {
        use Class::{Failure, RateLimited, Success};
        let http = [200, 404, 429, 499, 500, 503, 599].map(|status| Class::of(status, None));
        assert_eq!(http, [Success, Success, RateLimited, Success, Failure, Failure, Failure]);
        for code in 0..=16 {
            let bad = [2, 4, 7, 13, 14, 15].contains(&code);
            let class = if code == 8 {
                RateLimited
            } else if bad {
                Failure
            } else {
                Success
            };
            assert_eq!(Class::of(200, Some(code)), class, "gRPC {code}");
        }
    }
}
