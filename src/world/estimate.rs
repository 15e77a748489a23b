//! What a run will cost, before it is made.
//!
//! Requests follow from the rates, calls from the programs, events from the calls, CPU time from
//! the measured cost of an event; memory stands in `forecast`.
//!
//! Source: `results` of the benches in the project's documentation.
//! Left out: what failures and retries add.

use super::forecast;
use crate::kernel::time::Time;
use crate::model::traffic::source::RateProfile;
use crate::plan::Plan;
use crate::plan::timeline::{Action, Trigger};
use crate::plan::traffic::Arrivals;
use crate::plan::universe::{Step, Workload};

/// CPU seconds an event, measured on a quiet core with all recorders on.
const CPU_S_PER_EVENT: f64 = 120e-9;
/// Rounds of calls: deeper ones no longer matter, around a cycle neither.
const ROUNDS: usize = 128;

/// What a run is expected to need.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// Root requests.
    pub requests: f64,
    /// Events of the queue.
    pub events: f64,
    /// CPU seconds.
    pub cpu_s: f64,
    /// Bytes at the most.
    pub memory_bytes: u64,
    /// Bytes before the first event.
    pub start_bytes: u64,
}

/// Calls that are expected in a run.
pub(super) struct Calls {
    /// Root requests.
    pub(super) roots: f64,
    /// To each service, by its id.
    pub(super) to: Vec<f64>,
    /// From each workload to services: (caller, service, calls), the gateway's roots among them.
    pub(super) edges: Vec<(usize, usize, f64)>,
}

/// Estimates a run of `plan`.
pub fn estimate(plan: &Plan) -> Estimate {
    let calls = calls(plan);
    let pods: f64 = plan.universe.workloads.iter().map(|one| f64::from(one.replicas)).sum();
    let hops: f64 = calls.to.iter().sum();
    let per_hop = if plan.has_mesh() { 6.5 } else { 3.2 };
    let renewals = plan.duration.as_s() / (plan.parameters.cert.ttl.as_s() / 2.0);
    let control = if plan.has_mesh() { pods * renewals * 2.0 } else { 0.0 };
    let events = calls.roots + hops * per_hop + control;
    let (start_bytes, memory_bytes) = forecast::bytes(plan, &calls);
    let cpu_s = events * CPU_S_PER_EVENT;
    Estimate { requests: calls.roots, events, cpu_s, memory_bytes, start_bytes }
}

/// Pods that there ever are: those at the start, and those that rollouts replace them with.
pub(super) fn pods_ever(plan: &Plan) -> usize {
    let replicas = |one: &Workload| one.replicas as usize;
    let universe = &plan.universe;
    let begin: usize = universe.workloads.iter().map(replicas).sum();
    let rolled = plan.timeline.iter().map(|event| match &event.action {
        Action::Rollout(workloads) => {
            let pods = workloads.iter().map(|id| replicas(&universe.workloads[id.index()]));
            let times = match event.trigger {
                Trigger::At { times, every: Some(_), .. } => times.min(16) as usize,
                _ => 1,
            };
            times * pods.sum::<usize>()
        }
        Action::Scale { replicas, .. } => *replicas as usize,
        _ => 0,
    });
    begin + rolled.sum::<usize>()
}

/// The calls of a whole run, without retries.
fn calls(plan: &Plan) -> Calls {
    let universe = &plan.universe;
    let end = Time::ZERO + plan.duration;
    let mut edges = Vec::new();
    let mut step = vec![0.0; universe.services.len()];
    let mut roots = 0.0;
    for traffic in &plan.traffic {
        let count = match &traffic.arrivals {
            Arrivals::OpenLoop { rate, .. } => RateProfile::new(rate).units(Time::ZERO, end),
            Arrivals::Replay(times) => times.iter().filter(|time| **time < end).count() as f64,
            Arrivals::ClosedLoop { users, think } => {
                let cycle_s = (think.mean_ns() / 1e9).max(0.001);
                f64::from(*users) * plan.duration.as_s() / cycle_s
            }
        };
        roots += count;
        step[traffic.to.index()] += count;
        edges.push((traffic.from.index(), traffic.to.index(), count));
    }
    let shares = shares(plan);
    let mut to = step.clone();
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; step.len()];
        for (workload, service, probability) in sites(plan) {
            next[service] += probability * served(plan, &shares, &step, workload);
        }
        if next.iter().all(|calls| *calls < 1e-6) {
            break;
        }
        to.iter_mut().zip(&next).for_each(|(to, next)| *to += next);
        step = next;
    }
    for (workload, service, probability) in sites(plan) {
        edges.push((workload, service, probability * served(plan, &shares, &to, workload)));
    }
    Calls { roots, to, edges }
}

/// (calling workload, service, probability) of each call site.
fn sites(plan: &Plan) -> impl Iterator<Item = (usize, usize, f64)> {
    plan.universe.workloads.iter().enumerate().flat_map(|(index, workload)| {
        let calls = workload.program.iter().filter_map(|step| match step {
            Step::Calls(calls) => Some(calls),
            Step::Work(_) => None,
        });
        calls.flatten().map(move |call| (index, call.to.index(), call.probability))
    })
}

/// By workload: (service, its share of that service's requests), by replicas.
fn shares(plan: &Plan) -> Vec<Vec<(usize, f64)>> {
    let mut shares = vec![Vec::new(); plan.universe.workloads.len()];
    for (service, index) in plan.universe.services.iter().zip(0..) {
        let replicas = |id: &crate::plan::universe::WorkloadId| {
            f64::from(plan.universe.workloads[id.index()].replicas)
        };
        let all = service.workloads.iter().map(replicas).sum::<f64>().max(1.0);
        for id in &service.workloads {
            shares[id.index()].push((index, replicas(id) / all));
        }
    }
    shares
}

/// Requests that a workload gets, of those to services.
fn served(plan: &Plan, shares: &[Vec<(usize, f64)>], to: &[f64], workload: usize) -> f64 {
    debug_assert_eq!(to.len(), plan.universe.services.len(), "a number a service");
    shares[workload].iter().map(|(service, share)| to[*service] * share).sum()
}
