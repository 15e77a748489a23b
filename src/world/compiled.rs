//! The plan as the hot path wants it: samplers built, lanes made, edges numbered.
//!
//! Source: derived from the plan alone.
//! Left out: anything that changes while running.

use super::state::NONE;
use crate::kernel::queue::{LaneId, Queue};
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::plan::Plan;
use crate::plan::universe::{CallSite, ClassId, ClusterId, ServiceId, Step, WorkloadId};

/// Tables made from the plan once.
pub(crate) struct Compiled {
    /// By workload.
    pub programs: Vec<Vec<CompiledStep>>,
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
    pub watch_delay: LaneId,
}

/// A step of a program.
pub(crate) enum CompiledStep {
    Work(Sampler),
    Calls { calls: Vec<CompiledCall>, holds_worker: bool },
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

/// A rule's timers and the sum of its weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledRule {
    pub timeout: Option<LaneId>,
    pub per_try: Option<LaneId>,
    pub weights: u64,
}

/// A cluster's timers.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCluster {
    /// Of its name: an index would change with clusters that have nothing to do with it.
    pub hash: u64,
    pub connect_timeout: LaneId,
    pub idle_timeout: Option<LaneId>,
    /// The same on the clock of traffic, for requests that are sampled.
    pub idle_timeout_of_traffic: Option<LaneId>,
    /// Time to the churn of a connection; none without churn.
    pub churn: Option<Sampler>,
}

impl Compiled {
    /// Compiles `plan`; lanes are made in `queue`.
    pub(crate) fn new(plan: &Plan, queue: &mut Queue) -> Self {
        let universe = &plan.universe;
        let mut edges = Edges::default();
        let traffic_target = |traffic: &crate::plan::traffic::Traffic, edges: &mut Edges| {
            let source = if traffic.external {
                traffic.id.clone()
            } else {
                universe.workloads[traffic.from.index()].app.clone()
            };
            let to = universe.services[traffic.to.index()].name.clone();
            let edge = edges.number(source, to, Some(traffic.id.clone()));
            Target { to: traffic.to, class: traffic.class, edge }
        };
        let traffic_targets =
            plan.traffic.iter().map(|one| traffic_target(one, &mut edges)).collect();
        let optional =
            |queue: &mut Queue, delay: Duration| (!delay.is_zero()).then(|| queue.lane(delay));
        let mut rules = Vec::new();
        for table in &universe.routes {
            let rule = |rule: &crate::plan::policy::RouteRule| CompiledRule {
                timeout: optional(queue, rule.timeout),
                per_try: optional(queue, rule.retry.per_try_timeout),
                weights: rule.split.iter().map(|(_, weight)| u64::from(*weight)).sum(),
            };
            rules.push(table.rules.iter().map(rule).collect());
        }
        let clusters = universe.clusters.iter().map(|cluster| {
            let pool = &cluster.policy.pool;
            let churn = (0.0 < pool.churn_per_s).then(|| {
                let mean = Duration::from_s_f64(1.0 / pool.churn_per_s);
                crate::kernel::distribution::Distribution::Exponential { mean }.sampler()
            });
            CompiledCluster {
                hash: name_hash(&cluster.name),
                connect_timeout: queue.lane(pool.connect_timeout),
                idle_timeout: optional(queue, pool.idle_timeout),
                idle_timeout_of_traffic: (plan.sampling.is_some() && !pool.idle_timeout.is_zero())
                    .then(|| queue.pausable_lane(pool.idle_timeout)),
                churn,
            }
        });
        let clusters = clusters.collect();
        let clusters_of = (0..universe.workloads.len()).map(|index| {
            let workload = WorkloadId(u32::try_from(index).expect("few workloads"));
            let all = universe.clusters.iter().zip(0..);
            all.filter(|(cluster, _)| cluster.workloads.contains(&workload))
                .map(|(_, id)| ClusterId(id))
                .collect()
        });
        Self {
            programs: programs(plan, &mut edges),
            start_times: universe.workloads.iter().map(|one| one.start_time.sampler()).collect(),
            clusters_of: clusters_of.collect(),
            rules,
            clusters,
            edges: edges.0,
            traffic_targets,
            watch_delay: queue.lane(plan.parameters.kubernetes.watch_delay),
        }
    }
}

/// Every workload's program, whose edges are numbered as they are met.
fn programs(plan: &Plan, edges: &mut Edges) -> Vec<Vec<CompiledStep>> {
    let universe = &plan.universe;
    let mut programs = Vec::new();
    for workload in &universe.workloads {
        let mut call = |call: &CallSite| {
            let to = universe.services[call.to.index()].name.clone();
            let edge = edges.number(workload.app.clone(), to, None);
            CompiledCall {
                target: Target { to: call.to, class: call.class, edge },
                rare: NONE,
                probability: call.probability,
                required: call.required,
                index: call.index,
            }
        };
        let step = |step: &Step| match step {
            Step::Work(time) => CompiledStep::Work(time.sampler()),
            Step::Calls(calls) => CompiledStep::Calls {
                holds_worker: calls.iter().any(|call| call.holds_worker),
                calls: calls.iter().map(&mut call).collect(),
            },
        };
        programs.push(workload.program.iter().map(step).collect());
    }
    programs
}

/// Edges as they are numbered: by first mention, traffic first, then workloads in name order.
#[derive(Default)]
struct Edges(Vec<(String, String, Option<String>)>);

impl Edges {
    fn number(&mut self, source: String, to: String, traffic: Option<String>) -> u32 {
        let edge = (source, to, traffic);
        let index = self.0.iter().position(|one| *one == edge).unwrap_or_else(|| {
            self.0.push(edge);
            self.0.len() - 1
        });
        u32::try_from(index).expect("few edges")
    }
}
