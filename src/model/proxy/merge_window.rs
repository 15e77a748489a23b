//! The window in which changes of health are merged: what a proxy's workers are told, and when.
//!
//! Outlier detection ejects at once, but the balancers of the workers hear of it by an update of the
//! cluster. Changes of health and weight alone are merged: one that comes in the window after the last
//! update waits for a timer, which the first that waits starts, with the whole window. An update with
//! endpoints more or less is delivered at once, and takes along what waits.
//!
//! ```text
//! update    change                       told with all that came meanwhile
//!   |---------|------------ window ---------->|
//!   0        0.4 s                           1.4 s
//! ```
//!
//! Source: Envoy's `ClusterManagerImpl::scheduleUpdate`, `common_lb_config.update_merge_window` (1 s);
//! measured on Envoy 1.40 (family e05: an endpoint ejected at 2.12 s, after an update at 1.98 s was
//! used until 3.12 s).
//! Left out: windows by priority: there is one a cluster.

use crate::kernel::time::{Duration, Time};

/// When the last update of a cluster was told, and whether one waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MergeWindow {
    told_at: Option<Time>,
    due: Option<Time>,
}

/// What becomes of a change of health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// It is told now.
    Now,
    /// It is the first to wait, until this.
    At(Time),
    /// It waits for what others started.
    Waits,
}

impl MergeWindow {
    /// Health or weights changed, and nothing else.
    #[must_use]
    pub fn change(&mut self, window: Duration, now: Time) -> Delivery {
        // Envoy compares whole milliseconds.
        let whole_ms = |time: Duration| time.ns() / 1_000_000;
        let is_past = |told: Time| whole_ms(window) < whole_ms(now.since(told));
        if window.is_zero() || self.told_at.is_none_or(is_past) {
            self.tell(now);
            return Delivery::Now;
        }
        if self.due.is_some() {
            return Delivery::Waits;
        }
        let due = now + window;
        self.due = Some(due);
        Delivery::At(due)
    }

    /// Everything is told now: endpoints came or went.
    pub fn tell(&mut self, now: Time) {
        *self = Self { told_at: Some(now), due: None };
    }

    /// Until when changes wait; none if none does.
    pub const fn due(&self) -> Option<Time> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::policy::MERGE_WINDOW as ENVOYS;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn the_first_change_is_told_at_once_and_the_next_waits_a_whole_window() {
        let mut window = MergeWindow::default();
        assert_eq!(window.change(ENVOYS, at(100)), Delivery::Now);
        assert_eq!(window.change(ENVOYS, at(500)), Delivery::At(at(1500)));
        assert_eq!(window.change(ENVOYS, at(900)), Delivery::Waits);
        window.tell(at(1500));
        assert_eq!(window.due(), None);
        assert_eq!(window.change(ENVOYS, at(2500)), Delivery::At(at(3500)));
    }

    /// Family e05, `enforcing_50pct`: out at 0.29 and 2.12 s, back at 1.98 s, used until 3.12 s.
    #[test]
    fn a_change_after_more_than_the_window_does_not_wait() {
        let mut window = MergeWindow::default();
        assert_eq!(window.change(ENVOYS, at(291)), Delivery::Now);
        assert_eq!(window.change(ENVOYS, at(1978)), Delivery::Now);
        assert_eq!(window.change(ENVOYS, at(2120)), Delivery::At(at(3120)));
    }

    #[test]
    fn members_that_come_or_go_take_along_what_waits_and_start_a_window() {
        let mut window = MergeWindow::default();
        window.tell(at(0));
        assert_eq!(window.change(ENVOYS, at(10)), Delivery::At(at(1010)));
        window.tell(at(500));
        assert_eq!(window.due(), None);
        assert_eq!(window.change(ENVOYS, at(1400)), Delivery::At(at(2400)));
    }

    #[test]
    fn without_a_window_nothing_waits() {
        let mut window = MergeWindow::default();
        assert!((0..3).all(|_| window.change(Duration::ZERO, at(7)) == Delivery::Now));
    }
}
