//! Linkerd's balancers: the queue before a backend, and the choice among its endpoints that are ready.
//!
//! A balancer is made when its destination is told, connects to all endpoints at once, and is dropped with the last
//! destination that has it.
//!
//! Source: linkerd2-proxy linkerd/proxy/balance; `model::linkerd::{queue, p2c, peak_ewma}`.
//! Left out: zones.

use super::World;
use super::client::purpose;
use super::linkerd::Due;
use super::linkerd_endpoint::Endpoint;
use super::pick::make_host;
use super::state::{Attempt, Call, NONE, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Time;
use crate::model::linkerd::accrual::Breaker;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::backoff::Reconnect;
use crate::model::linkerd::p2c;
use crate::model::linkerd::peak_ewma::PeakEwma;
use crate::model::linkerd::queue::{Arrival, Limits, Queue};
use crate::model::proxy::pool::Checkout;
use crate::plan::linkerd::LinkerdBalancer;
use crate::plan::linkerd::policy::FailureAccrual;
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::policy::{ConnectionPool, Protocol};
use crate::plan::universe::ServiceId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::Outcome;
use std::collections::{BTreeMap, VecDeque};

/// A backend in one proxy.
pub(crate) struct Balancer {
    /// The service that it was made for, whose rules it follows.
    service: ServiceId,
    pub queue: Queue,
    waiting: VecDeque<Id<Call>>,
    /// By host slot.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Host slots of those that are ready, in the order of their pods.
    pub ready: Vec<u32>,
    pub accrual: Option<FailureAccrual>,
    /// Why a connection could not be made last, until one is.
    pub lost: Option<CauseId>,
    /// By what failed answers count as slow ones, if they do.
    pub biaser: Option<LinkerdBalancer>,
    /// What is spoken to its endpoints: HTTP/2 to those with a proxy in place of HTTP/1.
    pub protocol: AppProtocol,
    pub limits: Limits,
}

impl World<'_> {
    /// A backend is asked for: it has a balancer, and connects to all of its endpoints.
    pub(super) fn make_balancer(&mut self, index: u32, service: ServiceId) {
        if self.outbound().balancers.contains_key(&index) {
            return;
        }
        let wire = self.plan.linkerd_rules.wires.get(&service);
        let biaser = wire.and_then(|wire| wire.biaser.as_ref());
        let biaser = biaser.unwrap_or(&self.own().linkerd_balancer);
        let protocol = self.app_protocol(service);
        let is_tcp = protocol.is_tcp();
        let biaser = (biaser.penalize_failures && !is_tcp).then(|| biaser.clone());
        let limits = if is_tcp { Limits::outbound_tcp } else { Limits::outbound_http };
        let limits = limits(self.own());
        let pod = self.upstreams[index as usize].pod;
        let accrual = self.accrual_of(pod, service);
        let balancer = Balancer {
            service,
            biaser,
            protocol,
            limits,
            queue: Queue::default(),
            waiting: VecDeque::new(),
            endpoints: BTreeMap::new(),
            ready: Vec::new(),
            accrual,
            lost: None,
        };
        self.outbound().balancers.insert(index, balancer);
        self.follow_endpoints(index);
    }

    /// Nobody has used a backend for long: its connections close.
    pub(super) fn drop_balancer(&mut self, index: u32) {
        self.outbound().balancers.remove(&index);
        self.close_all_of(index);
    }

    /// A proxy has a new configuration: its balancers follow it.
    pub(super) fn tell_balancers(&mut self, pod: u32) {
        let Some(own) = &self.linkerd else { return };
        let known = own.proxies.get(&pod).into_iter().flat_map(|proxy| proxy.destinations.keys());
        for service in known.copied().collect::<Vec<_>>() {
            self.make_backends(pod, service);
        }
        for (_, index) in self.pods[pod as usize].upstreams.clone() {
            if self.linkerd.as_ref().is_some_and(|own| own.balancers.contains_key(&index)) {
                self.follow_endpoints(index);
            }
        }
    }

    /// Endpoints that are new are connected to, those that are gone are forgotten.
    fn follow_endpoints(&mut self, index: u32) {
        self.catch_up(index);
        self.follow_accrual(index);
        let (now, default_rtt) = (self.now, self.own().linkerd_balancer.default_rtt);
        let mut new = Vec::new();
        for place in 0..self.upstreams[index as usize].members.len() {
            let upstream = &mut self.upstreams[index as usize];
            let slot = match upstream.members[place] {
                NONE => make_host(&mut self.config, &mut self.memory, upstream, true, place),
                slot => slot,
            };
            let pod = self.upstreams[index as usize].hosts[slot as usize].pod;
            let is_meshed = self.pods[pod as usize].is_meshed;
            let balancer = self.outbound().balancers.get_mut(&index).expect("it is there");
            let speaks_h1 =
                balancer.protocol.is_tcp() || (!is_meshed && !balancer.protocol.is_h2());
            if balancer.endpoints.get(&slot).is_some_and(|one| one.pod == pod) {
                continue;
            }
            let endpoint = Endpoint {
                pod,
                ewma: PeakEwma::new(now, default_rtt),
                breaker: balancer.accrual.map(|policy| Breaker::new(&policy, now)),
                reconnect: Reconnect::default(),
                connects: Id::NONE,
                connection: Id::NONE,
                is_up: speaks_h1,
                speaks_h1,
            };
            // The place may have been another one's.
            balancer.ready.retain(|one| *one != slot);
            balancer.endpoints.insert(slot, endpoint);
            new.push(slot);
        }
        let hosts = &self.upstreams[index as usize].hosts;
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let balancer = own.balancers.get_mut(&index).expect("it is there");
        balancer.endpoints.retain(|slot, one| {
            let host = &hosts[*slot as usize];
            host.is_member && host.pod == one.pod
        });
        let endpoints = &balancer.endpoints;
        balancer.ready.retain(|slot| endpoints.get(slot).is_some_and(Endpoint::is_ready));
        for slot in new {
            self.begin_endpoint(index, slot);
        }
        self.serve_queue(index);
    }

    /// A profile has come to govern the service, or has gone: breakers begin anew.
    fn follow_accrual(&mut self, index: u32) {
        let pod = self.upstreams[index as usize].pod;
        let Some(own) = &self.linkerd else { return };
        let Some(balancer) = own.balancers.get(&index) else { return };
        let (before, service) = (balancer.accrual, balancer.service);
        let accrual = self.accrual_of(pod, service);
        if accrual == before {
            return;
        }
        let now = self.now;
        let Some(balancer) = self.outbound().balancers.get_mut(&index) else { return };
        balancer.accrual = accrual;
        for endpoint in balancer.endpoints.values_mut() {
            endpoint.breaker = accrual.map(|policy| Breaker::new(&policy, now));
        }
        for slot in balancer.endpoints.keys().copied().collect::<Vec<_>>() {
            self.review_endpoint(index, slot);
        }
    }

    // === the queue ===

    /// A call comes to a backend's queue.
    pub(super) fn enter_queue(&mut self, id: Id<Call>, index: u32) {
        self.follow_if_told(index);
        let now = self.now;
        self.calls[id].upstream = index;
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let balancer = own.balancers.get_mut(&index).expect("it was made");
        match balancer.queue.arrive(&balancer.limits, now, !balancer.ready.is_empty()) {
            Arrival::Go => self.dispatch(id, index),
            Arrival::Wait(until) => {
                balancer.waiting.push_back(id);
                own.way(id).queued = true;
                self.expect_fail_fast(index, until);
            }
            Arrival::Shed(answer) => self.give(id, answer),
        }
    }

    fn follow_if_told(&mut self, index: u32) {
        let upstream = &self.upstreams[index as usize];
        if upstream.version != self.seen(upstream.pod).eds {
            self.follow_endpoints(index);
        }
    }

    fn expect_fail_fast(&mut self, index: u32, until: Option<Time>) {
        if let Some(until) = until {
            let pod = self.upstreams[index as usize].pod;
            self.set_timer(pod, until, Due::FailFast { upstream: index, until });
        }
    }

    /// Those who wait go, one by one, while an endpoint is ready.
    pub(super) fn serve_queue(&mut self, index: u32) {
        let now = self.now;
        loop {
            let Some(own) = &mut self.linkerd else { return };
            let Some(balancer) = own.balancers.get_mut(&index) else { return };
            if balancer.ready.is_empty() {
                let until = balancer.queue.lost_all(&balancer.limits, now);
                return self.expect_fail_fast(index, until);
            }
            if !balancer.queue.ready() {
                return;
            }
            let Some(id) = balancer.waiting.pop_front() else { return };
            if self.leaves_queue(id) {
                self.dispatch(id, index);
            }
        }
    }

    /// Whether a call still stands in a queue, which it leaves.
    fn leaves_queue(&mut self, id: Id<Call>) -> bool {
        let is_there = self.calls.get(id).is_some_and(|call| !call.is_over);
        is_there && std::mem::take(&mut self.outbound().way(id).queued)
    }

    /// Fail-fast begins: who waits is answered.
    pub(super) fn fail_fast(&mut self, index: u32, until: Time) -> bool {
        let Some(balancer) = self.outbound().balancers.get_mut(&index) else { return false };
        if balancer.queue.time_is_up(until).is_none() {
            return false;
        }
        for id in std::mem::take(&mut balancer.waiting) {
            if self.leaves_queue(id) {
                self.give(id, Answer::FailFast);
            }
        }
        true
    }

    // === an endpoint for a request ===

    /// An endpoint takes a call.
    fn dispatch(&mut self, id: Id<Call>, index: u32) {
        let (now, decay) = (self.now, self.own().linkerd_balancer.decay);
        let call = &mut self.calls[id];
        let number = call.tries;
        call.tries += 1;
        let draws = call.key.attempt(u32::from(number));
        let upstream = &self.upstreams[index as usize];
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let balancer = own.balancers.get_mut(&index).expect("it was made");
        let Balancer { endpoints, ready, .. } = balancer;
        let two = [0, 1].map(|turn| draws.draw(purpose::ENDPOINT + turn));
        let picked = p2c::pick(ready.len(), two, |nth| {
            let host = &upstream.hosts[ready[nth] as usize];
            let pending = host.active + u32::try_from(host.waiting()).unwrap_or(u32::MAX);
            let endpoint = endpoints.get_mut(&ready[nth]).expect("it is ready");
            endpoint.ewma.cost(now, decay, pending)
        });
        let slot = ready[picked.expect("one is ready")];
        let endpoint = endpoints.get_mut(&slot).expect("it is ready");
        if let Some(breaker) = &mut endpoint.breaker {
            breaker.send();
        }
        let connection = endpoint.connection;
        let speaks_h1 = endpoint.speaks_h1;
        let way = own.way(id);
        (way.host, way.sent, way.is_judged, way.is_answered) = (slot, now, false, false);
        self.review_endpoint(index, slot);
        self.ledger.attempts += 1;
        let batch = self.calls[id].batch;
        self.recorder.attempt(now, batch, number != 0);
        let attempt = self.begin_attempt(id, slot, Key(draws.draw(purpose::VISIT)));
        self.expect_response(id);
        if !speaks_h1 {
            return self.attach(attempt, connection);
        }
        if self.is_of_bytes(id) {
            return self.wait_for_connection(attempt, true);
        }
        let upstream = &mut self.upstreams[index as usize];
        let policy = ConnectionPool { protocol: Protocol::Http1, ..upstream.policy.pool };
        match upstream.hosts[slot as usize].pools[0].checkout(&policy) {
            Checkout::Ready(connection) => self.attach(attempt, connection),
            Checkout::Wait { open } => self.wait_for_connection(attempt, open),
        }
    }

    pub(super) fn begin_attempt(&mut self, id: Id<Call>, host: u32, key: Key) -> Id<Attempt> {
        let call = &mut self.calls[id];
        let upstream = call.upstream;
        let index = self.upstreams[upstream as usize].hosts[host as usize].pod;
        let pod = &self.pods[index as usize];
        call.workload = Some(pod.workload);
        let attempt = self.attempts.insert(Attempt {
            key,
            call: id,
            batch: call.batch,
            phase: Phase::Waiting,
            pending: 0,
            upstream,
            host,
            worker: 0,
            resent: 0,
            is_held: false,
            client: call.pod,
            pod: index,
            workload: pod.workload,
            birth: pod.birth,
            connection: Id::NONE,
            server_worker: 0,
            per_try: TimerId::NONE,
            arrived: self.now,
            entered: self.now,
            step: 0,
            open_calls: 0,
            holds_worker: false,
            present: false,
            call_failed: false,
            outcome: Outcome::answer(200),
            cause: None,
            sent_at: self.now,
        });
        call.attempt = attempt;
        self.ledger.attempts_to_endpoints += 1;
        attempt
    }
}
