//! The queue before a destination, its fail-fast, and the shedding of load in front of it.
//!
//! ```text
//! ready ── a request meets a pool without a ready endpoint ──> waiting ── 3 s ──> fail-fast
//!   ^                                                            │                   │
//!   └──────────────── one endpoint is ready ─────────────────────┴───────────────────┘
//! ```
//!
//! Whoever waits when fail-fast begins is answered 504 "service in fail-fast"; whoever arrives from then on
//! is shed at once: 503 "service unavailable". The timer starts with the first request that has to wait,
//! not when the last endpoint goes: a destination that nobody calls does not fail fast. It goes on when
//! that client leaves; what it had sent stays in the queue, and counts there.
//!
//! Source: linkerd2-proxy linkerd/proxy/balance/queue/src/{worker,failfast}.rs, linkerd/stack/src/{failfast,loadshed}.rs,
//! linkerd/app/outbound/src/http/server.rs; linkerd2#12720.
//! Left out: the order of those that wait, which is that of their arrival; bodies, which the limit of
//! requests in flight does not count either.

use super::answer::Answer;
use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd::Linkerd;

/// How much waits, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// So many wait; one more is with the one who serves them.
    pub capacity: u32,
    /// From the first that waits to fail-fast.
    pub failfast: Duration,
}

impl Limits {
    /// Of requests to a destination.
    pub fn outbound_http(linkerd: &Linkerd) -> Self {
        let rules = &linkerd.linkerd_outbound;
        Self { capacity: rules.http_queue, failfast: rules.http_failfast }
    }

    /// Of connections of opaque TCP to a destination.
    pub fn outbound_tcp(linkerd: &Linkerd) -> Self {
        let rules = &linkerd.linkerd_outbound;
        Self { capacity: rules.tcp_queue, failfast: rules.tcp_failfast }
    }

    /// Of requests to the app.
    pub fn inbound_http(linkerd: &Linkerd) -> Self {
        let rules = &linkerd.linkerd_inbound;
        Self { capacity: rules.http_queue, failfast: rules.http_failfast }
    }

    /// Of calls to a controller, whose failure has no status: the caller tries again.
    pub fn control(linkerd: &Linkerd) -> Self {
        let rules = &linkerd.linkerd_control;
        Self { capacity: rules.queue, failfast: rules.failfast }
    }
}

/// The queue of one destination in one proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Queue {
    state: State,
    waiting: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Ready,
    /// Until then.
    Waiting(Time),
    FailFast,
}

/// What becomes of a request that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Arrival {
    /// It goes to an endpoint now.
    Go,
    /// It waits; with it begins the time to fail-fast, if one is given.
    Wait(Option<Time>),
    /// It is answered so at once.
    Shed(Answer),
}

impl Queue {
    /// Requests that wait, those of clients that left included.
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Whether arrivals are shed because of fail-fast. A distribution over several backends draws another
    /// one then.
    pub fn is_failing_fast(&self) -> bool {
        self.state == State::FailFast
    }

    /// A request arrives; whether the pool has a ready endpoint.
    pub fn arrive(&mut self, limits: &Limits, now: Time, is_ready: bool) -> Arrival {
        if self.state == State::FailFast && !is_ready {
            return Arrival::Shed(Answer::LoadShed);
        }
        if is_ready && self.waiting == 0 {
            self.state = State::Ready;
            return Arrival::Go;
        }
        if limits.capacity < self.waiting {
            return Arrival::Shed(Answer::LoadShed);
        }
        self.waiting += 1;
        Arrival::Wait(if is_ready { None } else { self.begin_to_wait(limits, now) })
    }

    /// The pool lost its last ready endpoint; when the time to fail-fast ends that begins, if anybody waits.
    #[must_use]
    pub fn lost_all(&mut self, limits: &Limits, now: Time) -> Option<Time> {
        if self.waiting == 0 { None } else { self.begin_to_wait(limits, now) }
    }

    fn begin_to_wait(&mut self, limits: &Limits, now: Time) -> Option<Time> {
        let until = now.saturating_add(limits.failfast);
        let begins = self.state == State::Ready;
        if begins {
            self.state = State::Waiting(until);
        }
        begins.then_some(until)
    }

    /// The time that ends at `until` is over: how many that wait are answered with fail-fast. None if
    /// it is stale.
    #[must_use]
    pub fn time_is_up(&mut self, until: Time) -> Option<u32> {
        let is_mine = self.state == State::Waiting(until);
        is_mine.then(|| {
            self.state = State::FailFast;
            std::mem::take(&mut self.waiting)
        })
    }

    /// The pool has a ready endpoint: it ends the wait and fail-fast. The next that waits may go, if there
    /// is one: ask again for the one after it while the pool stays ready.
    #[must_use]
    pub fn ready(&mut self) -> bool {
        self.state = State::Ready;
        let goes = self.waiting != 0;
        self.waiting -= u32::from(goes);
        goes
    }
}

/// Requests under way through one proxy and direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InFlight {
    count: u32,
}

impl InFlight {
    /// One more arrives: how it is answered if there are too many.
    #[must_use]
    pub fn begin(&mut self, max: u32) -> Option<Answer> {
        if max <= self.count {
            return Some(Answer::LoadShed);
        }
        self.count += 1;
        None
    }

    /// One has its answer's header.
    pub fn end(&mut self) {
        debug_assert!(self.count != 0, "more ended than began");
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { capacity: 10_000, failfast: Duration::from_s(3) };
    const SHED: Arrival = Arrival::Shed(Answer::LoadShed);

    fn at(s: f64) -> Time {
        Time::ZERO + Duration::from_s_f64(s)
    }

    #[test]
    fn who_waits_is_failed_after_three_seconds_and_who_comes_then_is_shed() {
        let mut queue = Queue::default();
        assert_eq!(queue.arrive(&LIMITS, at(0.0), true), Arrival::Go);
        assert_eq!(queue.arrive(&LIMITS, at(1.0), false), Arrival::Wait(Some(at(4.0))));
        assert_eq!(queue.arrive(&LIMITS, at(3.9), false), Arrival::Wait(None));
        assert_eq!(queue.time_is_up(at(4.0)), Some(2));
        assert!(queue.is_failing_fast());
        assert_eq!(queue.arrive(&LIMITS, at(4.1), false), SHED);
        assert_eq!(queue.time_is_up(at(4.0)), None);
        // One endpoint is enough; the next failure takes three seconds again.
        assert!(!queue.ready());
        assert_eq!(queue.arrive(&LIMITS, at(9.0), true), Arrival::Go);
        assert_eq!(queue.arrive(&LIMITS, at(10.0), false), Arrival::Wait(Some(at(13.0))));
    }

    #[test]
    fn the_time_begins_with_the_first_that_waits_and_not_with_the_loss() {
        let mut queue = Queue::default();
        assert_eq!(queue.lost_all(&LIMITS, at(0.0)), None);
        assert_eq!(queue.arrive(&LIMITS, at(100.0), false), Arrival::Wait(Some(at(103.0))));
        assert_eq!(queue.lost_all(&LIMITS, at(101.0)), None);
    }

    #[test]
    fn an_endpoint_in_time_lets_them_go_in_turn() {
        let mut queue = Queue::default();
        for _ in 0..3 {
            let _ = queue.arrive(&LIMITS, at(0.0), false);
        }
        assert!(queue.ready());
        // It took one only (a probation): the others wait anew, and so does who comes now.
        assert_eq!(queue.lost_all(&LIMITS, at(2.0)), Some(at(5.0)));
        assert_eq!(queue.arrive(&LIMITS, at(2.5), false), Arrival::Wait(None));
        assert_eq!(queue.time_is_up(at(3.0)), None);
        assert_eq!([(); 4].map(|()| queue.ready()), [true, true, true, false]);
        // Nobody overtakes those that wait.
        let _ = queue.arrive(&LIMITS, at(6.0), false);
        assert_eq!(queue.arrive(&LIMITS, at(6.1), true), Arrival::Wait(None));
    }

    /// 2.13 let 100 wait: linkerd2#11055.
    #[test]
    fn a_full_queue_sheds() {
        let limits = Limits { capacity: 100, ..LIMITS };
        let mut queue = Queue::default();
        let shed = (0..150).filter(|_| queue.arrive(&limits, at(0.0), false) == SHED).count();
        assert_eq!((queue.waiting(), shed), (101, 49));
        assert_eq!(queue.time_is_up(at(3.0)), Some(101));
    }

    #[test]
    fn each_queue_has_its_own_patience() {
        let linkerd = Linkerd::default();
        let all = [
            Limits::outbound_http(&linkerd),
            Limits::outbound_tcp(&linkerd),
            Limits::inbound_http(&linkerd),
            Limits::control(&linkerd),
        ];
        assert_eq!(all.map(|one| one.failfast), [3, 3, 1, 30].map(Duration::from_s));
        assert_eq!(all.map(|one| one.capacity), [10_000, 10_000, 10_000, 1_000]);
    }

    #[test]
    fn too_many_in_flight_are_shed() {
        let mut requests = InFlight::default();
        assert_eq!([(); 3].map(|()| requests.begin(2)), [None, None, Some(Answer::LoadShed)]);
        requests.end();
        assert_eq!(requests.begin(2), None);
    }
}
