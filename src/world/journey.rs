//! The journey of a request, in time's order: the client proxy, the route, the endpoint, the
//! connection, the link, the answer. What the endpoint does with it stands in `visit`, another try or
//! the end in `tries`, how connections open and close in `connect`.
//!
//! Source: Envoy's outbound path as listed in the model page; rules measured on Envoy 1.40.
//! Left out: copies and hedged tries, which stand in `mirror` and `hedging`; what proxies do before
//! they route stands in `filters`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::network::{Links, Transit};
use super::pick::{Pick, make_host, pick_endpoint};
use super::routing::{missing, weighted};
use super::state::{Attempt, Call, Connection, Held, LAST_TRIES, NONE, Parent, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::stream::Key;
use crate::kernel::time::Duration;
use crate::model::proxy::pool::Checkout;
use crate::plan::route::Destination;
use crate::plan::universe::{ClassId, RouteId, ServiceId};
use crate::vocabulary::flag::Flags;
use crate::vocabulary::outcome::{Details, Outcome};

// === 1. the client proxy ===

impl World<'_> {
    /// A request begins at a client's pod.
    pub(super) fn begin_call(
        &mut self,
        key: Key,
        parent: Parent,
        batch: u32,
        pod: u32,
        target: Target,
    ) {
        let Target { to: service, class, edge } = target;
        self.ledger.calls_began += 1;
        let id = self.calls.insert(Call {
            key,
            began: self.now,
            parent,
            edge,
            batch,
            pod,
            service,
            class,
            route: RouteId(NONE),
            rule: 0,
            per_try: None,
            takes_success: false,
            worker: 0,
            tries: 0,
            filter: 0,
            held: Held::Not,
            flags: Flags::NONE,
            holds_retry: false,
            pending: 0,
            is_over: false,
            upstream: NONE,
            attempt: Id::NONE,
            timeout: TimerId::NONE,
            idle: TimerId::NONE,
            outcome: Outcome::answer(0),
            workload: None,
            cause: None,
            tried: [NONE; LAST_TRIES],
        });
        if pod == NONE || !self.is_client(pod) {
            let cause = if pod == NONE { None } else { self.pod_cause(pod) };
            self.calls[id].cause = cause;
            return self.end_early(id, Outcome::failure(Details::ConnectionRefused));
        }
        let proxy = &self.plan.parameters.proxy;
        if !self.pods[pod as usize].is_meshed {
            return self.route(id, pod, service, class, key);
        }
        let workers = &mut self.pods[pod as usize].workers;
        let worker = workers.pick(key.draw(0, purpose::WORKER));
        let done = workers.run(worker, self.now, proxy.client_request, Duration::ZERO);
        let call = &mut self.calls[id];
        call.worker = u8::try_from(worker).unwrap_or(u8::MAX);
        call.pending += 1;
        self.queue.at(done + proxy.loopback, Event::Routed(id.index()).pack());
    }

    /// The client proxy has done its work.
    pub(super) fn routed(&mut self, slot: u32) {
        if let Some(id) = self.live_call(slot, Event::Routed(slot)) {
            self.end_delay(id);
            let Call { pod, service, class, key, .. } = self.calls[id];
            self.route(id, pod, service, class, key);
        }
    }

    // === 2. the route ===

    #[inline(always)]
    pub(super) fn route(
        &mut self,
        id: Id<Call>,
        pod: u32,
        service: ServiceId,
        class: ClassId,
        key: Key,
    ) {
        if self.compiled.has.gates && !self.pass_gates(id) {
            return;
        }
        let version = self.seen(pod).rds;
        let plan = self.plan;
        let own = if self.compiled.has.listeners { self.routes_of_chain(id) } else { None };
        let rule = own.or_else(|| self.config.route(service, version)).and_then(|route| {
            let table = &plan.universe.routes[route.index()];
            Some((route, table.rule_of_class[class.index()]?))
        });
        let Some((route, rule)) = rule else {
            return self.end_early(id, Outcome::failure(Details::RouteNotFound));
        };
        self.follow_rule(id, pod, route, rule, key);
    }

    /// By a rule to a cluster, with the rule's limits.
    #[inline(always)]
    pub(super) fn follow_rule(
        &mut self,
        id: Id<Call>,
        pod: u32,
        route: RouteId,
        rule: u16,
        key: Key,
    ) {
        let plan = self.plan;
        let lanes = &self.compiled.rules[route.index()][rule as usize];
        let cluster = if let Some(only) = lanes.only {
            only
        } else {
            let rule = &plan.universe.routes[route.index()].rules[rule as usize];
            if let Some(status) = rule.direct {
                let outcome = Outcome { status, ..Outcome::failure(Details::DirectResponse) };
                return self.end_early(id, outcome);
            }
            match weighted(&rule.split, lanes.weights, key.draw(0, purpose::SPLIT)) {
                Destination::Cluster(cluster) => *cluster,
                Destination::Missing(_) => {
                    return self.end_early(id, missing(rule));
                }
            }
        };
        let (cluster, lanes) = if self.compiled.has.cluster_rules {
            let missing = missing(&plan.universe.routes[route.index()].rules[rule as usize]);
            let Some(found) = self.find_cluster(id, cluster, missing) else { return };
            (found, &self.compiled.rules[route.index()][rule as usize])
        } else {
            (cluster, lanes)
        };
        let timeout = match lanes.timeout {
            Some(lane) => self.queue.after_lane(lane, Event::RouteTimeout(id.index()).pack()),
            None => TimerId::NONE,
        };
        let (mut per_try, takes_success) = (lanes.per_try, lanes.takes_success);
        if self.compiled.has.max_stream
            && let Some(lane) = self.compiled.clusters[cluster.index()].max_stream
        {
            per_try = Some(self.shorter_lane(per_try, lane));
        }
        if let Some(lane) = lanes.idle {
            self.expect_idle(id, lane);
        }
        let upstream = self.upstream(pod, cluster);
        self.catch_up(upstream);
        let call = &mut self.calls[id];
        (call.route, call.rule, call.timeout, call.upstream) = (route, rule, timeout, upstream);
        (call.per_try, call.takes_success) = (per_try, takes_success);
        self.try_endpoint(id);
        if self.compiled.has.mirrors {
            self.mirror(id);
        }
    }

    // === 3. the endpoint and its connection pool ===

    /// One try, by an upstream that is up to date: an endpoint, and a connection to it.
    #[inline(always)]
    pub(super) fn try_endpoint(&mut self, id: Id<Call>) {
        self.ledger.attempts += 1;
        let call = &mut self.calls[id];
        let (number, index) = (call.tries, call.upstream);
        call.tries += 1;
        self.recorder.attempt(self.now, call.batch, number != 0);
        let draws = call.key.attempt(u32::from(number));
        let upstream = &mut self.upstreams[index as usize];
        if self.sampling.is_some() {
            upstream.demand.count();
        }
        let host = match pick_endpoint(self.plan, self.now, call, upstream, number, draws) {
            Pick::Host(host) => host,
            Pick::New { all, nth } => {
                make_host(&mut self.config, &mut self.memory, upstream, all, nth)
            }
            Pick::None => return self.try_nobody(id),
        };
        let [last, before, earlier, first] = call.tried;
        call.tried = [host, last, before, earlier];
        if first != NONE {
            upstream.remember_try(call, first);
        }
        let endpoint = &upstream.hosts[host as usize];
        let pod = &self.pods[endpoint.pod as usize];
        call.workload = Some(pod.workload);
        let policy = upstream.policy;
        let checkout = endpoint.pools[call.worker as usize].checkout(&policy.pool);
        // Who waits is counted as active when a connection takes it: `serve_waiting`.
        let is_ready = matches!(checkout, Checkout::Ready(_));
        let (gauges, limits) = (&upstream.gauges, &policy.breaker);
        if !(if is_ready { gauges.admits_request(limits) } else { gauges.admits_pending(limits) }) {
            return self.overflow(id, is_ready);
        }
        let attempt = self.attempts.insert(Attempt {
            key: Key(draws.draw(purpose::VISIT)),
            call: id,
            batch: call.batch,
            phase: Phase::Waiting,
            pending: 0,
            upstream: index,
            host,
            worker: call.worker,
            resent: 0,
            is_held: false,
            client: call.pod,
            pod: endpoint.pod,
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
        match checkout {
            Checkout::Ready(connection) => self.attach(attempt, connection),
            Checkout::Wait { open } => self.wait_for_connection(attempt, open),
        }
    }

    /// An attempt gets a connection: its request goes out.
    #[inline(always)]
    pub(super) fn attach(&mut self, id: Id<Attempt>, connection_id: Id<Connection>) {
        let attempt = &mut self.attempts[id];
        let connection = &mut self.connections[connection_id];
        let upstream = &mut self.upstreams[attempt.upstream as usize];
        let host = &mut upstream.hosts[attempt.host as usize];
        upstream.gauges.requests += 1;
        host.active += 1;
        let is_rejected = connection.is_rejected;
        let idle = std::mem::replace(&mut connection.timer, TimerId::NONE);
        if !connection.takes_more(&upstream.policy.pool) {
            host.pools[attempt.worker as usize].withdraw(connection_id);
        }
        attempt.connection = connection_id;
        attempt.server_worker = connection.server_worker;
        attempt.phase = Phase::Sent;
        attempt.sent_at = self.now;
        if !idle.is_none() {
            self.queue.cancel(idle);
        }
        if let Some(lane) = self.calls[attempt.call].per_try {
            let event = Event::PerTryTimeout(id.index());
            attempt.per_try = self.queue.after_lane(lane, event.pack());
        }
        if is_rejected {
            return self.learn_rejection(id);
        }
        self.send(id);
    }

    // === 4. the link ===

    /// The request goes over the link, now or (swallowed by a cut) once more later.
    #[inline(always)]
    pub(super) fn send(&mut self, id: Id<Attempt>) {
        let attempt = &mut self.attempts[id];
        attempt.is_held = false;
        let (key, number) = (attempt.key, u32::from(attempt.resent));
        let (client, pod) = (attempt.client, attempt.pod);
        let network = &self.plan.parameters.network;
        let loss = || key.draw(number, purpose::LOSS_OUT);
        self.ledger.sent += 1;
        let links = Links { pods: &self.pods, network: &self.network, nodes: &self.nodes };
        match links.transit(client, pod, network.request_bytes, loss, network.rto) {
            Transit::Sent { path, late } => {
                attempt.pending += 1;
                let draw = || key.draw(0, purpose::LINK_OUT);
                self.over(path, late, draw, Event::Reach(id.index()));
            }
            Transit::Swallowed => self.send_later(id, Event::Reach(id.index())),
        }
    }

    // === 5. the answer comes back ===

    /// The answer reaches the client proxy.
    pub(super) fn returned(&mut self, slot: u32) {
        let Some((id, attempt)) = self.live_attempt(slot, Phase::Answering) else { return };
        if attempt.is_held {
            return self.send_answer(id, Duration::ZERO);
        }
        if attempt.call.is_none() {
            self.ledger.delivered += 1;
            return self.close_attempt(id);
        }
        if let Some(later) = self.reads_answers_at(attempt.client) {
            self.attempts[id].pending += 1;
            self.queue.at(later, Event::Return(slot).pack());
            return self.stale();
        }
        self.ledger.delivered += 1;
        if self.has_odd_apps {
            return self.returned_otherwise(id);
        }
        self.finish_attempt(id, &attempt, attempt.outcome, true);
    }

    /// An attempt has ended at the client proxy, with all of its answer or by a reset.
    #[inline(always)]
    pub(super) fn finish_attempt(
        &mut self,
        id: Id<Attempt>,
        attempt: &Attempt,
        outcome: Outcome,
        is_complete: bool,
    ) {
        self.detach(id, outcome, is_complete);
        if self.compiled.has.hedging && self.is_passed_over(id, outcome) {
            return;
        }
        let call = &mut self.calls[attempt.call];
        call.outcome = outcome;
        call.cause = attempt.cause;
        call.attempt = Id::NONE;
        let worker = u32::from(call.worker);
        self.close_attempt(id);
        let proxy = &self.plan.parameters.proxy;
        let client = &mut self.pods[attempt.client as usize];
        if !client.is_meshed {
            return self.judge(attempt.call);
        }
        let done =
            client.workers.run(worker, self.now, proxy.client_response, proxy.client_telemetry);
        self.calls[attempt.call].pending += 1;
        let event = Event::Answered(attempt.call.index());
        self.queue.at(done + proxy.loopback, event.pack());
    }

    /// The client proxy has done its work for the answer.
    pub(super) fn answered(&mut self, slot: u32) {
        if let Some(id) = self.live_call(slot, Event::Answered(slot)) {
            self.judge(id);
        }
    }
}
