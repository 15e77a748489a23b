//! What a proxy keeps of a destination or a port: as long as it is used, and a while longer.
//!
//! An open connection holds it. When the last holder leaves, a time begins: 5 s outbound, 90 s inbound. Whoever comes
//! meanwhile uses it; if nobody does, it is dropped, and with it the balancer, its connections and what it
//! knew of endpoints. So a client that calls every 6 s over a new connection asks the control plane each time.
//! The ports that a pod declares are kept for ever.
//!
//! Source: linkerd2-proxy linkerd/idle-cache/src/lib.rs (`evict`); linkerd/app/src/env.rs:326,333.
//! Left out: nothing of it: each leaving starts the time anew, so the drop is so long after the last one.

use crate::kernel::time::{Duration, Time};

/// What is kept of one destination in one proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    holders: u32,
    /// When it is dropped, if nobody holds it.
    until: Time,
    is_permanent: bool,
}

impl Entry {
    /// Made for its first holder.
    pub const fn new() -> Self {
        Self { holders: 1, until: Time::MAX, is_permanent: false }
    }

    /// Of a port that its pod declares.
    pub const fn permanent() -> Self {
        Self { holders: 0, until: Time::MAX, is_permanent: true }
    }

    /// Whether it was dropped: then it is to be made anew.
    pub fn is_dropped(&self, now: Time) -> bool {
        !self.is_permanent && self.holders == 0 && self.until <= now
    }

    /// One more holds it; it was not dropped.
    pub fn hold(&mut self, now: Time) {
        debug_assert!(!self.is_dropped(now), "held after it was dropped");
        self.holders += 1;
    }

    /// One leaves: when it is dropped if nobody comes, where that was the last.
    #[must_use]
    pub fn leave(&mut self, now: Time, idle: Duration) -> Option<Time> {
        debug_assert!(self.holders != 0, "more left than came");
        self.holders -= 1;
        self.until = now.saturating_add(idle);
        (self.holders == 0 && !self.is_permanent).then_some(self.until)
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_s(5);

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    #[test]
    fn it_is_dropped_five_seconds_after_the_last_left() {
        let mut entry = Entry::new();
        entry.hold(at(1.0));
        assert_eq!(entry.leave(at(2.0), IDLE), None);
        assert!(!entry.is_dropped(at(100.0)), "a connection holds it");
        assert_eq!(entry.leave(at(100.0), IDLE), Some(at(105.0)));
        assert!(!entry.is_dropped(at(104.9)) && entry.is_dropped(at(105.0)));
    }

    #[test]
    fn whoever_comes_in_time_finds_it_and_the_time_starts_anew() {
        let mut entry = Entry::new();
        let _ = entry.leave(at(0.0), IDLE);
        entry.hold(at(4.9));
        assert_eq!(entry.leave(at(4.95), IDLE), Some(at(9.95)));
        assert!(!entry.is_dropped(at(5.0)) && entry.is_dropped(at(9.95)));
    }

    #[test]
    fn declared_ports_are_kept() {
        let mut entry = Entry::permanent();
        entry.hold(at(0.0));
        assert_eq!(entry.leave(at(1.0), IDLE), None);
        assert!(!entry.is_dropped(Time::MAX));
    }
}
