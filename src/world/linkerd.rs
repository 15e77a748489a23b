//! Linkerd's outbound proxies: what they keep of destinations, and how a request comes to its backend.
//!
//! ```text
//! app connects ── destination known? ── no: ask ── requests in flight ── route, backend ── queue ── endpoint
//!                      └ kept while the app's connection is open, and 5 s longer
//! ```
//!
//! Envoy's path begins with the same call and ends with the same attempt; between the two stands this.
//!
//! Source: linkerd2-proxy at 29637b64, as `model::linkerd` says part by part; docs/linkerd-traffic.md.
//! Left out: protocol detection; TCP that is no HTTP; destinations by IP; clients without a proxy, which go Envoy's
//! way; the time that the proxy's CPU takes for answers of its own.

use super::World;
use super::client::purpose;
use super::event::Event;
use super::linkerd_balancer::Balancer;
use super::state::{Attempt, Call, Connection};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::slab::{Id, Slab};
use crate::kernel::time::Time;
use crate::model::linkerd::answer::Answer;
use crate::model::linkerd::cache::Entry;
use crate::model::linkerd::distribution::Distribution;
use crate::model::linkerd::lookup::Lookup;
use crate::model::linkerd::queue::{InFlight, Limits};
use crate::model::linkerd::retry_budget::Budget;
use crate::plan::Plan;
use crate::plan::linkerd::Linkerd;
use crate::plan::route::Destination;
use crate::plan::universe::{ClusterId, ServiceId};
use crate::vocabulary::outcome::{Details, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// All of them.
pub(crate) struct Outbound {
    pub limits: Limits,
    /// By pod.
    pub proxies: BTreeMap<u32, Proxy>,
    /// By upstream.
    pub balancers: BTreeMap<u32, Balancer>,
    /// By the call's slot.
    ways: Vec<Way>,
    pub timers: Slab<Timer>,
    /// Edges whose clients open a connection for each request.
    per_request: BTreeSet<u32>,
    /// Destinations that nobody can be asked for.
    pub asking: BTreeSet<(u32, ServiceId)>,
}

/// A pod's proxy.
#[derive(Default)]
pub(crate) struct Proxy {
    pub in_flight: InFlight,
    pub destinations: BTreeMap<ServiceId, Known>,
}

/// A destination in one proxy.
pub(crate) struct Known {
    pub entry: Entry,
    pub lookup: Lookup,
    pub is_known: bool,
    /// The lookup took too long for those who waited.
    pub gave_up: bool,
    /// Connections of the app: with a request, and without.
    pub busy: u32,
    pub idle: u32,
    /// When it is dropped if nobody holds it.
    pub until: Time,
    pub forgets: Id<Timer>,
    pub looks: Id<Timer>,
    /// Calls that wait to know it.
    pub waiting: Vec<Id<Call>>,
    /// The backends that it has.
    pub backends: BTreeSet<u32>,
    /// What is left for retries.
    pub budget: Option<Budget>,
}

/// Where a call is.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each seen alone")]
pub(crate) struct Way {
    pub is_ours: bool,
    /// It has a connection of its app.
    pub holds: bool,
    pub in_flight: bool,
    /// It stands in the queue of its upstream.
    pub queued: bool,
    /// Its last attempt: the endpoint, when it was sent, whether the endpoint was judged by it.
    pub host: u32,
    pub sent: Time,
    pub is_judged: bool,
    pub retries: u32,
}

/// What is due at a time.
#[derive(Clone, Copy)]
pub(crate) struct Timer {
    pub pod: u32,
    pub due: Due,
}

#[derive(Clone, Copy)]
pub(crate) enum Due {
    FailFast { upstream: u32, until: Time },
    Connect { upstream: u32, host: u32 },
    Refused(Id<Connection>),
    Answered(ServiceId),
    GivesUp(ServiceId),
    Forget(ServiceId),
    Probation { upstream: u32, host: u32, until: Time },
}

impl Outbound {
    /// Of a plan, if its mesh is Linkerd; `edges` are the numbers of traffic's edges, and all edges.
    pub(crate) fn new(plan: &Plan, traffic: &[u32], edges: &[Edge]) -> Option<Box<Self>> {
        let linkerd = plan.linkerd.as_deref()?;
        let rules = &plan.linkerd_rules;
        let mut per_request: BTreeSet<u32> =
            rules.per_request.iter().map(|place| traffic[*place as usize]).collect();
        for (workload, service) in &rules.per_request_calls {
            let from = &plan.universe.workloads[workload.index()].app;
            let to = &plan.universe.services[service.index()].name;
            let is_it = |edge: &Edge| edge.2.is_none() && edge.0 == *from && edge.1 == *to;
            let found = edges.iter().zip(0..).filter(|(edge, _)| is_it(edge));
            per_request.extend(found.map(|(_, number)| number));
        }
        Some(Box::new(Self {
            limits: Limits::outbound_http(linkerd),
            proxies: BTreeMap::new(),
            balancers: BTreeMap::new(),
            ways: Vec::new(),
            timers: Slab::with_capacity(64),
            per_request,
            asking: BTreeSet::new(),
        }))
    }

    pub(super) fn way(&mut self, id: Id<Call>) -> &mut Way {
        &mut self.ways[id.index() as usize]
    }

    pub(super) fn known(&mut self, pod: u32, service: ServiceId) -> Option<&mut Known> {
        self.proxies.get_mut(&pod)?.destinations.get_mut(&service)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.proxies.bytes() + self.balancers.bytes() + self.ways.bytes()
    }
}

/// (source, destination, traffic).
type Edge = (String, String, Option<String>);

impl<'p> World<'p> {
    /// Linkerd's parameters.
    pub(super) fn own(&self) -> &'p Linkerd {
        self.plan.linkerd.as_deref().expect("a mesh of Linkerd")
    }

    pub(super) fn outbound(&mut self) -> &mut Outbound {
        self.linkerd.as_mut().expect("a mesh of Linkerd")
    }

    /// A call comes to its proxy, if that is one of Linkerd.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_linkerd(&mut self, id: Id<Call>) -> bool {
        let call = self.calls[id];
        if !self.pods[call.pod as usize].is_meshed {
            return false;
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

    /// Whether a call goes through a proxy of Linkerd.
    pub(super) fn is_linkerds(&self, id: Id<Call>) -> bool {
        let ways = self.linkerd.as_ref().map(|own| &own.ways);
        ways.and_then(|ways| ways.get(id.index() as usize)).is_some_and(|way| way.is_ours)
    }

    /// Whether clients of an edge keep their connections.
    pub(super) fn keeps(&self, edge: u32) -> bool {
        self.linkerd.as_ref().is_some_and(|own| !own.per_request.contains(&edge))
    }

    /// The destination of a call is known.
    pub(super) fn go_on_to(&mut self, id: Id<Call>) {
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

    /// By the service's route to a backend that does not fail fast.
    pub(super) fn seek_backend(&mut self, id: Id<Call>) {
        let plan = self.plan;
        let call = self.calls[id];
        let version = self.seen(call.pod).rds;
        let rule = self.config.route(call.service, version).and_then(|route| {
            let table = &plan.universe.routes[route.index()];
            Some((route, table.rule_of_class[call.class.index()]?))
        });
        let Some((route, number)) = rule else { return self.give(id, Answer::NoRoute) };
        let rule = &plan.universe.routes[route.index()].rules[number as usize];
        let record = &mut self.calls[id];
        (record.route, record.rule) = (route, number);
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
            None if call.tries != 0 => self.end_early(id, call.outcome),
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
        let outcome = self.outcome_of(answer);
        self.fail_try(id, outcome, None);
    }

    pub(super) fn outcome_of(&self, answer: Answer) -> Outcome {
        let details = match answer {
            Answer::FailFast => Details::LinkerdFailFast,
            Answer::ConnectTimeout(_) => Details::LinkerdConnectTimeout,
            Answer::RequestTimeout(_) => Details::LinkerdTimeout,
            Answer::ProfileTimeout(_) => Details::LinkerdProfileTimeout,
            Answer::NoRoute => Details::LinkerdNoRoute,
            Answer::Injected(_) => Details::LinkerdInjected,
            Answer::ConnectionError => Details::LinkerdConnectionError,
            _ => Details::LinkerdLoadShed,
        };
        let failfast = self.own().linkerd_outbound.failfast_status;
        let status = answer.status(u16::try_from(failfast).unwrap_or(504));
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
            | Details::DownstreamDisconnect => true,
            _ => !self.keeps(call.edge),
        };
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
        let (now, decay) = (self.now, self.own().linkerd_balancer.decay);
        let own = self.outbound();
        let way = *own.way(id);
        if is_answer && way.in_flight {
            own.way(id).in_flight = false;
            if let Some(proxy) = own.proxies.get_mut(&attempt.client) {
                proxy.in_flight.end();
            }
        }
        let endpoint = own.balancers.get_mut(&attempt.upstream);
        let endpoint = endpoint.and_then(|one| one.endpoints.get_mut(&attempt.host));
        if let Some(endpoint) = endpoint {
            endpoint.ewma.observe(now, now.since(way.sent), decay);
        }
        if is_answer {
            self.judge_by(id, attempt.outcome.status);
        }
    }

    // === timers ===

    pub(super) fn set_timer(&mut self, pod: u32, at: Time, due: Due) -> Id<Timer> {
        let id = self.outbound().timers.insert(Timer { pod, due });
        let slot = id.index();
        let event = match due {
            Due::FailFast { .. } => Event::FailFast(slot),
            Due::Connect { .. } | Due::Refused(_) => Event::Reconnect(slot),
            Due::Answered(_) | Due::GivesUp(_) => Event::Lookup(slot),
            Due::Probation { .. } => Event::Probation(slot),
            Due::Forget(_) => Event::Forget(slot),
        };
        self.queue.at(at.max(self.now), event.pack());
        id
    }

    /// What was due at this time.
    pub(super) fn linkerd_is_due(&mut self, slot: u32) {
        let timers = &mut self.outbound().timers;
        let id = timers.id_at(slot).expect("a timer that is set");
        let Timer { pod, due } = timers.remove(id).expect("a timer that is set");
        let has_done = match due {
            Due::FailFast { upstream, until } => self.fail_fast(upstream, until),
            Due::Connect { upstream, host } => self.connect_again(upstream, host, id),
            Due::Refused(connection) => self.close_refused(connection),
            Due::Answered(service) => self.destination_told(pod, service, id),
            Due::GivesUp(service) => self.lookup_gives_up(pod, service, id),
            Due::Forget(service) => self.forget_destination(pod, service, id),
            Due::Probation { upstream, host, until } => self.begin_probation(upstream, host, until),
        };
        if !has_done {
            self.stale();
        }
    }

    /// Whose timer it is.
    pub(super) fn owner_of_timer(&self, slot: u32) -> u64 {
        let timer = self.linkerd.as_ref().and_then(|own| own.timers.at(slot));
        timer.map_or(0, |(_, timer)| self.pods[timer.pod as usize].hash)
    }

    /// A pod's proxy is gone, and all that it knew.
    pub(super) fn forget_linkerd(&mut self, pod: u32) {
        let upstreams = self.pods[pod as usize].upstreams.clone();
        let Some(own) = &mut self.linkerd else { return };
        own.proxies.remove(&pod);
        own.asking.retain(|(one, _)| *one != pod);
        for (_, index) in upstreams {
            own.balancers.remove(&index);
        }
    }
}
