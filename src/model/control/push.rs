//! Which proxy an istiod replica pushes to next.
//!
//! First come, first served; a proxy that waits already is not entered twice (its requests
//! merge), and one that is being pushed to is entered again when that push is done. A push holds
//! a slot until it is done, so slow proxies hold up the others.
//!
//! Source: istio pilot/pkg/xds/pushqueue.go; the semaphore `PILOT_PUSH_THROTTLE`.
//! Left out: what is pushed (snapshots know); client requests that overtake pushes on a stream.

use crate::kernel::bytes::Bytes as _;
use std::collections::VecDeque;

/// The queue of one replica, with its slots.
#[derive(Clone, Debug)]
pub struct PushQueue {
    /// Proxies in the order of their entry. An entry is live while its proxy's state has its
    /// number; others are left over from a removal and passed by.
    entries: VecDeque<(u32, u64)>,
    /// By proxy.
    states: Vec<State>,
    /// Entries so far.
    entry_count: u64,
    /// Live entries.
    waiting: usize,
    slots_free: u32,
    slots: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Waiting { entry: u64 },
    Pushing { again: bool },
}

impl PushQueue {
    /// An empty queue with so many slots, at least one.
    pub fn new(slots: u32) -> Self {
        let slots = slots.max(1);
        Self {
            entries: VecDeque::new(),
            states: Vec::new(),
            entry_count: 0,
            waiting: 0,
            slots_free: slots,
            slots,
        }
    }

    /// A proxy shall be pushed to.
    pub fn enqueue(&mut self, proxy: u32) {
        if self.states.len() <= proxy as usize {
            self.states.resize(proxy as usize + 1, State::Idle);
        }
        match &mut self.states[proxy as usize] {
            State::Idle => self.enter(proxy),
            State::Waiting { .. } => {}
            State::Pushing { again } => *again = true,
        }
    }

    /// The proxy to push to now, which takes a slot; none if nobody waits or no slot is free.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "none now may be one later: no iterator")]
    pub fn next(&mut self) -> Option<u32> {
        if self.slots_free == 0 {
            return None;
        }
        while let Some((proxy, entry)) = self.entries.pop_front() {
            if self.states[proxy as usize] == (State::Waiting { entry }) {
                self.states[proxy as usize] = State::Pushing { again: false };
                self.waiting -= 1;
                self.slots_free -= 1;
                return Some(proxy);
            }
        }
        debug_assert_eq!(self.waiting, 0, "live entries that are not in the queue");
        None
    }

    /// The push to a proxy is done: its slot is free, and it enters again if it was asked for
    /// meanwhile. Nothing, if it is not being pushed to.
    pub fn done(&mut self, proxy: u32) {
        let Some(State::Pushing { again }) = self.states.get(proxy as usize).copied() else {
            return;
        };
        self.free_slot();
        self.states[proxy as usize] = State::Idle;
        if again {
            self.enter(proxy);
        }
    }

    /// A proxy has left: it waits no more, and a push to it ends now.
    pub fn remove(&mut self, proxy: u32) {
        let Some(state) = self.states.get_mut(proxy as usize) else { return };
        match std::mem::replace(state, State::Idle) {
            State::Idle => {}
            State::Waiting { .. } => self.waiting -= 1,
            State::Pushing { .. } => self.free_slot(),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.entries.bytes() + self.states.bytes()
    }

    /// Proxies that wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Pushes under way.
    pub fn pushing(&self) -> u32 {
        self.slots - self.slots_free
    }

    fn enter(&mut self, proxy: u32) {
        let entry = self.entry_count;
        self.entry_count += 1;
        self.waiting += 1;
        self.states[proxy as usize] = State::Waiting { entry };
        self.entries.push_back((proxy, entry));
    }

    fn free_slot(&mut self) {
        self.slots_free += 1;
        debug_assert!(self.slots_free <= self.slots, "more slots free than there are");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(slots: u32, proxies: &[u32]) -> PushQueue {
        let mut queue = PushQueue::new(slots);
        for proxy in proxies {
            queue.enqueue(*proxy);
        }
        queue
    }

    #[test]
    fn first_come_first_served_as_far_as_the_slots_reach() {
        let mut queue = queue(2, &[7, 3, 5]);
        assert_eq!([queue.next(), queue.next(), queue.next()], [Some(7), Some(3), None]);
        assert_eq!((queue.len(), queue.pushing()), (1, 2));
        queue.done(3);
        assert_eq!([queue.next(), queue.next()], [Some(5), None]);
    }

    #[test]
    fn requests_of_a_waiting_proxy_merge_and_keep_its_place() {
        let mut queue = queue(9, &[1, 2, 1, 1]);
        assert_eq!([queue.next(), queue.next(), queue.next()], [Some(1), Some(2), None]);
    }

    #[test]
    fn a_proxy_asked_for_during_its_push_enters_again_behind_the_others() {
        let mut queue = queue(1, &[1, 2]);
        assert_eq!(queue.next(), Some(1));
        queue.enqueue(1);
        queue.enqueue(1);
        assert_eq!(queue.len(), 1, "not twice at once");
        queue.done(1);
        assert_eq!(queue.next(), Some(2));
        queue.done(2);
        assert_eq!(queue.next(), Some(1));
        queue.done(1);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_proxy_that_left_and_came_back_stands_at_the_end() {
        let mut queue = queue(9, &[1, 2]);
        queue.remove(1);
        assert_eq!(queue.len(), 1);
        queue.enqueue(1);
        assert_eq!([queue.next(), queue.next(), queue.next()], [Some(2), Some(1), None]);
    }

    #[test]
    fn a_proxy_that_leaves_during_its_push_gives_its_slot_back_once() {
        let mut queue = queue(1, &[1, 2, 3]);
        assert_eq!(queue.next(), Some(1));
        queue.remove(1);
        queue.done(1);
        assert_eq!([queue.next(), queue.next()], [Some(2), None]);
        queue.remove(99);
        queue.done(99);
    }
}
