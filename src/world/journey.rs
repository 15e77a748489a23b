//! The journey of a request, in time's order: the client proxy, the route, the endpoint, the
//! connection, the link, the answer, another try or the end. What the endpoint does with it
//! stands in `visit`; how connections open and close in `connect`.
//!
//! Source: Envoy's outbound path as listed in the model page; rules measured on Envoy 1.40.
//! Left out: filters, mirrors, hedging.

use super::World;
use super::client::purpose;
use super::compiled::Target;
use super::event::Event;
use super::network::Transit;
use super::state::{Attempt, Call, NONE, Parent, Phase};
use crate::kernel::queue::TimerId;
use crate::kernel::slab::Id;
use crate::kernel::stream::{Key, below};
use crate::kernel::time::Duration;
use crate::model::proxy::pool::Checkout;
use crate::model::proxy::retry;
use crate::observe::accumulator::Sample;
use crate::observe::recorder::Ended;
use crate::plan::Plan;
use crate::plan::policy::{Destination, RouteRule};
use crate::plan::universe::RouteId;
use crate::vocabulary::flag::ResponseFlag;
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
            worker: 0,
            tries: 0,
            holds_retry: false,
            pending: 0,
            is_over: false,
            upstream: NONE,
            attempt: Id::NONE,
            timeout: TimerId::NONE,
            outcome: Outcome::answer(0),
            workload: None,
            cause: None,
            tried: [NONE; 4],
        });
        if pod == NONE || !self.is_client(pod) {
            let cause = if pod == NONE { None } else { self.pod_cause(pod) };
            self.calls[id].cause = cause;
            return self.end_call(id, Outcome::failure(Details::ConnectionRefused));
        }
        let proxy = &self.plan.parameters.proxy;
        if !self.pods[pod as usize].is_meshed {
            return self.route(id);
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
            self.route(id);
        }
    }

    // === 2. the route ===

    fn route(&mut self, id: Id<Call>) {
        let (pod, service, class, key) = {
            let call = &self.calls[id];
            (call.pod, call.service, call.class, call.key)
        };
        let version = self.seen(pod).rds;
        let plan = self.plan;
        let rule = self.config.route(service, version).and_then(|route| {
            let table = &plan.universe.routes[route.index()];
            Some((route, table.rule_of_class[class.index()]?))
        });
        let Some((route, rule)) = rule else {
            return self.end_call(id, Outcome::failure(Details::RouteNotFound));
        };
        let lanes = self.compiled.rules[route.index()][rule as usize];
        let split = &plan.universe.routes[route.index()].rules[rule as usize].split;
        let destination = match split.as_slice() {
            [(only, _)] => only,
            many => weighted(many, lanes.weights, key.draw(0, purpose::SPLIT)),
        };
        let Destination::Cluster(cluster) = destination else {
            return self.end_call(id, Outcome::failure(Details::ClusterNotFound));
        };
        let timeout = match lanes.timeout {
            Some(lane) => self.queue.after_lane(lane, Event::RouteTimeout(id.index()).pack()),
            None => TimerId::NONE,
        };
        let upstream = self.upstream(pod, *cluster);
        let call = &mut self.calls[id];
        (call.route, call.rule, call.timeout, call.upstream) = (route, rule, timeout, upstream);
        self.try_endpoint(id);
    }

    // === 3. the endpoint and its connection pool ===

    /// One try: an endpoint, and a connection to it.
    fn try_endpoint(&mut self, id: Id<Call>) {
        let call = &mut self.calls[id];
        let (number, index) = (call.tries, call.upstream);
        call.tries += 1;
        let call = &self.calls[id];
        self.ledger.attempts += 1;
        self.recorder.attempt(self.now, call.batch, number != 0);
        self.catch_up(index);
        let Some(host) = self.pick_endpoint(id, number) else {
            return self.fail_try(id, Outcome::failure(Details::NoHealthyUpstream), None);
        };
        let upstream = &mut self.upstreams[index as usize];
        upstream.demand.count();
        let endpoint = &upstream.hosts[host as usize];
        let pod = endpoint.pod;
        let call = &mut self.calls[id];
        let [last, before, earlier, _] = call.tried;
        call.tried = [host, last, before, earlier];
        call.workload = Some(self.pods[pod as usize].workload);
        let (key, worker, batch) = (call.key, call.worker, call.batch);
        let policy = &self.plan.universe.clusters[upstream.cluster.index()].policy;
        if !upstream.gauges.admits_request(&policy.breaker) {
            return self.fail_try(id, Outcome::failure(Details::Overflow), None);
        }
        let checkout = endpoint.pools[worker as usize].checkout(&policy.pool);
        if matches!(checkout, Checkout::Wait { .. })
            && !upstream.gauges.admits_pending(&policy.breaker)
        {
            return self.fail_try(id, Outcome::failure(Details::Overflow), None);
        }
        let attempt = self.attempts.insert(Attempt {
            key: Key(key.draw(u32::from(number), purpose::VISIT)),
            call: id,
            batch,
            phase: Phase::Waiting,
            pending: 0,
            upstream: index,
            host,
            worker,
            resent: 0,
            is_held: false,
            pod,
            birth: self.pods[pod as usize].birth,
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
        self.ledger.attempts_to_endpoints += 1;
        self.calls[id].attempt = attempt;
        match checkout {
            Checkout::Ready(connection) => self.attach(attempt, connection),
            Checkout::Wait { open } => self.wait_for_connection(attempt, open),
        }
    }

    /// An attempt gets a connection: its request goes out.
    pub(super) fn attach(
        &mut self,
        attempt: Id<Attempt>,
        connection: Id<super::state::Connection>,
    ) {
        self.use_connection(connection);
        let (server_worker, is_rejected) = {
            let connection = &self.connections[connection];
            (connection.server_worker, connection.is_rejected)
        };
        let record = &mut self.attempts[attempt];
        record.connection = connection;
        record.server_worker = server_worker;
        record.phase = Phase::Sent;
        record.sent_at = self.now;
        let (call, upstream, host) = (record.call, record.upstream, record.host);
        let upstream = &mut self.upstreams[upstream as usize];
        upstream.gauges.requests += 1;
        upstream.hosts[host as usize].active += 1;
        let call = &self.calls[call];
        if let Some(lane) = self.compiled.rules[call.route.index()][call.rule as usize].per_try {
            let timer = self.queue.after_lane(lane, Event::PerTryTimeout(attempt.index()).pack());
            self.attempts[attempt].per_try = timer;
        }
        if is_rejected {
            return self.learn_rejection(attempt);
        }
        self.send(attempt);
    }

    // === 4. the link ===

    /// The request goes over the link, now or (swallowed by a cut) once more later.
    pub(super) fn send(&mut self, id: Id<Attempt>) {
        self.attempts[id].is_held = false;
        let attempt = &self.attempts[id];
        let (key, number) = (attempt.key, u32::from(attempt.resent));
        let client = self.upstreams[attempt.upstream as usize].pod;
        let network = &self.plan.parameters.network;
        let loss = || key.draw(number, purpose::LOSS_OUT);
        let bytes = network.request_bytes;
        let transit = self.transit(client, attempt.pod, bytes, loss, network.rto);
        self.ledger.sent += 1;
        match transit {
            Transit::Sent { path, late } => {
                self.attempts[id].pending += 1;
                let draw = || key.draw(0, purpose::LINK_OUT);
                self.over(path, late, draw, Event::Reach(id.index()));
            }
            Transit::Swallowed => self.send_later(id, Event::Reach(id.index())),
        }
    }

    // === 5. the answer comes back ===

    /// The answer reaches the client proxy.
    pub(super) fn returned(&mut self, slot: u32) {
        let Some(id) = self.live_attempt(slot, Phase::Answering) else { return };
        let attempt = self.attempts[id];
        if attempt.is_held {
            return self.send_answer(id, Duration::ZERO);
        }
        if attempt.call.is_none() {
            self.ledger.delivered += 1;
            return self.close_attempt(id);
        }
        let client = self.upstreams[attempt.upstream as usize].pod;
        if let Some(later) = self.thaws_at(client, false) {
            self.attempts[id].pending += 1;
            self.queue.at(later, Event::Return(slot).pack());
            return self.stale();
        }
        self.ledger.delivered += 1;
        self.detach(id, attempt.outcome, true);
        let call = &mut self.calls[attempt.call];
        call.outcome = attempt.outcome;
        call.cause = attempt.cause;
        call.attempt = Id::NONE;
        let (worker, pod) = (u32::from(call.worker), call.pod);
        self.close_attempt(id);
        let proxy = &self.plan.parameters.proxy;
        let client = &mut self.pods[pod as usize];
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

    // === 6. another try, or the end ===

    /// A try ended without an answer.
    pub(super) fn fail_try(
        &mut self,
        id: Id<Call>,
        outcome: Outcome,
        cause: Option<crate::vocabulary::cause::CauseId>,
    ) {
        let call = &mut self.calls[id];
        call.attempt = Id::NONE;
        call.outcome = outcome;
        call.cause = cause;
        self.judge(id);
    }

    /// The last try's outcome stands in the call: try again, or end.
    fn judge(&mut self, id: Id<Call>) {
        let call = self.calls[id];
        let policy = &rule(self.plan, &call).retry;
        let upstream = &mut self.upstreams[call.upstream as usize];
        if call.holds_retry {
            // The slot is given back and asked for again.
            upstream.gauges.retries -= 1;
            self.calls[id].holds_retry = false;
        }
        if policy.retries == 0 || !retry::is_retriable(policy, call.outcome) {
            return self.end_call(id, call.outcome);
        }
        if policy.retries < u32::from(call.tries) {
            return self.end_call(id, call.outcome.flagged(ResponseFlag::URX));
        }
        let breaker = &self.plan.universe.clusters[upstream.cluster.index()].policy.breaker;
        if !upstream.gauges.admits_retry(breaker) {
            return self.end_call(id, call.outcome.flagged(ResponseFlag::UO));
        }
        upstream.gauges.retries += 1;
        let draw = call.key.draw(u32::from(call.tries), purpose::BACKOFF);
        let wait = retry::backoff(policy, u32::from(call.tries), draw);
        let call = &mut self.calls[id];
        call.holds_retry = true;
        call.pending += 1;
        self.queue.after(wait, Event::BackedOff(id.index()).pack());
    }

    /// The back-off is over.
    pub(super) fn backed_off(&mut self, slot: u32) {
        if let Some(id) = self.live_call(slot, Event::BackedOff(slot)) {
            self.try_endpoint(id);
        }
    }

    /// The end: told to whoever asked, exactly once.
    pub(super) fn end_call(&mut self, id: Id<Call>, outcome: Outcome) {
        let call = self.close_call(id);
        let root = matches!(call.parent, Parent::Traffic(_) | Parent::User(..));
        let latency = self.now.since(call.began);
        let cause = if outcome.is_ok() { None } else { call.cause };
        let (workload, batch) = (call.workload, call.batch);
        let attempts = u32::from(call.tries);
        let sample = Sample { began: call.began, latency, outcome, workload, attempts, batch };
        self.recorder.ended(self.now, &Ended { edge: call.edge, root, sample, cause });
        match call.parent {
            Parent::Traffic(_) => self.ledger.root_ended(self.now, latency),
            Parent::User(source, user) => {
                self.ledger.root_ended(self.now, latency);
                self.user_thinks(source, user, Some(call.key));
            }
            Parent::Visit(visit, required) => self.call_ended(visit, required, outcome, cause),
            Parent::Unsimulated => {}
        }
    }
}

/// The rule that a call follows.
pub(super) fn rule<'p>(plan: &'p Plan, call: &Call) -> &'p RouteRule {
    &plan.universe.routes[call.route.index()].rules[call.rule as usize]
}

/// The destination that a draw falls on, by relative weight.
fn weighted(split: &[(Destination, u32)], sum: u64, draw: u64) -> &Destination {
    let mut point = below(draw, usize::try_from(sum).unwrap_or(usize::MAX)) as u64;
    for (destination, weight) in split {
        match point.checked_sub(u64::from(*weight)) {
            Some(rest) => point = rest,
            None => return destination,
        }
    }
    unreachable!("a point below the sum of the weights")
}
