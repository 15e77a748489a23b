//! A request on its way through Linkerd's outbound proxy, from the app to a backend, and its end.
//!
//! ```text
//! app connects ── destination known? ── no: ask ── requests in flight ── route, backend ── queue ── endpoint
//!                      └ kept while the app's connection is open, and 5 s longer
//! ```
//!
//! Envoy's path begins with the same call and ends with the same attempt; between the two stands this.
//!
//! Source: linkerd2-proxy linkerd/app/outbound/src/http/{server,logical}.rs; `model::linkerd::{distribution, answer}`.
//! Left out: answers before which the client's own proxy closes its connection, apart from those named here.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::linkerd::{Due, Way};
use super::state::{Attempt, Call};
use crate::kernel::slab::Id;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::distribution::Distribution;
use crate::plan::linkerd::wire::AppProtocol;
use crate::plan::route::Destination;
use crate::plan::universe::{ClusterId, RouteId, ServiceId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// A call comes to its proxy, if that is one of Linkerd.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_linkerd(&mut self, id: Id<Call>) -> bool {
        let call = self.calls[id];
        if !self.pods[call.pod as usize].is_meshed {
            return self.pass_by_routes(id);
        }
        let own = self.outbound();
        let slot = id.index() as usize;
        if own.ways.len() <= slot {
            own.ways.resize(slot + 1, Way::default());
        }
        own.ways[slot] = Way { is_ours: true, is_judged: true, ..Way::default() };
        self.use_destination(id);
        true
    }

    /// A client without a proxy knows no routes and no splits: it comes to the service itself, if that has any.
    fn pass_by_routes(&mut self, id: Id<Call>) -> bool {
        let Call { pod, service, .. } = self.calls[id];
        let Some(cluster) = self.outbound().bypasses.get(&service).copied() else { return false };
        let upstream = self.upstream(pod, cluster);
        self.catch_up(upstream);
        let route = self.plan.universe.services[service.index()].route;
        let call = &mut self.calls[id];
        (call.route, call.rule, call.upstream) = (route, 0, upstream);
        self.try_endpoint(id);
        true
    }

    /// The destination of a call is known.
    pub(super) fn go_on_to(&mut self, id: Id<Call>) {
        if self.is_of_bytes(id) {
            return self.carry_bytes(id);
        }
        let pod = self.calls[id].pod;
        let max = self.own().linkerd_outbound.max_in_flight;
        let own = self.outbound();
        let answer = own.proxies.entry(pod).or_default().in_flight.begin(max);
        own.way(id).in_flight = answer.is_none();
        match answer {
            Some(answer) => self.give(id, answer),
            None => self.seek_backend(id),
        }
    }

    /// The route of a call's service, and the rule of its that the call goes by.
    pub(super) fn rule_of(&self, id: Id<Call>) -> Option<(RouteId, u16)> {
        let call = &self.calls[id];
        let route = self.config.route(call.service, self.seen(call.pod).rds)?;
        let table = &self.plan.universe.routes[route.index()];
        Some((route, table.rule_of_class[call.class.index()]?))
    }

    /// By the service's route to a backend that does not fail fast.
    pub(super) fn seek_backend(&mut self, id: Id<Call>) {
        let plan = self.plan;
        let call = self.calls[id];
        let Some((route, number)) = self.rule_of(id) else {
            return self.give(id, Answer::NoRoute);
        };
        let rule = &plan.universe.routes[route.index()].rules[number as usize];
        let record = &mut self.calls[id];
        (record.route, record.rule) = (route, number);
        if self.outbound().broken.contains(&route) {
            return self.end_early(id, Outcome::failure(Details::LinkerdPanic));
        }
        let record = self.calls[id];
        if self.outbound().way(id).retries == 0
            && let Some(lane) = self.limit_lane(&record)
        {
            let timer = self.queue.after_lane(lane, Event::RouteTimeout(id.index()).pack());
            self.calls[id].timeout = timer;
        }
        self.calls[id].per_try = self.header_lane(id);
        if let Some(status) = rule.direct {
            let outcome = Outcome { status, ..Outcome::failure(Details::DirectResponse) };
            return self.end_early(id, outcome);
        }
        let weights: Vec<u32> = rule.split.iter().map(|(_, weight)| *weight).collect();
        let backends: Vec<Option<u32>> = (rule.split.iter())
            .map(|(destination, _)| match destination {
                Destination::Cluster(cluster) => {
                    Some(self.backend(call.pod, call.service, *cluster))
                }
                Destination::Missing(_) => None,
            })
            .collect();
        let draw = call.key.draw(u32::from(call.tries), purpose::SPLIT);
        let own = self.outbound();
        let is_ready = |place: usize| {
            // One that does not exist answers by itself.
            let balancer = backends[place].and_then(|index| own.balancers.get(&index));
            balancer.is_none_or(|one| !one.queue.is_failing_fast())
        };
        match Distribution::new(&weights).pick(draw, is_ready).map(|place| backends[place]) {
            // A retry that no backend takes: what was before it counts.
            None if self.outbound().way(id).retries != 0 => {
                self.count_linkerd(|counts| counts.retry_overflow += 1);
                self.end_early(id, call.outcome);
            }
            None => self.give(id, Answer::LoadShed),
            Some(None) => self.give(id, Answer::Injected(500)),
            Some(Some(index)) => self.enter_queue(id, index),
        }
    }

    /// The balancer of a backend, which is made where it is not there yet.
    pub(super) fn backend(&mut self, pod: u32, service: ServiceId, cluster: ClusterId) -> u32 {
        let index = self.upstream(pod, cluster);
        if let Some(known) = self.outbound().known(pod, service) {
            known.backends.insert(index);
        }
        self.make_balancer(index, service);
        index
    }

    // === answers ===

    /// The proxy answers by itself.
    pub(super) fn give(&mut self, id: Id<Call>, answer: Answer) {
        let outcome = self.outcome_of(answer, self.app_protocol(self.calls[id].service));
        let is_alone = matches!(answer, Answer::FailFast | Answer::LoadShed);
        let cause = if is_alone { self.lost_cause(id) } else { None };
        self.fail_try(id, outcome, cause);
    }

    /// Why the backends of a call's destination are not ready, if a connection has failed.
    fn lost_cause(&self, id: Id<Call>) -> Option<CauseId> {
        let (call, own) = (&self.calls[id], self.linkerd.as_ref()?);
        let known = own.proxies.get(&call.pod)?.destinations.get(&call.service)?;
        known.backends.iter().find_map(|index| own.balancers.get(index)?.lost)
    }

    /// A connection of a balancer could not be made.
    #[cold]
    pub(super) fn note_loss(&mut self, index: u32, cause: Option<CauseId>) {
        let own = self.linkerd.as_mut().expect("a mesh of Linkerd");
        if let Some(balancer) = own.balancers.get_mut(&index) {
            balancer.lost = cause.or(balancer.lost);
        }
    }

    /// As the client sees an answer of a proxy: over gRPC in an HTTP 200, without HTTP as the end of its connection.
    pub(super) fn outcome_of(&self, answer: Answer, protocol: AppProtocol) -> Outcome {
        let details = match answer {
            Answer::FailFast => Details::LinkerdFailFast,
            Answer::ConnectTimeout(_) => Details::LinkerdConnectTimeout,
            Answer::RequestTimeout(_) => Details::LinkerdTimeout,
            Answer::ProfileTimeout(_) => Details::LinkerdProfileTimeout,
            Answer::ResponseTimeout(_) => Details::LinkerdResponseTimeout,
            Answer::IdleTimeout(_) => Details::LinkerdIdleTimeout,
            Answer::NoRoute => Details::LinkerdNoRoute,
            Answer::Injected(_) => Details::LinkerdInjected,
            Answer::Unauthorized => Details::LinkerdUnauthorized,
            Answer::RateLimited(_) => Details::LinkerdRateLimited,
            Answer::ConnectionError => Details::LinkerdConnectionError,
            _ => Details::LinkerdLoadShed,
        };
        let failfast = self.own().linkerd_outbound.failfast_status;
        let status = answer.status(u16::try_from(failfast).unwrap_or(504));
        let status = match protocol {
            AppProtocol::Grpc => 200,
            // The connection is closed.
            _ if protocol.is_tcp() => 0,
            _ => status,
        };
        Outcome { status, ..Outcome::failure(details) }
    }

    /// A call is over, or gone with its pod: what it held is given back.
    #[cold]
    pub(super) fn leave_linkerd(&mut self, id: Id<Call>, details: Details) {
        if !self.is_linkerds(id) {
            return;
        }
        let call = self.calls[id];
        let now = self.now;
        let way = std::mem::take(self.outbound().way(id));
        // Without HTTP an end that is no answer is that of the connection.
        let is_tcp = self.app_protocol(call.service).is_tcp();
        // What an endpoint's proxy has answered is that one's error.
        if !is_tcp && (!way.is_answered || details.is_of_linkerds_limits()) {
            self.count_linkerd(|counts| counts.outbound.count(details));
        }
        if let Some(proxy) = self.outbound().proxies.get_mut(&call.pod)
            && way.in_flight
        {
            proxy.in_flight.end();
        }
        if !way.holds {
            return;
        }
        let closes = match details {
            Details::LinkerdFailFast
            | Details::LinkerdLoadShed
            | Details::LinkerdConnectTimeout
            | Details::LinkerdConnectionError
            | Details::LinkerdProfileTimeout
            | Details::LinkerdUnknown
            | Details::LinkerdPanic
            | Details::DownstreamDisconnect => true,
            _ => !self.keeps(call.edge),
        };
        let closes = closes || (is_tcp && !details.is_of_upstream());
        let idle = self.own().linkerd_outbound.discovery_idle;
        let Some(known) = self.outbound().known(call.pod, call.service) else { return };
        known.busy -= 1;
        if !closes {
            known.idle += 1;
            return;
        }
        let Some(until) = known.entry.leave(now, idle) else { return };
        known.until = until;
        if known.forgets.is_none() {
            let timer = self.set_timer(call.pod, until, Due::Forget(call.service));
            self.outbound().known(call.pod, call.service).expect("it is there").forgets = timer;
        }
    }

    /// The header of an answer is there, or the attempt is given up: its endpoint is judged by it.
    #[cold]
    #[inline(never)]
    pub(super) fn heard_by_linkerd(&mut self, attempt: &Attempt, is_answer: bool) {
        let id = attempt.call;
        if !self.is_linkerds(id) {
            return;
        }
        if is_answer && self.is_of_bytes(id) {
            self.bytes_are_back(attempt);
        } else if is_answer && self.is_idle_in_excess(attempt) {
            self.retire_connection(attempt.connection);
        }
        if !(is_answer && self.penalize(id, attempt.outcome)) {
            let (now, decay) = (self.now, self.own().linkerd_balancer.decay);
            let own = self.outbound();
            let way = *own.way(id);
            let endpoint = own.balancers.get_mut(&attempt.upstream);
            let endpoint = endpoint.and_then(|one| one.endpoints.get_mut(&attempt.host));
            if let Some(endpoint) = endpoint {
                endpoint.ewma.observe(now, now.since(way.sent), decay);
            }
        }
        if is_answer {
            self.outbound().way(id).is_answered = true;
            self.judge_by(id, attempt.outcome);
        }
    }
}
