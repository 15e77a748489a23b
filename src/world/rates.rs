//! Rates that follow from the plan: how often each workload is visited, and calls each destination.
//!
//! Visits are sources' rates, propagated along the calls until nothing changes any more. The visits
//! of a service are spread over its workloads by their replicas.
//!
//! Source: the traffic equations of open networks (Jackson 1957).
//! Left out: failures, retries, weights of routes, events that change any of it.

use crate::kernel::bytes::Bytes as _;
use crate::plan::Plan;
use crate::plan::universe::{ServiceId, Step, WorkloadId};
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
        for ((service, rate), index) in universe.services.iter().zip(&wanted).zip(0..) {
            if *rate <= 0.0 {
                continue;
            }
            let replicas = |id: &WorkloadId| f64::from(universe.workloads[id.index()].replicas);
            let all: f64 = service.workloads.iter().map(replicas).sum();
            if let Some(behind) = universe.behind(ServiceId(index)).filter(|_| 0.0 < all) {
                next[behind.index()] += rate;
                any = true;
            }
            for id in service.workloads.iter().filter(|id| 0.0 < replicas(id)) {
                let own = rate * replicas(id) / all;
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
