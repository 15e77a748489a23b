//! The queue of future events: an agenda, and lanes for timers that are mostly cancelled.
//!
//! Events are ordered by (time, sequence): what was scheduled first fires first among equals.
//! One counter gives the sequence numbers of both ways to schedule, so that the order does not
//! depend on the way. An entry of the agenda is one integer:
//!
//! ```text
//! time 60 bits | sequence 36 bits | kind 7 bits, slot 25 bits (the caller's `what`)
//! ```
//!
//! A *lane* is a list of timers with one constant delay. They fire in the order in which they
//! were set, so setting one appends and cancelling one unlinks, both in constant time (the list
//! is a ring through a node of the lane's own, so that neither asks where it is); only the
//! head of a lane has an entry in the agenda, of the reserved kind 127 and with the lane as its slot.
//! When a head is cancelled its entry stays until its time comes, and is then replaced by the true
//! head's, which is never earlier.
//!
//! A lane may be *pausable*: see `pausable`.
//!
//! Source: docs/speed.md: a timeout is set for each request and almost never fires, so
//! cancelled timers cost a plain heap more than its events do.
//! Left out: cancelling in the agenda (an event whose owner is gone is stale: compare its ticket),
//! changing an event's time.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

mod pausable;

use super::agenda::Agenda;
use super::bytes::Bytes as _;
use super::time::{Duration, Time};
use pausable::Pausable;

/// The kinds 0..=126 are the caller's; 127 marks a lane's head.
const LANE_KIND: u32 = 127;
/// The kind stands above the 25 bits of the slot.
const KIND_SHIFT: u32 = 25;
const SLOT_MASK: u32 = (1 << KIND_SHIFT) - 1;
/// 36 bits of sequence: 68 billion events a run.
const SEQUENCE_END: u64 = 1 << 36;
const TIME_SHIFT: u32 = 68;
const SEQUENCE_SHIFT: u32 = 32;
/// No node: the end of the free list, and what stands before a node that is in no ring.
const NIL: u32 = u32::MAX;
/// The key of a lane's own node, which no timer has: its kind is not one that callers may use.
const END: u128 = u128::MAX;

/// The sequence number of a scheduled event; no two events of a run share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(u64);

impl Ticket {
    /// No event.
    pub const NONE: Self = Self(u64::MAX);
}

/// A constant delay that timers share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneId(u16);

/// A timer in a lane. It is void once the timer fired or was cancelled: forget it then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(u32);

impl TimerId {
    /// No timer.
    pub const NONE: Self = Self(NIL);

    /// Whether this names no timer.
    pub const fn is_none(self) -> bool {
        self.0 == NIL
    }
}

/// The future events of one run.
pub struct Queue {
    agenda: Agenda,
    lanes: Vec<Lane>,
    /// Lanes by delay, sorted: found by bisection.
    delays: Vec<(Duration, LaneId)>,
    pausable: Vec<Pausable>,
    /// Since when the clock of the pausable lanes stands still, if it does.
    paused_at: Option<Time>,
    nodes: Vec<Node>,
    /// The first node of the free list, linked by `next`.
    free: u32,
    now: Time,
    sequence: u64,
    /// Events that were popped or cancelled.
    done: u64,
}

/// The timers with one delay, the next to fire first.
#[derive(Clone, Copy)]
struct Lane {
    delay: Duration,
    /// The node that closes the ring: the head follows it, the tail stands before it.
    end: u32,
    /// Whether the agenda holds an entry for this lane, its head's or that of a head before it.
    is_queued: bool,
}

/// A timer, a link of its lane's ring.
#[derive(Clone, Copy)]
struct Node {
    key: u128,
    previous: u32,
    next: u32,
}

const fn key(time: Time, sequence: u64, what: u32) -> u128 {
    ((time.ns() as u128) << TIME_SHIFT) | ((sequence as u128) << SEQUENCE_SHIFT) | what as u128
}

const fn time_of(key: u128) -> Time {
    Time::from_ns((key >> TIME_SHIFT) as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of the key is what is meant")]
const fn ticket_of(key: u128) -> Ticket {
    Ticket((key as u64 >> SEQUENCE_SHIFT) | ((key >> 64) as u64 & 0xf) << 32)
}

#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is meant")]
const fn what_of(key: u128) -> u32 {
    key as u32
}

/// The agenda's entry for a lane whose head has `key`.
fn head_key(key: u128, lane: u32) -> u128 {
    (key >> SEQUENCE_SHIFT << SEQUENCE_SHIFT) | u128::from(LANE_KIND << KIND_SHIFT | lane)
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// An empty queue at the start of a run.
    pub fn new() -> Self {
        Self {
            agenda: Agenda::new(),
            lanes: Vec::new(),
            delays: Vec::new(),
            pausable: Vec::new(),
            paused_at: None,
            nodes: Vec::new(),
            free: NIL,
            now: Time::ZERO,
            sequence: 0,
            done: 0,
        }
    }

    /// The time of the last event that was popped.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Events scheduled and not cancelled.
    pub fn len(&self) -> usize {
        usize::try_from(self.sequence - self.done).unwrap_or(usize::MAX)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let lanes = self.lanes.bytes() + self.delays.bytes() + self.pausable.bytes();
        self.agenda.bytes() + self.nodes.bytes() + lanes
    }

    /// Whether nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lane for `delay`, made at the first call.
    pub fn lane(&mut self, delay: Duration) -> LaneId {
        match self.delays.binary_search_by_key(&delay, |&(delay, _)| delay) {
            Ok(found) => self.delays[found].1,
            Err(place) => {
                let lane = self.new_lane(delay);
                self.delays.insert(place, (delay, lane));
                lane
            }
        }
    }

    /// The delay of a lane.
    pub fn delay(&self, lane: LaneId) -> Duration {
        self.lanes[usize::from(lane.0)].delay
    }

    fn new_lane(&mut self, delay: Duration) -> LaneId {
        let lane = LaneId(u16::try_from(self.lanes.len()).expect("more than 65536 lanes"));
        let end = self.ring();
        self.lanes.push(Lane { delay, end, is_queued: false });
        lane
    }

    /// A node that closes a ring of no timers.
    fn ring(&mut self) -> u32 {
        let end = self.node(END);
        let ring = &mut self.nodes[end as usize];
        (ring.previous, ring.next) = (end, end);
        end
    }

    /// Schedules `what` at `time`, which must not have passed. The top 6 bits of `what` are a kind
    /// of at most 62.
    pub fn at(&mut self, time: Time, what: u32) -> Ticket {
        if time < self.now {
            in_the_past(time, self.now);
        }
        let ticket = Ticket(self.sequence);
        let key = self.next_key(time, what);
        self.agenda.push_new(key);
        ticket
    }

    /// Schedules `what` at `delay` from now.
    pub fn after(&mut self, delay: Duration, what: u32) -> Ticket {
        self.at(self.now + delay, what)
    }

    /// Sets a timer that fires at the lane's delay from now, unless it is cancelled.
    #[inline(always)]
    pub fn after_lane(&mut self, lane: LaneId, what: u32) -> TimerId {
        debug_assert!(!self.stands_still(lane), "a lane whose clock may stand still");
        let time = self.now + self.lanes[usize::from(lane.0)].delay;
        let key = self.next_key(time, what);
        self.append(lane, key)
    }

    /// Schedules `what` at the lane's delay from now, to be never cancelled: in the agenda, if it
    /// is among the next few there.
    #[inline(always)]
    pub fn after_constant(&mut self, lane: LaneId, what: u32) {
        let time = self.now + self.lanes[usize::from(lane.0)].delay;
        if self.agenda.is_soon(key(time, self.sequence, what)) {
            let key = self.next_key(time, what);
            self.agenda.push_soon(key);
        } else {
            self.after_lane(lane, what);
        }
    }

    /// When a timer fires that has neither fired nor been cancelled.
    pub fn fires_at(&self, timer: TimerId) -> Time {
        time_of(self.nodes[timer.0 as usize].key)
    }

    /// Takes a timer back that has neither fired nor been cancelled.
    #[inline(always)]
    pub fn cancel(&mut self, timer: TimerId) {
        self.unlink(timer.0);
        self.done += 1;
    }

    /// The next event, with its time, which becomes now, its ticket and the caller's `what`.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, Ticket, u32)> {
        let fired = loop {
            let next = self.agenda.pop()?;
            if what_of(next) >> KIND_SHIFT != LANE_KIND {
                break next;
            }
            if let Some(key) = self.fire(next) {
                break key;
            }
        };
        let time = time_of(fired);
        assert!(self.now <= time, "time went back from {:?} to {time:?}", self.now);
        self.now = time;
        self.done += 1;
        Some((time, ticket_of(fired), what_of(fired)))
    }

    /// The time of the next event.
    pub fn peek_time(&mut self) -> Option<Time> {
        loop {
            let next = self.agenda.peek()?;
            let lane = what_of(next) & SLOT_MASK;
            if what_of(next) >> KIND_SHIFT != LANE_KIND {
                return Some(time_of(next));
            }
            let head = self.nodes[self.lanes[lane as usize].end as usize].next;
            if head_key(self.nodes[head as usize].key, lane) == next {
                return Some(time_of(next));
            }
            self.agenda.pop();
            self.enter(lane, head);
        }
    }

    /// Fires the head of the lane whose `entry` was taken from the agenda; none if that was a
    /// cancelled timer's. Either way the next in the lane gets an entry.
    fn fire(&mut self, entry: u128) -> Option<u128> {
        let lane = what_of(entry) & SLOT_MASK;
        let head = self.nodes[self.lanes[lane as usize].end as usize].next;
        let Node { key, next, .. } = self.nodes[head as usize];
        if head_key(key, lane) != entry {
            self.enter(lane, head);
            return None;
        }
        self.unlink(head);
        self.enter(lane, next);
        Some(key)
    }

    /// Gives a lane without an entry that of its head, if it has one.
    fn enter(&mut self, lane_index: u32, head: u32) {
        let lane = &mut self.lanes[lane_index as usize];
        lane.is_queued = head != lane.end;
        if lane.is_queued {
            self.agenda.push(head_key(self.nodes[head as usize].key, lane_index));
        }
    }

    /// Appends a timer to its lane.
    #[inline(always)]
    fn append(&mut self, lane: LaneId, key: u128) -> TimerId {
        let Lane { end, is_queued, .. } = self.lanes[usize::from(lane.0)];
        let timer = self.link(end, key);
        if !is_queued {
            self.lanes[usize::from(lane.0)].is_queued = true;
            self.agenda.push(head_key(key, u32::from(lane.0)));
        }
        timer
    }

    /// A timer at the end of the ring that `end` closes.
    #[inline(always)]
    fn link(&mut self, end: u32, key: u128) -> TimerId {
        let id = self.node(key);
        let nodes = &mut self.nodes[..];
        let tail = std::mem::replace(&mut nodes[end as usize].previous, id);
        nodes[tail as usize].next = id;
        let node = &mut nodes[id as usize];
        (node.previous, node.next) = (tail, end);
        TimerId(id)
    }

    /// A node for `key`, in no ring yet.
    #[inline(always)]
    fn node(&mut self, key: u128) -> u32 {
        let id = self.free;
        if let Some(place) = self.nodes.get_mut(id as usize) {
            self.free = place.next;
            place.key = key;
            return id;
        }
        let id = u32::try_from(self.nodes.len()).expect("more than 2^32 timers");
        self.nodes.push(Node { key, previous: NIL, next: NIL });
        id
    }

    #[inline(always)]
    fn unlink(&mut self, id: u32) {
        let place = &mut self.nodes[id as usize];
        let previous = std::mem::replace(&mut place.previous, NIL);
        let next = std::mem::replace(&mut place.next, self.free);
        assert!(previous != NIL, "timer {id} was cancelled after it fired or was cancelled");
        self.free = id;
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
    }

    #[inline(always)]
    fn next_key(&mut self, time: Time, what: u32) -> u128 {
        debug_assert!(what >> KIND_SHIFT < LANE_KIND, "kind 63 is reserved for lanes");
        if Time::MAX < time {
            beyond_the_end(time);
        }
        assert!(self.sequence < SEQUENCE_END, "more than 2^36 events in a run");
        let key = key(time, self.sequence, what);
        self.sequence += 1;
        key
    }
}

#[cold]
fn in_the_past(time: Time, now: Time) -> ! {
    panic!("scheduled at {time:?}, before now, {now:?}")
}

#[cold]
fn beyond_the_end(time: Time) -> ! {
    panic!("scheduled at {time:?}, beyond the last time of a run")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ns(ns: u64) -> Duration {
        Duration::from_ns(ns)
    }

    fn drain(queue: &mut Queue) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| queue.pop()).map(|(time, _, what)| (time.ns(), what)).collect()
    }

    #[test]
    fn equal_times_fire_in_the_order_they_were_set_by_either_way() {
        let mut queue = Queue::new();
        let lane = queue.lane(ns(5));
        queue.after(ns(5), 1);
        queue.after_lane(lane, 2);
        queue.after(ns(5), 3);
        queue.after_lane(lane, 4);
        queue.after(ns(4), 5);
        assert_eq!(queue.len(), 5);
        assert_eq!(drain(&mut queue), [(4, 5), (5, 1), (5, 2), (5, 3), (5, 4)]);
        assert_eq!(queue.now(), Time::from_ns(5));
    }

    #[test]
    fn a_cancelled_head_gives_way_to_the_next_of_its_lane() {
        let mut queue = Queue::new();
        let lane = queue.lane(ns(10));
        let first = queue.after_lane(lane, 1);
        queue.at(Time::from_ns(3), 2);
        assert_eq!(queue.pop().map(|(_, _, what)| what), Some(2));
        queue.after_lane(lane, 3);
        queue.cancel(first);
        assert_eq!(queue.peek_time(), Some(Time::from_ns(13)));
        assert_eq!(drain(&mut queue), [(13, 3)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_lane_a_delay_and_one_entry_a_lane() {
        let mut queue = Queue::new();
        let lane = queue.lane(ns(10));
        assert_eq!(queue.lane(ns(10)), lane);
        assert_ne!(queue.lane(ns(9)), lane);
        for what in 0..1_000 {
            let timer = queue.after_lane(lane, what);
            queue.cancel(timer);
        }
        assert_eq!((queue.len(), queue.agenda.len(), queue.nodes.len()), (0, 1, 3));
        assert_eq!(queue.peek_time(), None);
        assert_eq!(queue.agenda.len(), 0);
    }

    #[test]
    fn a_ticket_comes_back_with_its_event() {
        let mut queue = Queue::new();
        queue.sequence = SEQUENCE_END - 2;
        let early = queue.after(ns(1), 7);
        let late = queue.after(ns(2), 62 << KIND_SHIFT | SLOT_MASK);
        assert_ne!(early, late);
        assert_eq!(queue.pop(), Some((Time::from_ns(1), early, 7)));
        assert_eq!(queue.pop(), Some((Time::from_ns(2), late, 62 << KIND_SHIFT | SLOT_MASK)));
    }

    #[test]
    #[should_panic(expected = "before now")]
    fn the_past_cannot_be_scheduled() {
        let mut queue = Queue::new();
        queue.after(ns(2), 0);
        queue.pop();
        queue.at(Time::from_ns(1), 0);
    }

    #[test]
    #[should_panic(expected = "beyond the last time")]
    fn times_beyond_the_key_are_refused() {
        Queue::new().at(Time::MAX + ns(1), 0);
    }

    #[test]
    #[should_panic(expected = "more than 2^36 events")]
    fn the_sequence_does_not_wrap() {
        let mut queue = Queue::new();
        queue.sequence = SEQUENCE_END;
        queue.after(ns(1), 0);
    }

    #[test]
    #[should_panic(expected = "after it fired or was cancelled")]
    fn a_timer_is_cancelled_once() {
        let mut queue = Queue::new();
        let lane = queue.lane(ns(1));
        let timer = queue.after_lane(lane, 0);
        queue.cancel(timer);
        queue.cancel(timer);
    }

    #[derive(Clone, Debug)]
    enum Step {
        At(u64),
        Lane(usize),
        Constant(usize),
        Cancel(usize),
        Pop,
        Peek,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..20_u64).prop_map(Step::At),
            4 => (0..3_usize).prop_map(Step::Lane),
            2 => (0..3_usize).prop_map(Step::Constant),
            3 => (0..64_usize).prop_map(Step::Cancel),
            4 => Just(Step::Pop),
            1 => Just(Step::Peek),
        ]
    }

    proptest! {
        #[test]
        fn the_queue_answers_as_a_sorted_list_does(
            steps in proptest::collection::vec(step(), 0..800)
        ) {
            let mut queue = Queue::new();
            let delays = [0, 7, 12];
            let lanes = delays.map(|delay| queue.lane(ns(delay)));
            // (time, what, timer), where `what` counts up as the sequence does.
            let mut model: Vec<(u64, u32, Option<TimerId>)> = Vec::new();
            let mut what = 0;
            for step in steps {
                let now = queue.now().ns();
                match step {
                    Step::At(delay) => {
                        queue.after(ns(delay), what);
                        model.push((now + delay, what, None));
                        what += 1;
                    }
                    Step::Lane(lane) => {
                        let timer = queue.after_lane(lanes[lane], what);
                        model.push((now + delays[lane], what, Some(timer)));
                        what += 1;
                    }
                    Step::Constant(lane) => {
                        queue.after_constant(lanes[lane], what);
                        model.push((now + delays[lane], what, None));
                        what += 1;
                    }
                    Step::Cancel(which) => {
                        let timers: Vec<_> = model.iter().filter_map(|entry| entry.2).collect();
                        if let Some(&timer) = timers.get(which % timers.len().max(1)) {
                            queue.cancel(timer);
                            model.retain(|entry| entry.2 != Some(timer));
                        }
                    }
                    Step::Pop => {
                        let next = model.iter().min_by_key(|entry| (entry.0, entry.1)).copied();
                        model.retain(|entry| Some(entry.1) != next.map(|next| next.1));
                        let popped = queue.pop().map(|(time, _, what)| (time.ns(), what));
                        prop_assert_eq!(popped, next.map(|next| (next.0, next.1)));
                    }
                    Step::Peek => {
                        let next = model.iter().map(|entry| entry.0).min();
                        prop_assert_eq!(queue.peek_time().map(Time::ns), next);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
