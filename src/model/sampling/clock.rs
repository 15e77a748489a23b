//! Traffic time: a clock that stands still between the windows of a sampled run.
//!
//! Idle timeouts, ejections and users' thinking are spans of traffic. If they ran on through a gap
//! in which no request is simulated, every window would begin with connections to open that a busy
//! mesh never lost.
//!
//! ```text
//! world    ├──window──┤······gap······├──window──┤
//! traffic  ├──window──┤├──window──┤                 lag = the gaps so far
//! ```
//!
//! Source: ARCHITECTURE.md, "Long time".
//! Left out: clocks of single proxies.

use crate::kernel::time::{Duration, Time};

/// The clock of traffic; in a run that is not sampled it is the world's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    stopped_at: Option<Time>,
    lag: Duration,
}

impl Clock {
    /// Whether it stands still.
    pub const fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Traffic time at `now` of the world.
    pub fn time(&self, now: Time) -> Time {
        Time::from_ns(self.stopped_at.unwrap_or(now).ns() - self.lag.ns())
    }

    /// The instant of the world at which the clock shows `due`, if it does not stop before.
    pub fn instant(&self, due: Time) -> Time {
        due + self.lag
    }

    /// It stands still from now on.
    pub fn stop(&mut self, now: Time) {
        debug_assert!(!self.is_stopped(), "the clock stands still already");
        self.stopped_at = Some(now);
    }

    /// It goes on.
    pub fn start(&mut self, now: Time) {
        if let Some(since) = self.stopped_at.take() {
            self.lag += now.since(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_loses_its_gaps() {
        let at = Time::from_ns;
        let mut clock = Clock::default();
        assert_eq!((clock.time(at(7)), clock.instant(at(7))), (at(7), at(7)));
        clock.stop(at(10));
        assert_eq!(clock.time(at(25)), at(10));
        clock.start(at(30));
        assert_eq!((clock.time(at(31)), clock.instant(at(11))), (at(11), at(31)));
        clock.start(at(32));
        clock.stop(at(40));
        clock.start(at(45));
        assert_eq!(clock.time(at(45)), at(20));
    }
}
