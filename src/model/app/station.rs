//! A station: servers, a queue, a discipline.
//!
//! FIFO: `workers` servers, each with one request at a time; the others wait in order, up to the
//! queue's bound. Processor sharing: everyone present is served at once, each at the rate
//! min(1, workers / present); kept in *virtual time*, the service that one request has received
//! since the station was last empty, so that an arrival or a departure costs O(log n) and moves
//! nobody's finish.
//!
//! Source: Kleinrock, Queueing Systems I (M/M/c) and II (processor sharing).
//! Left out: priorities; preemption.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, Time};
use crate::plan::universe::Discipline;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What becomes of a request that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Arrival {
    /// It has a server: begin its work.
    Served,
    /// It waits.
    Waiting,
    /// The queue is full: it is turned away.
    Full,
}

/// Servers and those who wait. `T` names a request.
#[derive(Clone, Debug)]
pub struct Station<T> {
    /// Requests served at once.
    pub workers: u32,
    queue_limit: u32,
    discipline: Discipline,
    /// Servers at work or held by a waiting call (FIFO); requests in service (sharing).
    busy: u32,
    waiting: VecDeque<T>,
    sharing: Sharing<T>,
    load: Load,
}

/// Time integrals of a station, exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Requests present: waiting, or being served by a worker.
    present: u32,
    since: Time,
    /// ∫ busy workers dt, in worker-nanoseconds.
    pub busy_ns: u128,
    /// ∫ requests present dt, in request-nanoseconds.
    pub present_ns: u128,
}

#[derive(Clone, Debug)]
struct Sharing<T> {
    /// (bits of the virtual finish, order, request): bits of positive floats sort as the floats.
    finishes: BinaryHeap<Reverse<(u64, u64, T)>>,
    /// Service that each one present has received since the station was empty, in ns.
    virtual_ns: f64,
    updated: Time,
    order: u64,
    /// Nobody is served.
    is_paused: bool,
}

impl<T: Copy + Ord> Station<T> {
    /// An idle station. No `queue` is no bound.
    pub fn new(workers: u32, queue: Option<u32>, discipline: Discipline) -> Self {
        assert!(1 <= workers, "a station has a worker");
        Self {
            workers,
            queue_limit: queue.unwrap_or(u32::MAX),
            discipline,
            busy: 0,
            waiting: VecDeque::new(),
            sharing: Sharing {
                finishes: BinaryHeap::new(),
                virtual_ns: 0.0,
                updated: Time::ZERO,
                order: 0,
                is_paused: false,
            },
            load: Load::default(),
        }
    }

    /// Whether the workers are shared by all.
    pub fn is_shared(&self) -> bool {
        self.discipline != Discipline::Fifo
    }

    /// Bytes held beside the station itself.
    pub fn bytes(&self) -> usize {
        self.waiting.bytes()
            + self.sharing.finishes.capacity() * size_of::<Reverse<(u64, u64, T)>>()
    }

    /// Servers at work or held.
    pub const fn busy(&self) -> u32 {
        self.busy
    }

    /// Requests that wait for a server.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The last of those who wait.
    pub fn last_waiting(&self) -> Option<T> {
        self.waiting.back().copied()
    }

    /// A request arrives, or comes back from a call that did not hold its server.
    #[inline(always)]
    pub fn arrive(&mut self, now: Time, request: T, returning: bool) -> Arrival {
        if self.is_shared() || self.busy < self.workers {
            self.integrate(now, 1, 1);
            return Arrival::Served;
        }
        // Who was admitted once is not turned away on the way back.
        if !returning && self.queue_limit as usize <= self.waiting.len() {
            return Arrival::Full;
        }
        self.integrate(now, 0, 1);
        self.waiting.push_back(request);
        Arrival::Waiting
    }

    /// A server becomes free; the request that now gets it, if one waits.
    #[must_use]
    #[inline(always)]
    pub fn release(&mut self, now: Time) -> Option<T> {
        assert!(0 < self.busy, "a server is released that nobody holds");
        let next = if self.is_shared() { None } else { self.waiting.pop_front() };
        self.integrate(now, if next.is_some() { 0 } else { -1 }, -1);
        next
    }

    /// Whether a worker is idle while somebody waits: never, by work conservation.
    pub fn wastes(&self) -> bool {
        self.busy < self.workers && !self.waiting.is_empty()
    }

    /// The time integrals up to `now`.
    pub fn load(&mut self, now: Time) -> Load {
        self.integrate(now, 0, 0);
        self.load
    }

    /// Forgets the time integrals so far: statistics begin at `now`.
    pub fn restart_load(&mut self, now: Time) {
        self.integrate(now, 0, 0);
        self.load.busy_ns = 0;
        self.load.present_ns = 0;
    }

    /// Everyone is gone: the pod crashed.
    pub fn clear(&mut self, now: Time) {
        self.integrate(now, 0, 0);
        self.busy = 0;
        self.load.present = 0;
        // With their room: most that end do not come back.
        self.waiting = VecDeque::new();
        self.sharing.finishes = BinaryHeap::new();
    }

    #[inline(always)]
    fn integrate(&mut self, now: Time, busy: i32, present: i32) {
        let length = now.since(self.load.since).ns();
        self.load.since = now;
        self.load.busy_ns += u128::from(length) * u128::from(self.busy.min(self.workers));
        self.load.present_ns += u128::from(length) * u128::from(self.load.present);
        self.busy = self.busy.checked_add_signed(busy).expect("busy servers below zero");
        self.load.present =
            self.load.present.checked_add_signed(present).expect("requests present below zero");
    }
}

// === processor sharing ===

impl<T: Copy + Ord> Station<T> {
    /// A request in service begins `work`; returns when the next one of all finishes.
    #[must_use]
    pub fn share(&mut self, now: Time, request: T, work: Duration) -> Time {
        // It is counted as busy already, but was not present until now.
        self.advance(now, self.sharing.finishes.len());
        let sharing = &mut self.sharing;
        let finish = sharing.virtual_ns + work.ns() as f64;
        sharing.order += 1;
        sharing.finishes.push(Reverse((finish.to_bits(), sharing.order, request)));
        self.next_finish(now).expect("one was added")
    }

    /// Work that is nobody's request takes its share of the workers, under the name `job`; returns how long it
    /// takes if nobody comes or goes.
    #[must_use]
    pub fn steal(&mut self, now: Time, job: T, work: Duration) -> Duration {
        let _ = self.share(now, job, work);
        Duration::from_ns_f64(work.ns() as f64 / self.rate(self.sharing.finishes.len()))
    }

    /// The request that finishes at `now`, for whom [`Station::share`] or this said so.
    #[must_use]
    pub fn shared_finish(&mut self, now: Time) -> Option<T> {
        self.advance(now, self.sharing.finishes.len());
        let Reverse((bits, _, request)) = self.sharing.finishes.pop()?;
        // Whole nanoseconds end a little early or late: the finish itself is exact.
        self.sharing.virtual_ns = f64::from_bits(bits);
        if self.sharing.finishes.is_empty() {
            self.sharing.virtual_ns = 0.0;
        }
        Some(request)
    }

    /// When the next request finishes, if nothing changes.
    #[must_use]
    pub fn next_finish(&self, now: Time) -> Option<Time> {
        let Reverse((bits, ..)) = self.sharing.finishes.peek()?;
        let left = f64::from_bits(*bits) - self.sharing.virtual_ns;
        Some(now + Duration::from_ns_f64(left / self.rate(self.sharing.finishes.len())))
    }

    /// The pod stands still from `now` on: what was served until now counts.
    pub fn pause(&mut self, now: Time) {
        self.advance(now, self.sharing.finishes.len());
        self.sharing.is_paused = true;
    }

    /// The pod goes on at `now`: nobody was served since [`Station::pause`].
    pub fn resume(&mut self, now: Time) {
        self.advance(now, self.sharing.finishes.len());
        self.sharing.is_paused = false;
    }

    fn rate(&self, present: usize) -> f64 {
        (f64::from(self.workers) / present as f64).min(1.0)
    }

    fn advance(&mut self, now: Time, present: usize) {
        let length = now.since(self.sharing.updated).ns();
        self.sharing.updated = now;
        if present != 0 && !self.sharing.is_paused {
            self.sharing.virtual_ns += length as f64 * self.rate(present);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Time {
        Time::from_ns(ns)
    }

    #[test]
    fn the_first_come_is_the_first_served_and_the_queue_is_bounded() {
        let mut station = Station::new(1, Some(1), Discipline::Fifo);
        assert_eq!(station.arrive(at(0), 'a', false), Arrival::Served);
        assert_eq!(station.arrive(at(1), 'b', false), Arrival::Waiting);
        assert_eq!(station.arrive(at(2), 'c', false), Arrival::Full);
        assert_eq!(station.release(at(10)), Some('b'));
        assert_eq!(station.release(at(20)), None);
        let load = station.load(at(30));
        assert_eq!((load.busy_ns, load.present_ns), (20, 10 + 9 + 10));
    }

    #[test]
    fn two_who_share_one_worker_are_served_at_half_speed() {
        let mut station = Station::new(1, None, Discipline::ProcessorSharing);
        let ns = Duration::from_ns;
        assert_eq!(station.arrive(at(0), 'a', false), Arrival::Served);
        assert_eq!(station.share(at(0), 'a', ns(100)), at(100));
        assert_eq!(station.arrive(at(50), 'b', false), Arrival::Served);
        // a has 50 left, b 10: b ends after 20, a 40 later.
        assert_eq!(station.share(at(50), 'b', ns(10)), at(70));
        assert_eq!(station.shared_finish(at(70)), Some('b'));
        assert_eq!(station.release(at(70)), None);
        assert_eq!(station.next_finish(at(70)), Some(at(110)));
        assert_eq!(station.shared_finish(at(110)), Some('a'));
    }

    #[test]
    fn nobody_is_served_while_the_station_is_paused_whoever_comes() {
        let mut station = Station::new(1, None, Discipline::ProcessorSharing);
        assert_eq!(station.arrive(at(0), 'a', false), Arrival::Served);
        assert_eq!(station.share(at(0), 'a', Duration::from_ns(100)), at(100));
        station.pause(at(40));
        assert_eq!(station.arrive(at(60), 'b', true), Arrival::Served);
        let _ = station.share(at(60), 'b', Duration::from_ns(30));
        station.resume(at(1000));
        assert_eq!(station.next_finish(at(1000)), Some(at(1060)));
    }

    #[test]
    fn what_is_stolen_slows_those_who_are_served_and_is_no_request() {
        let mut station = Station::new(1, None, Discipline::ProcessorSharing);
        let ns = Duration::from_ns;
        assert_eq!(station.arrive(at(0), 'a', false), Arrival::Served);
        assert_eq!(station.share(at(0), 'a', ns(100)), at(100));
        assert_eq!(station.steal(at(0), '-', ns(20)), ns(40));
        assert_eq!(station.next_finish(at(0)), Some(at(40)));
        assert_eq!(station.shared_finish(at(40)), Some('-'));
        assert_eq!(station.next_finish(at(40)), Some(at(120)));
        assert_eq!(station.load(at(120)).present_ns, 120);
    }

    #[test]
    fn as_many_as_there_are_workers_do_not_slow_each_other() {
        let mut station = Station::new(2, None, Discipline::ProcessorSharing);
        for name in ['a', 'b'] {
            assert_eq!(station.arrive(at(0), name, false), Arrival::Served);
            assert_eq!(station.share(at(0), name, Duration::from_ns(100)), at(100));
        }
    }
}
