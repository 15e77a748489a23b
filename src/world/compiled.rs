//! The plan as the hot path wants it: samplers built, lanes made, edges numbered.
//!
//! Source: derived from the plan alone.
//! Left out: anything that changes while running.

use crate::kernel::queue::{LaneId, Queue};
use crate::kernel::sampler::Sampler;
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::plan::Plan;
use crate::plan::policy::Destination;
use crate::plan::universe::{CallSite, ClassId, ClusterId, ServiceId, Step, WorkloadId};
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
    pub traffic_edges: Vec<u32>,
    pub watch_delay: LaneId,
}

/// A step of a program.
pub(crate) enum CompiledStep {
    Work(Sampler),
    /// A range of [`Compiled::calls`], and whether the caller keeps its worker.
    Calls {
        sites: Range<usize>,
        holds_worker: bool,
    },
}

/// A call site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledCall {
    pub to: ServiceId,
    pub class: ClassId,
    pub edge: u32,
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
    /// The sum of the weights of its split.
    pub weights: u64,
}

/// A cluster's timers.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCluster {
    /// Of its name: an index would change with clusters that have nothing to do with it.
    pub hash: u64,
    pub connect_timeout: LaneId,
    pub idle_timeout: Option<LaneId>,
    /// Time to the churn of a connection; none without churn.
    pub churn: Option<Sampler>,
}

impl Compiled {
    /// Compiles `plan`; lanes are made in `queue`.
    pub(crate) fn new(plan: &Plan, queue: &mut Queue) -> Self {
        let universe = &plan.universe;
        let mut edges = Edges::default();
        let traffic_edge = |traffic: &crate::plan::traffic::Traffic, edges: &mut Edges| {
            let source = if traffic.external {
                traffic.id.clone()
            } else {
                universe.workloads[traffic.from.index()].app.clone()
            };
            let to = universe.services[traffic.to.index()].name.clone();
            edges.number(source, to, Some(traffic.id.clone()))
        };
        let traffic_edges = plan.traffic.iter().map(|one| traffic_edge(one, &mut edges)).collect();
        let optional =
            |queue: &mut Queue, delay: Duration| (!delay.is_zero()).then(|| queue.lane(delay));
        let mut rules = Vec::new();
        for table in &universe.routes {
            let rule = |rule: &crate::plan::policy::RouteRule| CompiledRule {
                only: match rule.split.as_slice() {
                    [(Destination::Cluster(cluster), _)] => Some(*cluster),
                    _ => None,
                },
                takes_success: rule.retry.statuses.is_empty(),
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
        let (programs, calls) = programs(plan, &mut edges);
        Self {
            programs,
            calls,
            start_times: universe.workloads.iter().map(|one| one.start_time.sampler()).collect(),
            clusters_of: clusters_of.collect(),
            rules,
            clusters,
            edges: edges.0,
            traffic_edges,
            watch_delay: queue.lane(plan.parameters.kubernetes.watch_delay),
        }
    }
}

/// Every workload's program, whose edges are numbered as they are met, and all call sites.
fn programs(plan: &Plan, edges: &mut Edges) -> (Vec<Vec<CompiledStep>>, Vec<CompiledCall>) {
    let universe = &plan.universe;
    let (mut programs, mut sites) = (Vec::new(), Vec::new());
    for workload in &universe.workloads {
        let mut call = |call: &CallSite| {
            let to = universe.services[call.to.index()].name.clone();
            CompiledCall {
                to: call.to,
                class: call.class,
                edge: edges.number(workload.app.clone(), to, None),
                probability: call.probability,
                required: call.required,
                index: call.index,
            }
        };
        let step = |step: &Step| match step {
            Step::Work(time) => CompiledStep::Work(time.sampler()),
            Step::Calls(calls) => {
                let first = sites.len();
                sites.extend(calls.iter().map(&mut call));
                CompiledStep::Calls {
                    sites: first..sites.len(),
                    holds_worker: calls.iter().any(|call| call.holds_worker),
                }
            }
        };
        programs.push(workload.program.iter().map(step).collect());
    }
    (programs, sites)
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
