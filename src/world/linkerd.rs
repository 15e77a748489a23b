//! Linkerd's outbound proxies: what they hold, and what is due when.
//!
//! Here stand the records; `linkerd_lookup` keeps destinations, `linkerd_route` leads requests to backends,
//! `linkerd_balancer` has these with their queues, `linkerd_endpoint` what is ready, `linkerd_answers` outcomes.
//!
//! Source: linkerd2-proxy at 29637b64, as `model::linkerd` says part by part; docs/linkerd-traffic.md.
//! Left out: destinations by IP; clients without a proxy, which go Envoy's
//! way; the time that the proxy's CPU takes for answers of its own.

use super::World;
use super::compiled::Compiled;
use super::event::Event;
use super::linkerd_balancer::Balancer;
use super::linkerd_client::Away;
use super::linkerd_failover::Failovers;
use super::linkerd_inbound::Inbound;
use super::state::{Call, Connection};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::slab::{Id, Slab};
use crate::kernel::time::Time;
use crate::model::linkerd::cache::Entry;
use crate::model::linkerd::distribution::Distribution;
use crate::model::linkerd::lookup::Lookup;
use crate::model::linkerd::queue::InFlight;
use crate::model::linkerd::retry_budget::Budget;
use crate::observe::linkerd::LinkerdCounts;
use crate::plan::Plan;
use crate::plan::linkerd::Linkerd;
use crate::plan::route::{Destination, RouteRule};
use crate::plan::universe::{ClusterId, RouteId, ServiceId};
use std::collections::{BTreeMap, BTreeSet};

/// All of them.
pub(crate) struct Outbound {
    pub inbound: Inbound,
    /// By pod.
    pub proxies: BTreeMap<u32, Proxy>,
    /// By upstream.
    pub balancers: BTreeMap<u32, Balancer>,
    /// By the call's slot.
    pub ways: Vec<Way>,
    pub timers: Slab<Timer>,
    pub failovers: Failovers,
    /// Route tables of which the proxy panics: all backends of a rule have weight 0.
    pub broken: BTreeSet<RouteId>,
    /// Services with routes or splits, and their clusters, for clients without a proxy.
    pub bypasses: BTreeMap<ServiceId, ClusterId>,
    /// Edges whose clients open a connection for each request.
    per_request: BTreeSet<u32>,
    /// Destinations that nobody can be asked for.
    pub asking: BTreeSet<(u32, ServiceId)>,
    pub away: Away,
    pub counts: LinkerdCounts,
    /// Proxies that wait for their first certificate, with the event at which they say so.
    pub booting: BTreeMap<u32, Ticket>,
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
    pub has_answer: bool,
    /// The lookup took too long for those who waited.
    pub gave_up: bool,
    /// Connections of the app: with a request, and without.
    pub busy: u32,
    pub idle: u32,
    /// When it is dropped if nobody holds it.
    pub until: Time,
    pub forgets: Id<Timer>,
    pub looks: Id<Timer>,
    pub gives_up: Id<Timer>,
    /// Its answer waits for a client that is not connected again yet.
    pub is_late: bool,
    /// Calls that wait to know it.
    pub waiting: Vec<Id<Call>>,
    /// The backends that it has, and the routes by which they were made.
    pub backends: BTreeSet<u32>,
    pub route: Option<RouteId>,
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
    /// It opened that connection.
    pub is_new: bool,
    pub in_flight: bool,
    /// It stands in the queue of its upstream.
    pub queued: bool,
    /// Its last attempt: the endpoint, when it was sent, whether the endpoint was judged by it, and whether
    /// the server's side has answered it.
    pub host: u32,
    pub sent: Time,
    pub is_judged: bool,
    pub is_answered: bool,
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
    FailFast {
        upstream: u32,
        until: Time,
    },
    Connect {
        upstream: u32,
        host: u32,
    },
    Refused(Id<Connection>),
    Answered(ServiceId),
    GivesUp(ServiceId),
    Forget(ServiceId),
    Policy,
    Probation {
        upstream: u32,
        host: u32,
        until: Time,
    },
    /// Of the queue before the app.
    AppFailFast {
        until: Time,
    },
    AppConnect,
    /// The client has said nothing for long: its connection is one of bytes.
    Detected(Id<Call>),
}

impl Outbound {
    /// Of a plan, if its mesh is Linkerd.
    pub(crate) fn new(plan: &Plan, compiled: &Compiled) -> Option<Box<Self>> {
        let linkerd = plan.linkerd.as_deref()?;
        let rules = &plan.linkerd_rules;
        let mut per_request: BTreeSet<u32> = rules
            .per_request
            .iter()
            .map(|at| compiled.traffic_targets[*at as usize].edge)
            .collect();
        for (workload, service) in &rules.per_request_calls {
            let from = &plan.universe.workloads[workload.index()].app;
            let to = &plan.universe.services[service.index()].name;
            let is_it = |edge: &Edge| edge.2.is_none() && edge.0 == *from && edge.1 == *to;
            let found = compiled.edges.iter().zip(0..).filter(|(edge, _)| is_it(edge));
            per_request.extend(found.map(|(_, number)| number));
        }
        Some(Box::new(Self {
            inbound: Inbound::new(plan, linkerd),
            proxies: BTreeMap::new(),
            balancers: BTreeMap::new(),
            ways: Vec::new(),
            timers: Slab::with_capacity(64),
            failovers: Failovers::new(plan),
            broken: broken(plan),
            bypasses: bypasses(plan),
            per_request,
            asking: BTreeSet::new(),
            away: Away::default(),
            counts: LinkerdCounts::default(),
            booting: BTreeMap::new(),
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
        self.proxies.bytes()
            + self.balancers.bytes()
            + self.ways.bytes()
            + self.inbound.apps.bytes()
    }
}

/// Two backends or more, and none with a weight.
fn broken(plan: &Plan) -> BTreeSet<RouteId> {
    let is_broken = |rule: &RouteRule| {
        let weights: Vec<u32> = rule.split.iter().map(|(_, weight)| *weight).collect();
        Distribution::new(&weights) == Distribution::Invalid
    };
    let tables = plan.universe.routes.iter().zip(0..);
    let found = tables.filter(|(table, _)| table.rules.iter().any(is_broken));
    found.map(|(_, number)| RouteId(number)).collect()
}

/// Services of which some table is more than a way to all of their pods.
fn bypasses(plan: &Plan) -> BTreeMap<ServiceId, ClusterId> {
    let mut found = BTreeMap::new();
    for table in &plan.universe.routes {
        let name = &plan.universe.services[table.service.index()].name;
        let whole = plan.universe.clusters.iter().zip(0..).find(|(one, _)| one.name == *name);
        let Some((_, number)) = whole else { continue };
        let whole = ClusterId(number);
        let is_plain = |rule: &RouteRule| {
            rule.direct.is_none()
                && matches!(&rule.split[..], [(Destination::Cluster(one), _)] if *one == whole)
        };
        if !table.rules.iter().all(is_plain) {
            found.insert(table.service, whole);
        }
    }
    found
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

    /// Whether a call goes through a proxy of Linkerd.
    pub(super) fn is_linkerds(&self, id: Id<Call>) -> bool {
        let ways = self.linkerd.as_ref().map(|own| &own.ways);
        ways.and_then(|ways| ways.get(id.index() as usize)).is_some_and(|way| way.is_ours)
    }

    /// Whether clients of an edge keep their connections.
    pub(super) fn keeps(&self, edge: u32) -> bool {
        self.linkerd.as_ref().is_some_and(|own| !own.per_request.contains(&edge))
    }

    /// Counts, if the warm-up is over.
    pub(super) fn count_linkerd(&mut self, count: impl FnOnce(&mut LinkerdCounts)) {
        if Time::ZERO + self.plan.warmup <= self.now {
            count(&mut self.outbound().counts);
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
            Due::Policy => Event::PolicyTold(slot),
            Due::AppFailFast { .. } => Event::AppFailFast(slot),
            Due::AppConnect => Event::AppConnect(slot),
            Due::Detected(_) => Event::Detected(slot),
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
            Due::Policy => self.policy_told(pod, id),
            Due::Probation { upstream, host, until } => self.begin_probation(upstream, host, until),
            Due::AppFailFast { until } => self.app_fails_fast(pod, until),
            Due::AppConnect => self.app_is_tried(pod, id),
            Due::Detected(call) => self.client_is_silent(call),
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

    /// A pod's proxy starts.
    pub(super) fn start_linkerd(&mut self, pod: u32) {
        if let Some(own) = &mut self.linkerd {
            own.booting.remove(&pod);
            self.begin_policy(pod);
        }
    }

    /// A pod's proxy is gone, and all that it knew.
    pub(super) fn forget_linkerd(&mut self, pod: u32) {
        let upstreams = self.pods[pod as usize].upstreams.clone();
        let Some(own) = &mut self.linkerd else { return };
        own.proxies.remove(&pod);
        own.booting.remove(&pod);
        own.inbound.forget(pod);
        own.asking.retain(|(one, _)| *one != pod);
        for (_, index) in upstreams {
            own.balancers.remove(&index);
        }
    }
}
