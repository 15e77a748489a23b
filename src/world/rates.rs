//! Rates that follow from the plan: how often each workload is visited, and calls each destination.
//!
//! Visits are sources' rates, propagated along the calls until nothing changes any more. The visits
//! of a service are spread over its workloads by their replicas, those of a host over where its routes lead.
//!
//! Source: the traffic equations of open networks (Jackson 1957).
//! Left out: failures, retries, weights of routes, events that change any of it.

use crate::kernel::bytes::Bytes as _;
use crate::plan::Plan;
use crate::plan::route::Destination;
use crate::plan::universe::{ClassId, ServiceId, Step, Workload, WorkloadId};
use std::collections::BTreeMap;

/// Rounds of propagation: calls this deep count no more.
const DEPTH_MAX: usize = 64;

/// Requests per second of one client pod to one destination, by the client's workload and the
/// destination, at the highest rates of the plan.
pub(crate) struct PairRates(BTreeMap<(WorkloadId, ServiceId), f64>);

impl PairRates {
    /// Those of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        let universe = &plan.universe;
        let visits = visits(plan);
        let mut rates: BTreeMap<(WorkloadId, ServiceId), f64> = BTreeMap::new();
        for traffic in &plan.traffic {
            *rates.entry((traffic.from, traffic.to)).or_default() +=
                traffic.arrivals.peak_per_s(plan.duration);
        }
        for (workload, index) in universe.workloads.iter().zip(0..) {
            for step in &workload.program {
                let to: Vec<(ServiceId, f64)> = match step {
                    Step::Calls(calls) => {
                        calls.iter().map(|call| (call.to, call.probability)).collect()
                    }
                    // As if all were called alike.
                    Step::Onward(ways) => {
                        ways.values().map(|to| (*to, 1.0 / ways.len() as f64)).collect()
                    }
                    Step::Work(_) | Step::Forward(_) => continue,
                };
                for (to, probability) in to {
                    *rates.entry((WorkloadId(index), to)).or_default() +=
                        probability * visits[index as usize];
                }
            }
        }
        for ((workload, _), rate) in &mut rates {
            *rate /= f64::from(universe.workloads[workload.index()].replicas.max(1));
        }
        Self(rates)
    }

    /// Whether any traffic is fast enough to be sampled, if requests of the plan are.
    pub(crate) fn any_is_sampled(plan: &Plan) -> bool {
        let Some(policy) = plan.sampling else { return false };
        let rates = Self::new(plan);
        plan.traffic.iter().any(|one| policy.full_below_per_s <= rates.per_s(one.from, one.to))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The rate of a pair; 0 if nobody makes such calls.
    pub(crate) fn per_s(&self, client: WorkloadId, to: ServiceId) -> f64 {
        self.0.get(&(client, to)).copied().unwrap_or(0.0)
    }
}

/// Where a service's requests land: its workloads by their replicas. One without any is a host whose routes
/// lead to others: their pods get what its traffic is sent there by.
///
/// Each workload with its part, and what all parts are.
pub(super) fn lands(plan: &Plan, service: ServiceId) -> Vec<(WorkloadId, f64, f64)> {
    let universe = &plan.universe;
    let own = &universe.services[service.index()];
    if !own.workloads.is_empty() {
        return by_replicas(plan, &own.workloads);
    }
    let sent = plan.traffic.iter().filter(|traffic| traffic.to == service);
    let sent = sent.map(|traffic| (traffic.class, traffic.arrivals.peak_per_s(plan.duration)));
    let calls = universe.workloads.iter().flat_map(Workload::call_sites);
    let calls = calls.filter(|site| site.to == service).map(|site| (site.class, 1.0));
    let all: Vec<(ClassId, f64)> = sent.chain(calls).collect();
    let total: f64 = all.iter().map(|(_, rate)| rate).sum();
    let mut lands: BTreeMap<WorkloadId, f64> = BTreeMap::new();
    for (class, rate) in all {
        let rule = universe.routes[own.route.index()].rule(class);
        let Some(rule) = rule.filter(|rule| rule.direct.is_none()) else { continue };
        let weights = rule.split.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>().max(1.0);
        for (to, weight) in &rule.split {
            let Destination::Cluster(cluster) = to else { continue };
            let part = rate / total.max(f64::MIN_POSITIVE) * f64::from(*weight) / weights;
            for (id, one, all) in by_replicas(plan, &universe.clusters[cluster.index()].workloads) {
                *lands.entry(id).or_default() += part * one / all;
            }
        }
    }
    lands.into_iter().map(|(id, share)| (id, share, 1.0)).collect()
}

fn by_replicas(plan: &Plan, workloads: &[WorkloadId]) -> Vec<(WorkloadId, f64, f64)> {
    let replicas = |id: &WorkloadId| f64::from(plan.universe.workloads[id.index()].replicas);
    let all = workloads.iter().map(replicas).sum::<f64>().max(1.0);
    let parts = workloads.iter().map(|id| (*id, replicas(id), all));
    parts.filter(|(_, one, _)| 0.0 < *one).collect()
}

/// Visits per second of each workload.
fn visits(plan: &Plan) -> Vec<f64> {
    let universe = &plan.universe;
    let mut wanted = vec![0.0; universe.services.len()];
    for traffic in &plan.traffic {
        wanted[traffic.to.index()] += traffic.arrivals.peak_per_s(plan.duration);
    }
    let mut visits = vec![0.0; universe.workloads.len()];
    for _ in 0..DEPTH_MAX {
        let mut next = vec![0.0; universe.services.len()];
        let mut any = false;
        for (rate, index) in wanted.iter().zip(0..) {
            if *rate <= 0.0 {
                continue;
            }
            let service = ServiceId(index);
            let lands = lands(plan, service);
            if let Some(behind) = universe.behind(service).filter(|_| !lands.is_empty()) {
                next[behind.index()] += rate;
                any = true;
            }
            for (id, one, all) in lands {
                let own = rate * one / all;
                visits[id.index()] += own;
                for step in &universe.workloads[id.index()].program {
                    let Step::Calls(calls) = step else { continue };
                    for call in calls {
                        next[call.to.index()] += own * call.probability;
                        any = true;
                    }
                }
            }
        }
        wanted = next;
        if !any {
            break;
        }
    }
    visits
}
