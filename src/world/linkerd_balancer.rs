//! Linkerd's balancers: the queue before a backend, its endpoints, and which of them are ready.
//!
//! An endpoint is ready while its connection is up and its breaker lets requests through. The proxy opens the one
//! HTTP/2 connection to a meshed endpoint by itself, as soon as it hears of it, and again after a back-off whenever it
//! is lost: a dead endpoint costs the requests that are on its connection, and no others. Endpoints that speak HTTP/1
//! are always ready; their connections are opened for requests.
//!
//! Source: linkerd2-proxy linkerd/proxy/balance, linkerd/reconnect/src/service.rs; `model::linkerd::{queue, p2c,
//! peak_ewma, backoff, accrual}`.
//! Left out: zones; an endpoint without a proxy in a service whose other pods have one, to which one HTTP/2 connection
//! is opened as well.

use super::World;
use super::client::purpose;
use super::linkerd::{Due, Timer};
use super::pick::make_host;
use super::state::{Attempt, Call, Connection, Link, NONE, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Time;
use crate::model::linkerd::accrual::{Breaker, Change, Class};
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::backoff::Reconnect;
use crate::model::linkerd::p2c;
use crate::model::linkerd::peak_ewma::PeakEwma;
use crate::model::linkerd::queue::{Arrival, Queue};
use crate::model::proxy::pool::Checkout;
use crate::plan::linkerd::policy::FailureAccrual;
use crate::plan::policy::Protocol;
use crate::plan::universe::ServiceId;
use crate::vocabulary::outcome::Outcome;
use std::collections::{BTreeMap, VecDeque};

/// A backend in one proxy.
pub(crate) struct Balancer {
    pub queue: Queue,
    waiting: VecDeque<Id<Call>>,
    /// By host slot.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Host slots of those that are ready, in the order of their pods.
    ready: Vec<u32>,
    accrual: Option<FailureAccrual>,
}

/// An endpoint in one proxy.
pub(crate) struct Endpoint {
    pod: u32,
    pub ewma: PeakEwma,
    breaker: Option<Breaker>,
    reconnect: Reconnect,
    /// Tries to connect, which name their draws.
    connects: Id<Timer>,
    /// Open, or being opened; of HTTP/2.
    connection: Id<Connection>,
    is_up: bool,
    speaks_h1: bool,
}

impl Endpoint {
    fn is_ready(&self) -> bool {
        self.is_up && self.breaker.is_none_or(|one| one.is_ready())
    }
}

impl World<'_> {
    /// A backend is asked for: it has a balancer, and connects to all of its endpoints.
    pub(super) fn make_balancer(&mut self, index: u32, service: ServiceId) {
        if self.outbound().balancers.contains_key(&index) {
            return;
        }
        let rules = self.plan.linkerd_rules.services.get(&service);
        let usual = || FailureAccrual::new(&self.own().linkerd_accrual);
        let accrual = match rules {
            Some(rules) if rules.profile.is_some() => None,
            Some(rules) => rules.accrual.or_else(usual),
            None => usual(),
        };
        let balancer = Balancer {
            queue: Queue::default(),
            waiting: VecDeque::new(),
            endpoints: BTreeMap::new(),
            ready: Vec::new(),
            accrual,
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
        for (_, index) in self.pods[pod as usize].upstreams.clone() {
            if self.linkerd.as_ref().is_some_and(|own| own.balancers.contains_key(&index)) {
                self.follow_endpoints(index);
            }
        }
    }

    /// Endpoints that are new are connected to, those that are gone are forgotten.
    fn follow_endpoints(&mut self, index: u32) {
        self.catch_up(index);
        let (now, default_rtt) = (self.now, self.own().linkerd_balancer.default_rtt);
        let mut new = Vec::new();
        for place in 0..self.upstreams[index as usize].members.len() {
            let upstream = &mut self.upstreams[index as usize];
            let slot = match upstream.members[place] {
                NONE => make_host(&mut self.config, &mut self.memory, upstream, true, place),
                slot => slot,
            };
            let pod = self.upstreams[index as usize].hosts[slot as usize].pod;
            let speaks_h1 = self.upstreams[index as usize].policy.pool.protocol == Protocol::Http1;
            let balancer = self.outbound().balancers.get_mut(&index).expect("it is there");
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

    fn begin_endpoint(&mut self, index: u32, slot: u32) {
        let endpoint = self.endpoint(index, slot).expect("it is new");
        if endpoint.speaks_h1 {
            self.review_endpoint(index, slot);
        } else {
            self.connect_to(index, slot);
        }
    }

    fn endpoint(&mut self, index: u32, slot: u32) -> Option<&mut Endpoint> {
        self.linkerd.as_mut()?.balancers.get_mut(&index)?.endpoints.get_mut(&slot)
    }

    fn connect_to(&mut self, index: u32, slot: u32) {
        let connection = self.open_connection(index, slot, 0);
        if let Some(endpoint) = self.endpoint(index, slot) {
            endpoint.connection = connection;
        }
    }

    /// Puts an endpoint into the list of those that are ready, or out of it.
    fn review_endpoint(&mut self, index: u32, slot: u32) {
        let Some(own) = &mut self.linkerd else { return };
        let Some(Balancer { endpoints, ready, .. }) = own.balancers.get_mut(&index) else { return };
        let Some(endpoint) = endpoints.get(&slot) else { return };
        let place = ready.binary_search_by_key(&endpoint.pod, |one| endpoints[one].pod);
        match (place, endpoint.is_ready()) {
            (Err(place), true) => ready.insert(place, slot),
            (Ok(place), false) => {
                ready.remove(place);
            }
            _ => {}
        }
    }

    // === connections ===

    /// The connection of an endpoint is up. One whose client the server has refused is so for a round trip.
    #[cold]
    pub(super) fn endpoint_is_up(&mut self, id: Id<Connection>) {
        let Some(Connection { upstream, host, is_rejected, key, pod, .. }) =
            self.connections.get(id).copied()
        else {
            return;
        };
        let Some(endpoint) = self.endpoint(upstream, host) else { return };
        if endpoint.connection != id {
            return;
        }
        endpoint.is_up = true;
        endpoint.reconnect.connected();
        self.review_endpoint(upstream, host);
        self.serve_queue(upstream);
        if is_rejected && self.connections.get(id).is_some_and(|one| one.streams == 0) {
            let client = self.upstreams[upstream as usize].pod;
            let (a, b) = (self.pods[client as usize].node, self.pods[pod as usize].node);
            let there = self.one_way(a, b, key.draw(0, purpose::LINK_OUT));
            let back = self.one_way(b, a, key.draw(0, purpose::LINK_BACK));
            let at = self.now.saturating_add(there + back);
            self.set_timer(client, at, Due::Refused(id));
        }
    }

    /// Whether Linkerd sees to the end of a connection that its server has refused.
    pub(super) fn is_of_endpoint(&mut self, id: Id<Connection>) -> bool {
        let Some(Connection { upstream, host, .. }) = self.connections.get(id).copied() else {
            return false;
        };
        self.endpoint(upstream, host).is_some_and(|one| one.connection == id)
    }

    /// The client hears that its server has refused it.
    pub(super) fn close_refused(&mut self, id: Id<Connection>) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        if connection.link != Link::Open {
            return false;
        }
        if connection.streams == 0 {
            self.close_connection(id);
        } else {
            self.retire_connection(id);
        }
        true
    }

    /// A connection takes no more requests, or could not be made: another one after a back-off.
    #[cold]
    pub(super) fn endpoint_is_lost(&mut self, id: Id<Connection>) {
        let Connection { upstream, host, key, .. } = self.connections[id];
        let backoff = self.own().linkerd_outbound.backoff();
        let Some(endpoint) = self.endpoint(upstream, host) else { return };
        if endpoint.connection != id {
            return;
        }
        endpoint.connection = Id::NONE;
        endpoint.is_up = false;
        let wait = endpoint.reconnect.failed(&backoff, key.draw(0, purpose::BACKOFF));
        self.review_endpoint(upstream, host);
        let pod = self.upstreams[upstream as usize].pod;
        let at = self.now.saturating_add(wait);
        let timer = self.set_timer(pod, at, Due::Connect { upstream, host });
        self.endpoint(upstream, host).expect("it is there").connects = timer;
    }

    /// The back-off is over.
    pub(super) fn connect_again(&mut self, index: u32, slot: u32, timer: Id<Timer>) -> bool {
        let Some(endpoint) = self.endpoint(index, slot) else { return false };
        if endpoint.connects != timer {
            return false;
        }
        endpoint.connects = Id::NONE;
        self.connect_to(index, slot);
        true
    }

    // === the queue ===

    /// A call comes to a backend's queue.
    pub(super) fn enter_queue(&mut self, id: Id<Call>, index: u32) {
        self.follow_if_told(index);
        let now = self.now;
        self.calls[id].upstream = index;
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let balancer = own.balancers.get_mut(&index).expect("it was made");
        match balancer.queue.arrive(&own.limits, now, !balancer.ready.is_empty()) {
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
    fn serve_queue(&mut self, index: u32) {
        let now = self.now;
        loop {
            let Some(own) = &mut self.linkerd else { return };
            let Some(balancer) = own.balancers.get_mut(&index) else { return };
            if balancer.ready.is_empty() {
                let until = balancer.queue.lost_all(&own.limits, now);
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
        let drawn = [0, 1].map(|turn| draws.draw(purpose::ENDPOINT + turn));
        let picked = p2c::pick(ready.len(), drawn, |nth| {
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
        (way.host, way.sent, way.is_judged) = (slot, now, false);
        self.review_endpoint(index, slot);
        self.ledger.attempts += 1;
        let batch = self.calls[id].batch;
        self.recorder.attempt(now, batch, number != 0);
        let attempt = self.begin_attempt(id, slot, Key(draws.draw(purpose::VISIT)));
        if !speaks_h1 {
            return self.attach(attempt, connection);
        }
        let upstream = &mut self.upstreams[index as usize];
        let policy = upstream.policy;
        match upstream.hosts[slot as usize].pools[0].checkout(&policy.pool) {
            Checkout::Ready(connection) => self.attach(attempt, connection),
            Checkout::Wait { open } => self.wait_for_connection(attempt, open),
        }
    }

    fn begin_attempt(&mut self, id: Id<Call>, host: u32, key: Key) -> Id<Attempt> {
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

    // === failure accrual ===

    /// The endpoint of a call's last attempt is judged by an answer.
    pub(super) fn judge_by(&mut self, id: Id<Call>, status: u16) {
        let now = self.now;
        let call = &self.calls[id];
        let (index, number, key) = (call.upstream, u32::from(call.tries), call.key);
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        let way = own.way(id);
        if std::mem::replace(&mut way.is_judged, true) {
            return;
        }
        let slot = way.host;
        let Some(balancer) = own.balancers.get_mut(&index) else { return };
        let Some(policy) = balancer.accrual else { return };
        let Some(endpoint) = balancer.endpoints.get_mut(&slot) else { return };
        let Some(breaker) = &mut endpoint.breaker else { return };
        let draw = || key.draw(number, purpose::PENALTY);
        let change = breaker.record(&policy, now, Class::of(status, None), draw);
        self.review_endpoint(index, slot);
        match change {
            Change::None => {}
            Change::Shut(until) => {
                let pod = self.upstreams[index as usize].pod;
                self.set_timer(pod, until, Due::Probation { upstream: index, host: slot, until });
            }
            Change::Opened => self.serve_queue(index),
        }
    }

    /// An endpoint that was shut out may have one request.
    pub(super) fn begin_probation(&mut self, index: u32, slot: u32, until: Time) -> bool {
        let Some(endpoint) = self.endpoint(index, slot) else { return false };
        let breaker = endpoint.breaker.as_mut();
        if !breaker.is_some_and(|one| one.time_is_up(until)) {
            return false;
        }
        self.review_endpoint(index, slot);
        self.serve_queue(index);
        true
    }
}
