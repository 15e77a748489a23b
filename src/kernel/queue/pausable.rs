//! Lanes whose timers run on a clock that can be stopped.
//!
//! While the clock stands still, a lane's ring is put aside and another, empty one stands in its place,
//! so that nothing fires and nobody who handles lanes needs to ask. When it goes on, the rings are
//! exchanged again and all their timers are put off by as long as it stood still.
//!
//! Source: ours; the clock is that of traffic in a sampled run.
//! Left out: more than one such clock.

use super::{LaneId, Queue, TIME_SHIFT, TimerId};
use crate::kernel::time::Duration;

/// A lane whose clock can be stopped.
#[derive(Clone, Copy)]
pub(super) struct Pausable {
    lane: LaneId,
    /// The node of the ring that is not in use: the lane's own while its clock stands still.
    aside: u32,
}

impl Queue {
    /// The lane for `delay` on the clock that [`Queue::pause`] stops, made at the first call. Its
    /// timers are set by [`Queue::after_pausable`].
    pub fn pausable_lane(&mut self, delay: Duration) -> LaneId {
        let of_delay = |one: &&Pausable| self.lanes[usize::from(one.lane.0)].delay == delay;
        if let Some(found) = self.pausable.iter().find(of_delay) {
            return found.lane;
        }
        let (lane, aside) = (self.new_lane(delay), self.ring());
        self.pausable.push(Pausable { lane, aside });
        lane
    }

    /// The clock of the pausable lanes stands still from now on: their timers do not fire.
    pub fn pause(&mut self) {
        debug_assert!(self.paused_at.is_none(), "the clock stands still already");
        self.paused_at = Some(self.now);
        self.swap_rings();
    }

    /// The clock of the pausable lanes goes on: their timers fire as much later as it stood still.
    pub fn resume(&mut self) {
        let Some(since) = self.paused_at.take() else { return };
        let stood = u128::from(self.now.since(since).ns()) << TIME_SHIFT;
        self.swap_rings();
        for place in 0..self.pausable.len() {
            let lane = self.pausable[place].lane.0;
            let end = self.lanes[usize::from(lane)].end;
            let head = self.nodes[end as usize].next;
            let mut node = head;
            while node != end {
                self.nodes[node as usize].key += stood;
                node = self.nodes[node as usize].next;
            }
            if !self.lanes[usize::from(lane)].is_queued {
                self.enter(u32::from(lane), head);
            }
        }
    }

    /// Whether the clock of a lane stands still.
    pub(super) fn stands_still(&self, lane: LaneId) -> bool {
        self.paused_at.is_some() && self.pausable.iter().any(|one| one.lane == lane)
    }

    fn swap_rings(&mut self) {
        for Pausable { lane, aside } in &mut self.pausable {
            std::mem::swap(&mut self.lanes[usize::from(lane.0)].end, aside);
        }
    }

    /// Sets a timer of a pausable lane, which fires at the lane's delay from now by its clock.
    pub fn after_pausable(&mut self, lane: LaneId, what: u32) -> TimerId {
        let Some(since) = self.paused_at else { return self.after_lane(lane, what) };
        let key = self.next_key(since + self.lanes[usize::from(lane.0)].delay, what);
        let aside =
            self.pausable.iter().find(|one| one.lane == lane).expect("a pausable lane").aside;
        self.link(aside, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Time;

    fn ns(ns: u64) -> Duration {
        Duration::from_ns(ns)
    }

    fn drain(queue: &mut Queue) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| queue.pop()).map(|(time, _, what)| (time.ns(), what)).collect()
    }

    #[test]
    fn a_timer_of_a_paused_lane_fires_as_much_later_as_its_clock_stood_still() {
        let mut queue = Queue::new();
        let (lane, plain) = (queue.pausable_lane(ns(10)), queue.lane(ns(10)));
        queue.after_pausable(lane, 1);
        queue.after_lane(plain, 2);
        queue.at(Time::from_ns(4), 3);
        queue.at(Time::from_ns(34), 4);
        assert_eq!(queue.pop().map(|(_, _, what)| what), Some(3));
        queue.pause();
        // Set while the clock stands still: due at 14 of that clock.
        let kept = queue.after_pausable(lane, 5);
        let cancelled = queue.after_pausable(lane, 6);
        assert_eq!(queue.pop().map(|(time, _, what)| (time.ns(), what)), Some((10, 2)));
        assert_eq!(queue.peek_time(), Some(Time::from_ns(34)));
        assert_eq!(queue.pop().map(|(_, _, what)| what), Some(4));
        queue.cancel(cancelled);
        queue.resume();
        queue.after_pausable(lane, 7);
        assert_eq!(drain(&mut queue), [(40, 1), (44, 5), (44, 7)]);
        assert_ne!(kept, cancelled);
        assert!(queue.is_empty());
    }

    #[test]
    fn an_entry_from_before_the_pause_gives_way_to_the_shifted_one() {
        let mut queue = Queue::new();
        let lane = queue.pausable_lane(ns(10));
        queue.after_pausable(lane, 1);
        queue.at(Time::from_ns(2), 2);
        queue.at(Time::from_ns(5), 3);
        queue.pop();
        queue.pause();
        queue.pop();
        queue.resume();
        assert_eq!(queue.peek_time(), Some(Time::from_ns(13)));
        assert_eq!(drain(&mut queue), [(13, 1)]);
    }
}
