//! What is under way at once, before a run: requests that are worked on, and those that overload
//! piles up.
//!
//! By Little's law a rate of calls and the time of each give their number. A station or a proxy that
//! is offered more than it can do has a queue that grows with the difference: it is followed as a
//! fluid through the profile of the traffic, and told as the wait that Little's law would need for
//! it. New connections cost a proxy a handshake each; while all are new, it may be overloaded by
//! them alone.
//!
//! Source: Little (1961); fluid limits of queues (Newell, Applications of Queueing Theory, 1982).
//! Left out: that a bottleneck keeps what follows it from being overloaded; workers that wait for
//! calls which wait; apps that are slowed by events; replicas that come and go.

use super::estimate::Calls;
use super::ranges::Ranges;
use crate::kernel::time::{Duration, Time};
use crate::model::traffic::source::RateProfile;
use crate::plan::Plan;
use crate::plan::timeline::{Action, TimelineEvent, Trigger};
use crate::plan::traffic::Arrivals;
use crate::plan::universe::{Role, Step, Workload, WorkloadId};

/// Of the calls that wait for an overloaded gateway, those that it has not yet sent; the others wait
/// to be answered. By `stretch`, 1 / (1 + y): a half to all, near a half unless it is hopeless.
const UNSENT: f64 = 0.6;
/// Slices of the run in which the rate is looked at.
const SLICES: u32 = 256;

/// The rate of all traffic in each slice of the run, as multiples of its mean.
pub(super) struct Shape {
    factors: Vec<f64>,
    slice_s: f64,
    /// Users of closed loops, if all traffic is closed: no more requests are ever under way.
    users: Option<f64>,
}

impl Shape {
    pub(super) fn new(plan: &Plan) -> Self {
        let slice = Duration::from_ns((plan.duration.ns() / u64::from(SLICES)).max(1));
        let begins = (0..SLICES).map(|n| Time::ZERO + slice * u64::from(n));
        let begins: Vec<Time> = begins.collect();
        let mut rates = vec![0.0; begins.len()];
        let mut mean = 0.0;
        for (traffic, index) in plan.traffic.iter().zip(0..) {
            let profile = match &traffic.arrivals {
                Arrivals::OpenLoop { rate, .. } => Some(RateProfile::new(rate)),
                Arrivals::Replay(_) | Arrivals::ClosedLoop { .. } | Arrivals::Shared { .. } => None,
            };
            let per_s = traffic.arrivals.peak_per_s(plan.duration);
            for (rate, from) in rates.iter_mut().zip(&begins) {
                let units = |profile: &RateProfile| profile.units(*from, *from + slice);
                let own = profile.as_ref().map_or(per_s * slice.as_s(), units);
                let scaled = plan.timeline.iter().map(|event| factor(event, index, *from, slice));
                mean += own;
                *rate += own * scaled.product::<f64>();
            }
        }
        mean /= f64::from(SLICES);
        let factors = rates.iter().map(|rate| if 0.0 < mean { rate / mean } else { 1.0 });
        let users = plan.traffic.iter().map(|traffic| match traffic.arrivals {
            Arrivals::ClosedLoop { users, .. } | Arrivals::Shared { users, .. } => {
                Some(f64::from(users))
            }
            Arrivals::OpenLoop { .. } | Arrivals::Replay(_) => None,
        });
        let users = users.sum::<Option<f64>>();
        Self { factors: factors.collect(), slice_s: slice.as_s(), users }
    }

    /// The greatest rate, of the mean.
    pub(super) fn peak(&self) -> f64 {
        self.factors.iter().copied().fold(1.0, f64::max)
    }

    /// What waits at the most, if so many come per second on average and so many can be served.
    fn queue(&self, offered: f64, capacity: f64) -> f64 {
        let (mut waiting, mut most) = (0.0_f64, 0.0_f64);
        for factor in &self.factors {
            waiting = (waiting + (factor * offered - capacity) * self.slice_s).max(0.0);
            most = most.max(waiting);
        }
        most
    }
}

/// By what an event multiplies traffic in a slice.
fn factor(event: &TimelineEvent, traffic: u32, from: Time, slice: Duration) -> f64 {
    let Action::ScaleTraffic { traffic: scaled, factor } = &event.action else { return 1.0 };
    let Trigger::At { first, every, times } = event.trigger else { return 1.0 };
    if !scaled.contains(&traffic) || from + slice <= first {
        return 1.0;
    }
    let since = from.saturating_since(first);
    let every_ns = every.map_or(u64::MAX, |every| every.ns().max(1));
    let repetition = (since.ns() / every_ns).min(u64::from(times.max(1)) - 1);
    let into = Duration::from_ns(since.ns() - repetition * every_ns.min(since.ns()));
    if event.lasts.is_none_or(|lasts| into < lasts) { *factor } else { 1.0 }
}

/// Calls per second, simulated or not.
struct Rates {
    /// To and from each workload.
    at: Vec<f64>,
    from: Vec<f64>,
}

impl Rates {
    fn new(plan: &Plan, calls: &Calls) -> Self {
        let universe = &plan.universe;
        let mut to = vec![0.0; universe.services.len()];
        let (mut at, mut from) = (vec![0.0; universe.workloads.len()], Vec::new());
        from.clone_from(&at);
        for (caller, service, count) in &calls.edges {
            let per_s = count / plan.duration.as_s().max(1e-9);
            to[*service] += per_s;
            from[*caller] += per_s;
        }
        for (service, per_s) in universe.services.iter().zip(&to) {
            let replicas = |index: usize| f64::from(universe.workloads[index].replicas);
            let all: f64 = service.workloads.iter().map(|id| replicas(id.index())).sum();
            for id in &service.workloads {
                at[id.index()] += per_s * replicas(id.index()) / all.max(1.0);
            }
        }
        Self { at, from }
    }
}

/// By workload, how long a request waits there for its station or its proxy when most do; nothing
/// where there is no overload.
pub(super) fn waits(plan: &Plan, calls: &Calls, ranges: &Ranges, shape: &Shape) -> Vec<f64> {
    let universe = &plan.universe;
    let rates = Rates::new(plan, calls);
    let peak = shape.peak();
    // By workload: calls of its own that are under way.
    let mut calling = vec![0.0; universe.workloads.len()];
    for (caller, service, count) in &calls.edges {
        calling[*caller] +=
            count / plan.duration.as_s().max(1e-9) * ranges.services[*service].mean();
    }
    let wait = |(index, workload): (usize, &Workload)| {
        let pods = f64::from(workload.replicas);
        let (at, from) = (rates.at[index], rates.from[index]);
        let mut wait = 0.0;
        let held = held_s(&workload.program, ranges);
        if workload.role == Role::App && 0.0 < at && 0.0 < held {
            let capacity = pods * f64::from(workload.station.workers) / held;
            let most = workload.station.queue.map_or(f64::INFINITY, |most| f64::from(most) * pods);
            wait += shape.queue(at, capacity).min(most) / (peak * at);
        }
        let is_proxied = plan.has_mesh() && (workload.meshed || workload.role == Role::Gateway);
        if is_proxied && 0.0 < at + from {
            let proxy = &plan.parameters.proxy;
            let client = proxy.client_request + proxy.client_response + proxy.client_telemetry;
            let server = proxy.server_request + proxy.server_response + proxy.server_telemetry;
            let cores = pods
                * f64::from(
                    plan.proxy_workers(WorkloadId(u32::try_from(index).unwrap_or(u32::MAX))),
                );
            let busy = at * server.as_s() + from * client.as_s();
            // Of what passes through, in cores.
            let queue = shape.queue(busy, cores) / busy.max(1e-12);
            let answers = proxy.client_response + proxy.client_telemetry;
            let is_gateway = workload.role == Role::Gateway && 0.0 < queue;
            let per_core = peak * from / cores;
            let passes = (per_core * proxy.client_request.as_s(), per_core * answers.as_s());
            wait += queue / peak * if is_gateway { stretch(passes) } else { 1.0 };
            // All connections that its calls need are opened while the first calls are under way.
            let called_s = calling[index] / from.max(1e-12);
            let opening = busy + from * proxy.handshake.as_s();
            if queue <= 0.0 && cores < opening {
                wait += (1.0 - cores / opening) * called_s;
            }
        }
        wait
    };
    let waits = universe.workloads.iter().enumerate().map(wait);
    waits.collect()
}

/// By what the calls at an overloaded gateway are more than those for whom it has no time. A call
/// passes twice, as a request and as an answer, and with each it is at the end of the queue: much is
/// done for calls that are not over.
///
/// As a fluid, the wait grows with time, and a share y of what comes has passed once, y² twice; so
/// much as the workers can do, with the loads of both passes as shares of that: a·y + b·y² = 1.
fn stretch((requests, answers): (f64, f64)) -> f64 {
    let root = libm::sqrt(requests * requests + 4.0 * answers);
    let passed = (root - requests) / (2.0 * answers.max(1e-12));
    let undone = 1.0 - 1.0 / (requests + answers).max(1.0 + 1e-9);
    ((1.0 - passed * passed) / undone).max(1.0)
}

/// How long a request holds a worker of its app.
fn held_s(program: &[Step], ranges: &Ranges) -> f64 {
    let step = |step: &Step| match step {
        Step::Work(time) => time.mean_ns() / 1e9,
        // There is no worker: it is a proxy alone.
        Step::Forward(_) | Step::Onward(_) => 0.0,
        Step::Calls(calls) => {
            let held = calls.iter().filter(|call| call.holds_worker);
            let times = held.map(|call| call.probability * ranges.services[call.to.index()].mean());
            times.fold(0.0, f64::max)
        }
    };
    program.iter().map(step).sum()
}

/// Calls that are under way when most are.
pub(super) struct UnderWay {
    /// By edge.
    pub(super) calls: Vec<f64>,
    /// Of those, the ones that no try was made for, yet.
    pub(super) unsent: Vec<f64>,
}

/// What is under way in a run with these calls.
pub(super) fn under_way(
    plan: &Plan,
    calls: &Calls,
    (ranges, waits): (&Ranges, &[f64]),
    shape: &Shape,
) -> UnderWay {
    let duration_s = plan.duration.as_s().max(1e-9);
    let peak = shape.peak();
    // An app that waits for its own proxy is told by its sojourn.
    let waits = |caller: usize| match plan.universe.workloads[caller].role {
        Role::Gateway => waits[caller],
        Role::App | Role::Waypoint => 0.0,
    };
    let of = |(caller, service, count): &(usize, usize, f64)| {
        let time_s = (ranges.services[*service].mean() + waits(*caller)).min(duration_s);
        peak * count / duration_s * time_s
    };
    let unsent = |(caller, _, count): &(usize, usize, f64)| {
        peak * count / duration_s * UNSENT * waits(*caller).min(duration_s)
    };
    let mut unsent: Vec<f64> = calls.edges.iter().map(unsent).collect();
    let mut all: Vec<f64> = calls.edges.iter().map(of).collect();
    if let Some(users) = shape.users {
        let roots: f64 = all.iter().take(plan.traffic.len()).sum();
        let most = (users / roots.max(1e-12)).min(1.0);
        for count in all.iter_mut().chain(&mut unsent) {
            *count *= most;
        }
    }
    UnderWay { calls: all, unsent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_pass_a_gateway_twice_are_more_than_it_has_no_time_for() {
        // 20,000 a second, 110 and 90 µs for one of two workers: 61 % have passed once.
        assert!((stretch((1.1, 0.9)) - (1.0 - 0.6073 * 0.6073) / 0.5).abs() < 1e-3);
        // An answer that costs nothing waits for nothing.
        assert!((stretch((2.0, 1e-9)) - 1.5).abs() < 1e-3, "{}", stretch((2.0, 1e-9)));
    }
}
