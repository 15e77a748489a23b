//! When istiod pushes: after a quiet time, or when changes have gone on for too long.
//!
//! ```text
//! change   ×    ×  ×                        after = quiet time, from the last change
//!          |····|··|·····|push|             max   = from the first change of the batch
//! timer         ↑  (not yet quiet: armed for the rest)
//! ```
//!
//! Only one push is prepared at a time; what comes meanwhile is one batch, looked at as soon as
//! the push is out.
//!
//! Source: istio pilot/pkg/xds/discovery.go:355-437.
//! Left out: changes of endpoints that bypass the debounce (`PILOT_ENABLE_EDS_DEBOUNCE` = false).

use crate::kernel::time::{Duration, Time};

/// The debounce of one istiod replica.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    /// So much quiet brings a push.
    after: Duration,
    /// A batch this old is pushed although it is not quiet.
    max: Duration,
    /// First and last change of the batch that waits.
    batch: Option<(Time, Time)>,
    /// When the one timer that counts goes off; an earlier one is stale.
    armed: Option<Time>,
    /// A push is being prepared.
    is_pushing: bool,
}

/// What to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum DebounceStep {
    /// Arm the timer for this time.
    Rearm(Time),
    /// Push the batch; tell [`Debounce::pushed`] when that is done.
    Push,
    /// Nothing: a push is running, or the timer is stale.
    Wait,
}

impl Debounce {
    /// Quiet.
    pub fn new(after: Duration, max: Duration) -> Self {
        Self { after, max, batch: None, armed: None, is_pushing: false }
    }

    /// Something changed. If this is the first of a batch, arm the timer for the time returned.
    #[must_use]
    pub fn change(&mut self, now: Time) -> Option<Time> {
        if let Some((_, last)) = &mut self.batch {
            *last = now;
            return None;
        }
        self.batch = Some((now, now));
        self.armed = Some(now + self.after);
        self.armed
    }

    /// The timer goes off.
    pub fn timer(&mut self, now: Time) -> DebounceStep {
        if self.armed != Some(now) {
            return DebounceStep::Wait;
        }
        self.armed = None;
        if self.is_pushing { DebounceStep::Wait } else { self.consider(now) }
    }

    /// The push is prepared and every proxy enqueued. What to do about the changes that came
    /// meanwhile, if any did.
    #[must_use]
    pub fn pushed(&mut self, now: Time) -> Option<DebounceStep> {
        debug_assert!(self.is_pushing, "a push ends that was never begun");
        self.is_pushing = false;
        self.batch.map(|_| self.consider(now))
    }

    fn consider(&mut self, now: Time) -> DebounceStep {
        let (first, last) = self.batch.expect("a timer runs only for a batch");
        let quiet = now.since(last);
        if self.max <= now.since(first) || self.after <= quiet {
            self.batch = None;
            self.armed = None;
            self.is_pushing = true;
            return DebounceStep::Push;
        }
        let at = now + (self.after - quiet);
        self.armed = Some(at);
        DebounceStep::Rearm(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    fn debounce() -> Debounce {
        Debounce::new(Duration::from_ms(100), Duration::from_s(10))
    }

    #[test]
    fn a_lone_change_is_pushed_after_the_quiet_time() {
        let mut debounce = debounce();
        assert_eq!(debounce.change(ms(5)), Some(ms(105)));
        assert_eq!(debounce.timer(ms(105)), DebounceStep::Push);
        assert_eq!(debounce.pushed(ms(125)), None);
        assert_eq!(debounce.change(ms(200)), Some(ms(300)), "as if new");
    }

    #[test]
    fn more_changes_put_the_push_off_by_the_rest_of_the_quiet_time() {
        let mut debounce = debounce();
        assert_eq!(debounce.change(ms(0)), Some(ms(100)));
        assert_eq!(debounce.change(ms(60)), None);
        assert_eq!(debounce.timer(ms(100)), DebounceStep::Rearm(ms(160)));
        assert_eq!(debounce.timer(ms(160)), DebounceStep::Push);
    }

    #[test]
    fn under_changes_without_end_a_push_comes_when_the_batch_is_too_old() {
        let mut debounce = debounce();
        let mut timer = debounce.change(ms(0)).expect("the first of the batch");
        for at in (50..20_000).step_by(50).map(ms) {
            while timer < at {
                match debounce.timer(timer) {
                    DebounceStep::Rearm(later) => timer = later,
                    DebounceStep::Push => {
                        // The first timer at or after 10 s; those are 50 ms apart here.
                        assert!(ms(10_000) <= timer && timer <= ms(10_050), "{timer}");
                        return;
                    }
                    DebounceStep::Wait => panic!("no push is running"),
                }
            }
            assert_eq!(debounce.change(at), None);
        }
        panic!("never pushed");
    }

    #[test]
    fn changes_during_a_push_are_pushed_at_its_end_if_it_is_quiet_by_then() {
        let mut debounce = debounce();
        let _ = debounce.change(ms(0));
        assert_eq!(debounce.timer(ms(100)), DebounceStep::Push);
        assert_eq!(debounce.change(ms(150)), Some(ms(250)));
        assert_eq!(debounce.timer(ms(250)), DebounceStep::Wait, "one push at a time");
        assert_eq!(debounce.pushed(ms(400)), Some(DebounceStep::Push));
    }

    #[test]
    fn changes_late_in_a_push_wait_for_their_quiet_time() {
        let mut debounce = debounce();
        let _ = debounce.change(ms(0));
        assert_eq!(debounce.timer(ms(100)), DebounceStep::Push);
        assert_eq!(debounce.change(ms(150)), Some(ms(250)));
        assert_eq!(debounce.change(ms(180)), None);
        assert_eq!(debounce.pushed(ms(200)), Some(DebounceStep::Rearm(ms(280))));
        assert_eq!(debounce.timer(ms(250)), DebounceStep::Wait, "that timer was replaced");
        assert_eq!(debounce.timer(ms(280)), DebounceStep::Push);
    }
}
