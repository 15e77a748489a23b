//! Pods that events keep down: one that several have taken is free when the last of them ends.
//!
//! ```text
//! first   ├───────────────┤
//! second        ├─────────────────┤
//! pod      down ····················  up
//! ```
//!
//! Source: `plan::timeline`: what an event does is taken back when it ends.
//! Left out: nodes, links and parts of istiod, which count by themselves.

use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeMap;

/// What one event does to one pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hold {
    cause: Option<CauseId>,
    /// When it ends; none for whenever its event does.
    until: Option<Time>,
}

/// Pods with the events that hold them, in the order in which those began.
#[derive(Debug, Default)]
pub(crate) struct Held(BTreeMap<u32, Vec<Hold>>);

impl Held {
    /// An event takes a pod, until then.
    pub(super) fn take(&mut self, pod: u32, cause: Option<CauseId>, until: Option<Time>) {
        self.0.entry(pod).or_default().push(Hold { cause, until });
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes() + self.0.values().map(Vec::bytes).sum::<usize>()
    }

    /// Whether any event holds a pod.
    pub(super) fn has(&self, pod: u32) -> bool {
        self.0.contains_key(&pod)
    }

    /// A pod is gone, and with it what holds it.
    pub(super) fn forget(&mut self, pod: u32) {
        if !self.0.is_empty() {
            self.0.remove(&pod);
        }
    }

    /// The last event that has taken a pod.
    pub(super) fn cause(&self, pod: u32) -> Option<CauseId> {
        self.0.get(&pod)?.last()?.cause
    }

    /// An event ends now: the pods that it held, in order, and whether each is free.
    pub(super) fn release(&mut self, cause: Option<CauseId>, now: Time) -> Vec<(u32, bool)> {
        let ends = |hold: &Hold| hold.cause == cause && hold.until.is_none_or(|until| until == now);
        let mut released = Vec::new();
        self.0.retain(|pod, holds| {
            let before = holds.len();
            holds.retain(|hold| !ends(hold));
            if holds.len() < before {
                released.push((*pod, holds.is_empty()));
            }
            !holds.is_empty()
        });
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(s: u64) -> Time {
        Time::from_ns(s * 1_000_000_000)
    }

    #[test]
    fn a_pod_is_free_when_the_last_event_that_took_it_ends() {
        let (a, b) = (Some(CauseId(1)), Some(CauseId(2)));
        let mut held = Held::default();
        held.take(7, a, Some(at(30)));
        held.take(7, b, Some(at(20)));
        held.take(8, b, Some(at(20)));
        assert_eq!(held.cause(7), b);
        assert_eq!(held.release(b, at(20)), [(7, false), (8, true)]);
        assert!(held.has(7) && !held.has(8));
        assert_eq!(held.cause(7), a);
        assert_eq!(held.release(a, at(30)), [(7, true)]);
        assert!(!held.has(7));
        held.take(7, a, None);
        held.forget(7);
        assert!(!held.has(7) && held.release(a, at(40)).is_empty());
    }

    #[test]
    fn of_an_event_that_comes_again_before_it_ends_each_time_counts() {
        let mut held = Held::default();
        held.take(1, None, Some(at(10)));
        held.take(1, None, Some(at(15)));
        held.take(2, None, Some(at(15)));
        assert_eq!(held.release(None, at(10)), [(1, false)]);
        assert_eq!(held.release(None, at(15)), [(1, true), (2, true)]);
    }
}
