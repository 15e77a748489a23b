//! The retry budget of a `ServiceProfile`: retries are a share of the requests of the last seconds, and some
//! besides.
//!
//! ```text
//! each request that is not tried again: + 1          a retry takes W = ⌊1 / ratio⌋
//! may retry if  Σ of ten slots of ttl/10  +  the running one  +  min_per_s · ttl · W  >=  W
//! ```
//!
//! A slot is closed by the first call after its end; the next begins with that call, not on a grid. What the
//! reserve gives is the same in any slot and never runs out by itself: retries are booked as negative
//! amounts, and forgotten after the ttl.
//!
//! Source: tower 0.5.3 `retry/budget/tps_budget.rs`; linkerd2-proxy linkerd/app/outbound/src/http/retry.rs.
//! Left out: nothing of it.

use crate::kernel::time::{Duration, NS_PER_S, Time};
use crate::plan::linkerd::policy::RetryBudget;

const SLOTS: usize = 10;

/// The budget of one service in one proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    slots: [i64; SLOTS],
    /// Of the running slot.
    current: i64,
    index: usize,
    begun: Time,
    width: Duration,
    reserve: i64,
    deposit: i64,
    withdrawal: i64,
}

/// What becomes of an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Decision {
    /// It is passed on.
    Pass,
    /// It would be tried again, but the budget is spent: it is passed on.
    OverBudget,
    /// It is tried again at once.
    Retry,
}

impl Budget {
    /// Full.
    pub fn new(policy: &RetryBudget, now: Time) -> Self {
        debug_assert!(policy.problem().is_none(), "{:?}", policy.problem());
        let (deposit, withdrawal) = amounts(policy.ratio);
        let seconds = i64::try_from(policy.ttl.ns() / NS_PER_S).unwrap_or(60);
        let reserve =
            i64::from(policy.min_per_s).saturating_mul(seconds).saturating_mul(withdrawal);
        let width = Duration::from_ns((policy.ttl.ns() / SLOTS as u64).max(1));
        Self {
            slots: [0; SLOTS],
            current: 0,
            index: 0,
            begun: now,
            width,
            reserve,
            deposit,
            withdrawal,
        }
    }

    /// An attempt on a retryable route has ended: whether it is tried again. Without an answer it never is;
    /// `fits` is whether the request's body was read to its end within 64 KiB.
    pub fn decide(
        &mut self,
        now: Time,
        has_answer: bool,
        is_failure: bool,
        fits: bool,
    ) -> Decision {
        self.expire(now);
        if !(has_answer && is_failure && fits) {
            self.current = self.current.saturating_add(self.deposit);
            return Decision::Pass;
        }
        if self.balance() < self.withdrawal {
            return Decision::OverBudget;
        }
        self.current = self.current.saturating_sub(self.withdrawal);
        Decision::Retry
    }

    fn balance(&self) -> i64 {
        let slots = self.slots.iter().fold(0_i64, |sum, slot| sum.saturating_add(*slot));
        self.current.saturating_add(slots).saturating_add(self.reserve)
    }

    fn expire(&mut self, now: Time) {
        let elapsed = now.saturating_since(self.begun);
        if elapsed < self.width {
            return;
        }
        self.slots[self.index] = std::mem::take(&mut self.current);
        self.index = (self.index + 1) % SLOTS;
        // Full slots that passed besides; beyond a turn all are empty.
        let more = (elapsed.ns() - 1) / self.width.ns();
        let turn = SLOTS as u64;
        for _ in 0..if turn < more { turn + more % turn } else { more } {
            self.slots[self.index] = 0;
            self.index = (self.index + 1) % SLOTS;
        }
        self.begun = now;
    }
}

/// Deposit and withdrawal of a ratio, which tower reckons in 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers up to 2^31")]
fn amounts(ratio: f64) -> (i64, i64) {
    let ratio = ratio as f32;
    if ratio <= 0.0 {
        (0, 1)
    } else if ratio <= 1.0 {
        (1, (1.0 / ratio) as i64)
    } else {
        (1000, (1000.0 / ratio) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    fn budget(ttl_s: u64, min_per_s: u32, ratio: f64) -> Budget {
        let policy = RetryBudget { ratio, min_per_s, ttl: Duration::from_s(ttl_s) };
        Budget::new(&policy, at(0.0))
    }

    fn deposit(budget: &mut Budget, s: f64) {
        assert_eq!(budget.decide(at(s), true, false, true), Decision::Pass);
    }

    fn withdraw(budget: &mut Budget, s: f64) -> bool {
        budget.decide(at(s), true, true, true) == Decision::Retry
    }

    fn retries(budget: &mut Budget, s: f64) -> usize {
        (0..10_000).take_while(|_| withdraw(budget, s)).count()
    }

    #[test]
    fn the_default_gives_a_hundred_and_one_more_for_each_five_requests() {
        let policy = RetryBudget::new(&Linkerd::default().linkerd_budget);
        let mut budget = Budget::new(&policy, at(0.0));
        assert_eq!((budget.deposit, budget.withdrawal, budget.reserve), (1, 5, 500));
        (0..23).for_each(|_| deposit(&mut budget, 0.0));
        assert_eq!(retries(&mut budget, 0.0), 104);
        assert_eq!(budget.decide(at(0.0), true, true, true), Decision::OverBudget);
        // They are forgotten after the ttl, and not before.
        assert_eq!(retries(&mut budget, 9.9), 0);
        assert_eq!(retries(&mut budget, 40.0), 100);
    }

    /// tower's own tests `tps_empty`, `tps_leaky`, `tps_slots`, `tps_reserve`.
    #[test]
    fn it_does_as_in_towers_tests() {
        assert!(!withdraw(&mut budget(1, 0, 1.0), 0.0));
        let mut leaky = budget(1, 0, 1.0);
        deposit(&mut leaky, 0.0);
        assert!(!withdraw(&mut leaky, 3.0));
        let mut slots = budget(1, 0, 0.5);
        deposit(&mut slots, 0.0);
        deposit(&mut slots, 0.0);
        assert!(withdraw(&mut slots, 0.901));
        deposit(&mut slots, 2.902);
        deposit(&mut slots, 3.203);
        deposit(&mut slots, 4.004);
        assert!(withdraw(&mut slots, 4.004));
        assert_eq!(retries(&mut budget(1, 5, 1.0), 0.0), 5);
    }

    #[test]
    fn a_long_pause_is_as_many_short_ones() {
        for pause in [0.1, 0.95, 1.0, 1.05, 1.9, 2.0, 2.1, 3.37, 57.3] {
            let mut leapt = budget(1, 2, 1.0);
            deposit(&mut leapt, 0.05);
            let mut slow = leapt;
            // tower's loop, slot by slot.
            let elapsed = Duration::from_s_f64(pause);
            slow.slots[0] = std::mem::take(&mut slow.current);
            let (mut rest, mut index) = (elapsed, 1);
            while slow.width < rest {
                slow.slots[index] = 0;
                rest = rest - slow.width;
                index = (index + 1) % SLOTS;
            }
            leapt.expire(at(pause));
            assert_eq!((leapt.slots, leapt.index), (slow.slots, index), "after {pause} s");
        }
    }

    #[test]
    fn ratios_are_floors_of_their_inverse() {
        for (ratio, amounts) in [
            (0.0, (0, 1)),
            (0.1, (1, 10)),
            (0.2, (1, 5)),
            (0.3, (1, 3)),
            (1.0, (1, 1)),
            (2.0, (1000, 500)),
        ] {
            assert_eq!(super::amounts(ratio), amounts, "{ratio}");
        }
    }

    #[test]
    fn what_has_no_answer_or_too_long_a_body_is_not_tried_again() {
        let mut budget = budget(10, 10, 0.2);
        assert_eq!(budget.decide(at(0.0), false, true, true), Decision::Pass);
        assert_eq!(budget.decide(at(0.0), true, true, false), Decision::Pass);
        assert_eq!(budget.current, 2);
    }
}
