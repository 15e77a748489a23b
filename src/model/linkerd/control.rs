//! The proxy's streams to the control plane: when they end, and what is done with what they brought.
//!
//! ```text
//! opened ── 3 s without a first update: an error ── 5 min without another: ends ── 1 h old: ends
//! ```
//!
//! Whatever ends a stream, what it brought stays in use: balancers keep their endpoints, servers their policy. It is
//! opened again after a back-off. The first endpoints that the new stream brings replace those of the old
//! one, so that those that went meanwhile go. A controller that cannot get rid of its updates closes the
//! stream at the hundredth that waits.
//!
//! Source: linkerd2-proxy linkerd/tonic-stream/src/lib.rs, linkerd/proxy/resolve/src/recover.rs; linkerd2
//! values.yaml:270-281, controller/api/destination/server.go:27-29.
//! Left out: DNS of the controllers' headless services; to which replica a stream goes.

use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::LinkerdControl;

/// An open stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    opened: Time,
    /// The last update.
    updated: Option<Time>,
}

/// Why a stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// No first update in time (`DeadlineExceeded`).
    NoFirstUpdate,
    /// No other one for too long.
    Idle,
    /// It is too old.
    Old,
}

impl Stream {
    /// It was asked for.
    pub const fn new(now: Time) -> Self {
        Self { opened: now, updated: None }
    }

    /// An update came; whether it is the first of this stream, and so replaces what was known before.
    #[must_use]
    pub fn update(&mut self, now: Time) -> bool {
        self.updated.replace(now).is_none()
    }

    /// When it ends if nothing comes, and why; none if never. Limits of zero are none.
    #[must_use]
    pub fn ends(&self, rules: &LinkerdControl) -> Option<(Time, End)> {
        let after = |from: Time, limit: Duration, end: End| {
            (!limit.is_zero()).then(|| (from.saturating_add(limit), end))
        };
        let silent = match self.updated {
            Some(updated) => after(updated, rules.stream_idle, End::Idle),
            None if rules.stream_initial.is_zero() => {
                after(self.opened, rules.stream_idle, End::NoFirstUpdate)
            }
            None => after(self.opened, rules.stream_initial, End::NoFirstUpdate),
        };
        let old = after(self.opened, rules.stream_lifetime, End::Old);
        // Both at once: the age is looked at first.
        old.into_iter().chain(silent).min_by_key(|(at, _)| *at)
    }
}

/// Updates that wait in the controller for one slow stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    waiting: u32,
}

impl Backlog {
    /// One more: whether there is room; if not, the controller closes the stream.
    #[must_use]
    pub fn push(&mut self, rules: &LinkerdControl) -> bool {
        let has_room = self.waiting < rules.stream_queue;
        self.waiting += u32::from(has_room);
        has_room
    }

    /// One was sent.
    pub fn sent(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    #[test]
    fn a_stream_ends_by_silence_or_age() {
        let rules = Linkerd::default().linkerd_control;
        let mut stream = Stream::new(at(10));
        assert_eq!(stream.ends(&rules), Some((at(13), End::NoFirstUpdate)));
        assert!(stream.update(at(11)), "the first replaces what was known");
        assert_eq!(stream.ends(&rules), Some((at(311), End::Idle)));
        assert!(!stream.update(at(300)));
        assert_eq!(stream.ends(&rules), Some((at(600), End::Idle)));
        // A busy one is an hour old at last; at the same instant age counts.
        let _ = stream.update(at(3500));
        assert_eq!(stream.ends(&rules), Some((at(3610), End::Old)));
        let _ = stream.update(at(3310));
        assert_eq!(stream.ends(&rules), Some((at(3610), End::Old)));
    }

    #[test]
    fn a_proxy_without_limits_keeps_its_stream() {
        let rules = LinkerdControl {
            stream_initial: Duration::ZERO,
            stream_idle: Duration::ZERO,
            stream_lifetime: Duration::ZERO,
            ..Linkerd::default().linkerd_control
        };
        let mut stream = Stream::new(at(0));
        assert_eq!(stream.ends(&rules), None);
        let _ = stream.update(at(1));
        assert_eq!(stream.ends(&rules), None);
    }

    #[test]
    fn a_slow_stream_is_closed_at_the_hundred_and_first_update() {
        let rules = Linkerd::default().linkerd_control;
        let mut backlog = Backlog::default();
        assert_eq!((0..150).filter(|_| backlog.push(&rules)).count(), 100);
        backlog.sent();
        assert!(backlog.push(&rules) && !backlog.push(&rules));
    }
}
