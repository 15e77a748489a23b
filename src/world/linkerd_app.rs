//! Linkerd's inbound proxies before apps that speak HTTP/2: one connection, and a queue while there is none.
//!
//! ```text
//! connected ── app ends, or takes no connection ──> tries again after 100 ms … 10 s; who comes waits
//!     ^                                                  │ 1 s after the first: 504 for all, then 503 at once
//!     └──────────────────── it is up ────────────────────┘
//! ```
//!
//! That the connection is gone is found out by the request that comes next; what was on it is answered 502. Apps that
//! speak HTTP/1 have no such queue: each request that finds no connection is answered for by itself, 502 or 504.
//!
//! Source: linkerd2-proxy linkerd/app/inbound/src/http/router.rs (`NewQueue`, `LoadShed`, `Reconnect`), linkerd/stack/src/failfast.rs;
//! `model::linkerd::queue`.
//! Left out: the time of the loopback's handshake; the first 100 ms after a connection that was up is lost.

use super::World;
use super::linkerd::{Due, Timer};
use super::state::{Attempt, Phase};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::backoff::Reconnect;
use crate::model::linkerd::queue::{Arrival, Queue};
use crate::plan::behaviour::Port;
use std::collections::VecDeque;

/// A proxy's connection to its app.
pub(crate) struct AppLink {
    queue: Queue,
    waiting: VecDeque<Id<Attempt>>,
    reconnect: Reconnect,
    /// Tries so far, which number the draws.
    tries: u32,
    /// When it is tried again; none if it is up, or was never needed.
    next: Id<Timer>,
}

impl Default for AppLink {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            waiting: VecDeque::new(),
            reconnect: Reconnect::default(),
            tries: 0,
            next: Id::NONE,
        }
    }
}

impl World<'_> {
    /// Whether a request has to wait for its app, or is answered for: then that is seen to.
    #[cold]
    pub(super) fn waits_for_app(&mut self, id: Id<Attempt>) -> bool {
        let Attempt { pod, workload, .. } = self.attempts[id];
        if !self.app_protocol_at(workload).is_h2() || !self.pods[pod as usize].is_meshed {
            return false;
        }
        let takes = self.app_takes_connections(pod).is_none();
        let now = self.now;
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let limits = own.inbound.limits;
        let link = own.inbound.apps.entry(pod).or_default();
        let is_up = takes && link.next.is_none();
        match link.queue.arrive(&limits, now, is_up) {
            Arrival::Go => false,
            Arrival::Wait(until) => {
                link.waiting.push_back(id);
                // It is with the proxy still.
                self.pods[pod as usize].inbound += 1;
                if let Some(until) = until {
                    self.set_timer(pod, until, Due::AppFailFast { until });
                }
                let own = self.linkerd.as_ref().expect("a mesh of Linkerd");
                if own.inbound.apps[&pod].next.is_none() {
                    self.try_app(pod);
                }
                true
            }
            Arrival::Shed(answer) => {
                self.answer_for_waiting(id, answer);
                true
            }
        }
    }

    /// How long it takes to find out that the app takes no connection; none if it takes them.
    fn app_takes_connections(&self, pod: u32) -> Option<Duration> {
        let pod = &self.pods[pod as usize];
        match self.workloads[pod.workload.index()].behaviour.port {
            Port::Swallows if pod.app_is_up => Some(self.own().linkerd_inbound.connect_timeout),
            Port::Listens if pod.app_is_up => None,
            _ => Some(Duration::ZERO),
        }
    }

    /// Connects to the app, or waits for another try.
    fn try_app(&mut self, pod: u32) {
        let fails = self.app_takes_connections(pod);
        let backoff = self.own().linkerd_inbound.backoff();
        let key = self.loop_key(pod, 9);
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let Some(link) = own.inbound.apps.get_mut(&pod) else { return };
        let Some(after) = fails else {
            link.next = Id::NONE;
            link.reconnect.connected();
            return self.serve_app(pod);
        };
        link.tries += 1;
        let wait = link.reconnect.failed(&backoff, key.draw(link.tries, 0));
        let at = self.now.saturating_add(after).saturating_add(wait);
        let timer = self.set_timer(pod, at, Due::AppConnect);
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        own.inbound.apps.get_mut(&pod).expect("it is there").next = timer;
    }

    /// The back-off is over.
    pub(super) fn app_is_tried(&mut self, pod: u32, timer: Id<Timer>) -> bool {
        let is_due = self.app_link(pod).is_some_and(|link| link.next == timer);
        if is_due {
            self.try_app(pod);
        }
        is_due
    }

    fn app_link(&mut self, pod: u32) -> Option<&mut AppLink> {
        self.linkerd.as_mut()?.inbound.apps.get_mut(&pod)
    }

    /// Who waits goes to the app, one by one.
    fn serve_app(&mut self, pod: u32) {
        loop {
            let is_up = self.app_takes_connections(pod).is_none();
            let Some(link) = self.app_link(pod) else { return };
            if !is_up || !link.queue.ready() {
                return;
            }
            let Some(id) = link.waiting.pop_front() else { return };
            if self.leaves_app_queue(pod, id) {
                self.enter_app(id);
            }
        }
    }

    /// Fail-fast begins: who waits is answered.
    pub(super) fn app_fails_fast(&mut self, pod: u32, until: Time) -> bool {
        let Some(link) = self.app_link(pod) else { return false };
        if link.queue.time_is_up(until).is_none() {
            return false;
        }
        for id in std::mem::take(&mut link.waiting) {
            if self.leaves_app_queue(pod, id) {
                self.answer_for_waiting(id, Answer::FailFast);
            }
        }
        true
    }

    /// A request leaves the queue: whether its client still waits for it.
    fn leaves_app_queue(&mut self, pod: u32, id: Id<Attempt>) -> bool {
        let is_here = |one: &&Attempt| one.phase == Phase::Inbound && one.pod == pod;
        let Some(attempt) = self.attempts.get(id).filter(is_here) else { return false };
        let has_left = attempt.call.is_none();
        self.pods[pod as usize].inbound -= 1;
        if has_left {
            self.close_left(id);
            self.check_shutdown(pod);
        }
        !has_left
    }

    fn answer_for_waiting(&mut self, id: Id<Attempt>, answer: Answer) {
        let Attempt { pod, workload, .. } = self.attempts[id];
        self.attempts[id].cause = self.pod_cause(pod);
        let outcome = self.outcome_of(answer, self.app_protocol_at(workload));
        self.count_linkerd(|counts| counts.inbound.count(outcome.details));
        self.answer(id, outcome);
    }
}
