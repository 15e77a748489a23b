//! The plan as the hot path wants it: samplers built, lanes made, edges numbered.
//!
//! Source: derived from the plan alone.
//! Left out: anything that changes while running.

use super::balance::{is_even, uneven};
use super::checks::checked_by;
use super::definitions::originals;
use super::has::Has;
use super::samplers::Samplers;
use super::state::NONE;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::distribution::Distribution;
use crate::kernel::queue::{LaneId, Queue};
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::plan::Plan;
use crate::plan::filter::Filter;
use crate::plan::policy::RetryOn;
use crate::plan::route::{Destination, RouteRule};
use crate::plan::universe::{
    CallSite, ClassId, Cluster, ClusterId, RouteId, ServiceId, Step, WorkloadId,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Tables made from the plan once.
pub(crate) struct Compiled {
    /// By workload.
    pub programs: Vec<Vec<CompiledStep>>,
    /// The call sites of all programs.
    pub calls: Vec<CompiledCall>,
    /// By workload: from creation to the start of containers.
    pub start_times: Vec<Sampler>,
    /// By workload: clusters that it belongs to.
    pub clusters_of: Vec<Vec<ClusterId>>,
    /// By route table and rule.
    pub rules: Vec<Vec<CompiledRule>>,
    /// By cluster.
    pub clusters: Vec<CompiledCluster>,
    /// (source, destination, traffic) by edge.
    pub edges: Vec<(String, String, Option<String>)>,
    /// By source of traffic.
    pub traffic_targets: Vec<Target>,
    /// What it has that plans seldom have.
    pub has: Has,
    /// By cluster that stands for another: that one.
    pub originals: BTreeMap<ClusterId, ClusterId>,
    /// By workload: the clusters that its proxies check.
    pub checked_by: Vec<Vec<ClusterId>>,
    /// The edges of copies, by the edge of their call and their route table.
    mirror_edges: BTreeMap<(u32, RouteId), u32>,
    /// The edges of calls that filters make, by workload and service.
    asked_edges: BTreeMap<(WorkloadId, ServiceId), u32>,
    pub watch_delay: LaneId,
    /// Of the tables of all samplers, also of those of others.
    pub sampler_bytes: usize,
}

/// A step of a program.
pub(crate) enum CompiledStep {
    Work(Sampler),
    /// A range of [`Compiled::calls`], and whether the caller keeps its worker.
    Calls {
        sites: Range<usize>,
        holds_worker: bool,
    },
    /// The same, of calls that end with the caller's own request, or that have a client of the caller, which
    /// leaves or sends again.
    WatchedCalls {
        sites: Range<usize>,
        holds_worker: bool,
    },
    /// The proxy sends the request on, to a service with its edge by that which was called, or by none to one for
    /// all; the class is the request's own.
    Forward(BTreeMap<Option<ServiceId>, (ServiceId, u32)>),
}

/// Where a request goes, and which edge counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub to: ServiceId,
    pub class: ClassId,
    pub edge: u32,
}

/// A call site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledCall {
    pub target: Target,
    /// Its number among the calls that are never sampled; [`NONE`] for all others.
    pub rare: u32,
    pub probability: f64,
    pub required: bool,
    pub index: u32,
}

/// A rule's timers, and what else a call asks of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledRule {
    /// The destination, if there is one and it exists.
    pub only: Option<ClusterId>,
    /// An answer below 400 is never tried again.
    pub takes_success: bool,
    pub timeout: Option<LaneId>,
    pub per_try: Option<LaneId>,
    pub idle: Option<LaneId>,
    /// The sum of the weights of its split.
    pub weights: u64,
}

/// A cluster's timers.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCluster {
    /// Of its name: an index would change with clusters that have nothing to do with it.
    pub hash: u64,
    pub connect_timeout: LaneId,
    /// Limit on an attempt with all of its answer.
    pub max_stream: Option<LaneId>,
    pub idle_timeout: Option<LaneId>,
    /// The same on the clock of traffic, for requests that are sampled.
    pub idle_timeout_of_traffic: Option<LaneId>,
    /// Time to the churn of a connection; none without churn.
    pub churn: Option<Sampler>,
    /// Age at which a connection is drained; zero for none.
    pub max_duration: Duration,
    /// Its endpoints are all alike, now and later.
    pub is_even: bool,
}

impl CompiledCluster {
    fn new(
        cluster: &Cluster,
        is_sampled: bool,
        is_even: bool,
        (queue, samplers): (&mut Queue, &mut Samplers),
    ) -> Self {
        let pool = &cluster.policy.pool;
        let churn = (0.0 < pool.churn_per_s).then(|| {
            let mean = Duration::from_s_f64(1.0 / pool.churn_per_s);
            samplers.of(&Distribution::Exponential { mean })
        });
        Self {
            hash: name_hash(&cluster.name),
            connect_timeout: queue.lane(pool.connect_timeout),
            max_stream: optional(queue, pool.max_stream_duration),
            idle_timeout: optional(queue, pool.idle_timeout),
            idle_timeout_of_traffic: (is_sampled && !pool.idle_timeout.is_zero())
                .then(|| queue.pausable_lane(pool.idle_timeout)),
            churn,
            max_duration: pool.max_duration,
            is_even,
        }
    }
}

impl Compiled {
    /// Compiles `plan`; lanes are made in `queue`.
    pub(crate) fn new(plan: &Plan, queue: &mut Queue, samplers: &mut Samplers) -> Self {
        let universe = &plan.universe;
        let mut edges = Edges::default();
        let traffic_target = |traffic: &crate::plan::traffic::Traffic, edges: &mut Edges| {
            let app = &universe.workloads[traffic.from.index()].app;
            let source = if traffic.external { &traffic.id } else { app }.clone();
            let to = universe.services[traffic.to.index()].name.clone();
            let edge = edges.number(source, to, Some(traffic.id.clone()));
            Target { to: traffic.to, class: traffic.class, edge }
        };
        let traffic_targets =
            plan.traffic.iter().map(|one| traffic_target(one, &mut edges)).collect();
        let rules = rules(plan, queue);
        let uneven = uneven(plan);
        let clusters = universe.clusters.iter().map(|cluster| {
            CompiledCluster::new(
                cluster,
                plan.sampling.is_some(),
                is_even(cluster, &uneven),
                (queue, samplers),
            )
        });
        let clusters = clusters.collect();
        let mut clusters_of = vec![Vec::new(); universe.workloads.len()];
        for (cluster, id) in universe.clusters.iter().zip(0..) {
            cluster.workloads.iter().for_each(|one| clusters_of[one.index()].push(ClusterId(id)));
        }
        let start_times = universe.workloads.iter().map(|one| samplers.of(&one.start_time));
        let start_times = start_times.collect();
        let (programs, calls) = programs(plan, &mut edges, samplers);
        let asked_edges = asked_edges(plan, &mut edges);
        let mirror_edges = mirror_edges(plan, &mut edges);
        Self {
            has: Has::new(plan),
            originals: originals(plan),
            checked_by: checked_by(plan),
            mirror_edges,
            asked_edges,
            programs,
            calls,
            start_times,
            clusters_of,
            rules,
            clusters,
            edges: edges.all,
            traffic_targets,
            watch_delay: queue.lane(plan.parameters.kubernetes.watch_delay),
            sampler_bytes: 0,
        }
    }

    /// The edge of the calls that a workload's filters make to a service.
    pub(crate) fn asked_edge(&self, workload: WorkloadId, service: ServiceId) -> u32 {
        self.asked_edges[&(workload, service)]
    }

    /// The edge of the copies of an edge's calls by a route table.
    pub(crate) fn mirror_edge(&self, edge: u32, route: RouteId) -> Option<u32> {
        self.mirror_edges.get(&(edge, route)).copied()
    }

    /// Whether a workload is a proxy that sends requests on.
    pub(crate) fn forwards(&self, workload: WorkloadId) -> bool {
        matches!(self.programs[workload.index()].first(), Some(CompiledStep::Forward(_)))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let edge = |(source, destination, traffic): &(String, String, Option<String>)| {
            source.bytes() + destination.bytes() + traffic.bytes()
        };
        self.sampler_bytes
            + self.programs.bytes()
            + self.programs.iter().map(Vec::bytes).sum::<usize>()
            + self.calls.bytes()
            + self.start_times.bytes()
            + self.clusters_of.bytes()
            + self.clusters_of.iter().map(Vec::bytes).sum::<usize>()
            + self.rules.bytes()
            + self.rules.iter().map(Vec::bytes).sum::<usize>()
            + self.clusters.bytes()
            + self.edges.bytes()
            + self.edges.iter().map(edge).sum::<usize>()
            + self.traffic_targets.bytes()
    }
}

/// By route table and rule: its timers, and what a call asks of it.
fn rules(plan: &Plan, queue: &mut Queue) -> Vec<Vec<CompiledRule>> {
    let mut rules = Vec::new();
    for table in &plan.universe.routes {
        let rule = |rule: &RouteRule| CompiledRule {
            only: match rule.split.as_slice() {
                [(Destination::Cluster(cluster), _)] if rule.direct.is_none() => Some(*cluster),
                _ => None,
            },
            takes_success: rule.retry.statuses.is_empty()
                && (plan.replies.is_empty() || !rule.retry.on.has(RetryOn::ON_HEADERS)),
            timeout: optional(queue, shorter(rule.timeout, rule.max_stream_duration)),
            per_try: optional(
                queue,
                shorter(rule.retry.per_try_timeout, rule.retry.per_try_idle_timeout),
            ),
            idle: optional(queue, rule.idle_timeout),
            weights: rule.split.iter().map(|(_, weight)| u64::from(*weight)).sum(),
        };
        rules.push(table.rules.iter().map(rule).collect());
    }
    rules
}

/// A lane for a delay that is not zero.
fn optional(queue: &mut Queue, delay: Duration) -> Option<LaneId> {
    (!delay.is_zero()).then(|| queue.lane(delay))
}

/// The shorter of two limits, of which zero is none.
pub(super) fn shorter(one: Duration, other: Duration) -> Duration {
    if one.is_zero() || (!other.is_zero() && other < one) { other } else { one }
}

pub(crate) fn some_rule(plan: &Plan, is: impl Fn(&RouteRule) -> bool) -> bool {
    plan.universe.routes.iter().any(|table| table.rules.iter().any(&is))
}

/// The edges of the copies of calls.
fn mirror_edges(plan: &Plan, edges: &mut Edges) -> BTreeMap<(u32, RouteId), u32> {
    let universe = &plan.universe;
    let mut all = BTreeMap::new();
    let tables = universe.routes.iter();
    for table in tables.filter(|one| one.rules.iter().any(|rule| !rule.mirrors.is_empty())) {
        let name = &universe.services[table.service.index()].name;
        for (edge, number) in edges.all.clone().iter().zip(0..).filter(|(edge, _)| edge.1 == *name)
        {
            for mirror in table.rules.iter().flat_map(|rule| &rule.mirrors) {
                let to = universe.routes[mirror.route.index()].service;
                let to = universe.services[to.index()].name.clone();
                all.insert((number, mirror.route), edges.number(edge.0.clone(), to, None));
            }
        }
    }
    all
}

/// The edges of the calls that filters make.
fn asked_edges(plan: &Plan, edges: &mut Edges) -> BTreeMap<(WorkloadId, ServiceId), u32> {
    let mut all = BTreeMap::new();
    for (workload, id) in plan.universe.workloads.iter().zip(0..) {
        for filter in workload.filters.iter().chain(&workload.inbound) {
            let service = match filter {
                Filter::ExtAuthz(authz) => authz.service,
                Filter::GlobalRateLimit(limit) => limit.service,
                _ => continue,
            };
            let to = plan.universe.services[service.index()].name.clone();
            let edge = edges.number(workload.app.clone(), to, None);
            all.insert((WorkloadId(id), service), edge);
        }
    }
    all
}

/// Every workload's program, whose edges are numbered as they are met, and all call sites.
fn programs(
    plan: &Plan,
    edges: &mut Edges,
    samplers: &mut Samplers,
) -> (Vec<Vec<CompiledStep>>, Vec<CompiledCall>) {
    let universe = &plan.universe;
    let (mut programs, mut sites) = (Vec::new(), Vec::new());
    for (workload, id) in universe.workloads.iter().zip(0..) {
        let id = WorkloadId(id);
        let is_watched = plan.cancelling.contains(&id)
            || plan.deadlines.contains(&id)
            || plan.call_clients.contains_key(&id);
        let mut edge_to = |to: ServiceId| {
            let name = universe.services[to.index()].name.clone();
            edges.number(workload.app.clone(), name, None)
        };
        let call = |call: &CallSite, edge: u32| CompiledCall {
            target: Target { to: call.to, class: call.class, edge },
            rare: NONE,
            probability: call.probability,
            required: call.required,
            index: call.index,
        };
        let mut step = |step: &Step| match step {
            Step::Work(time) => CompiledStep::Work(samplers.of(time)),
            Step::Forward(to) => CompiledStep::Forward([(None, (*to, edge_to(*to)))].into()),
            Step::Onward(ways) => {
                let way =
                    |(called, to): (&ServiceId, &ServiceId)| (Some(*called), (*to, edge_to(*to)));
                CompiledStep::Forward(ways.iter().map(way).collect())
            }
            Step::Calls(calls) => {
                let first = sites.len();
                sites.extend(calls.iter().map(|one| call(one, edge_to(one.to))));
                let holds_worker = calls.iter().any(|call| call.holds_worker);
                let sites = first..sites.len();
                if is_watched {
                    CompiledStep::WatchedCalls { sites, holds_worker }
                } else {
                    CompiledStep::Calls { sites, holds_worker }
                }
            }
        };
        programs.push(workload.program.iter().map(&mut step).collect());
    }
    (programs, sites)
}

/// Edges as they are numbered: by first mention, traffic first, then workloads in name order.
#[derive(Default)]
struct Edges {
    all: Vec<(String, String, Option<String>)>,
    numbers: BTreeMap<(String, String, Option<String>), u32>,
}

impl Edges {
    fn number(&mut self, source: String, to: String, traffic: Option<String>) -> u32 {
        let edge = (source, to, traffic);
        let next = u32::try_from(self.all.len()).expect("few edges");
        *self.numbers.entry(edge).or_insert_with_key(|edge| {
            self.all.push(edge.clone());
            next
        })
    }
}
