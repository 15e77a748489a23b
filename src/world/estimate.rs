//! What a run will cost, before it is made.
//!
//! Requests follow from the rates, events from the calls that each makes, CPU time from the
//! measured cost of an event, memory from the sizes of records.
//!
//! Source: `results` of the benches in the project's documentation.
//! Left out: what failures and retries add.

use super::state::{Attempt, Call, Connection, Pod};
use crate::kernel::time::Time;
use crate::model::traffic::source::RateProfile;
use crate::plan::Plan;
use crate::plan::traffic::Arrivals;
use crate::plan::universe::{ServiceId, Step};

/// CPU seconds an event, measured on a quiet core with all recorders on.
const CPU_S_PER_EVENT: f64 = 120e-9;

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
}

/// Estimates a run of `plan`.
pub fn estimate(plan: &Plan) -> Estimate {
    let end = Time::ZERO + plan.duration;
    let calls = calls_below(plan);
    let (mut requests, mut hops) = (0.0, 0.0);
    for traffic in &plan.traffic {
        let count = match &traffic.arrivals {
            Arrivals::OpenLoop { rate, .. } => RateProfile::new(rate).units(Time::ZERO, end),
            Arrivals::Replay(times) => times.iter().filter(|time| **time < end).count() as f64,
            Arrivals::ClosedLoop { users, think } => {
                let cycle_s = (think.mean_ns() / 1e9).max(0.001);
                f64::from(*users) * plan.duration.as_s() / cycle_s
            }
        };
        requests += count;
        hops += count * calls[traffic.to.index()];
    }
    let pods: f64 = plan.universe.workloads.iter().map(|one| f64::from(one.replicas)).sum();
    let per_hop = if plan.has_mesh() { 6.5 } else { 3.2 };
    let renewals = plan.duration.as_s() / (plan.parameters.cert.ttl.as_s() / 2.0);
    let control = if plan.has_mesh() { pods * renewals * 2.0 } else { 0.0 };
    let events = requests + hops * per_hop + control;
    let pairs = (pods * pods).min(hops);
    let memory = 4e6
        + pods * (size_of::<Pod>() as f64 + 2000.0)
        + pairs * (size_of::<Connection>() as f64 + 250.0)
        + 1024.0 * (size_of::<Call>() + size_of::<Attempt>()) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
    let memory_bytes = memory as u64;
    Estimate { requests, events, cpu_s: events * CPU_S_PER_EVENT, memory_bytes }
}

/// By service: calls that one request to it makes in all, itself included. Cycles are cut off
/// where they no longer matter.
fn calls_below(plan: &Plan) -> Vec<f64> {
    let universe = &plan.universe;
    let mut below = vec![1.0; universe.services.len()];
    for _ in 0..64 {
        let of = |index: usize| {
            let service = &universe.services[index];
            let workloads = &service.workloads;
            let sum: f64 = workloads
                .iter()
                .map(|id| {
                    let workload = &universe.workloads[id.index()];
                    let calls = workload.program.iter().filter_map(|step| match step {
                        Step::Calls(calls) => Some(calls),
                        Step::Work(_) => None,
                    });
                    calls
                        .flatten()
                        .map(|call| call.probability * value(&below, call.to))
                        .sum::<f64>()
                })
                .sum();
            1.0 + sum / (workloads.len().max(1) as f64)
        };
        let next: Vec<f64> = (0..below.len()).map(of).collect();
        if next == below {
            break;
        }
        below = next;
    }
    below
}

fn value(below: &[f64], service: ServiceId) -> f64 {
    below[service.index()].min(1e9)
}
