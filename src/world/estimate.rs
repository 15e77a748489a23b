//! What a run will cost, before it is made.
//!
//! Requests follow from the rates, calls from the programs, events from the calls and from what a
//! mesh does without any (`upkeep`); memory stands in `forecast`. CPU time is that of events, each of
//! which costs more where less of the mesh is in the caches, and of what is recorded. Of a sampled run
//! only what is simulated costs: the warm-up, a window with its lead-in in each period, the time
//! around events, and traffic that is too rare to be sampled.
//!
//! Source: CPU seconds of runs of 0.1 to 60 s, docs/speed.md, to which the constants are fitted;
//! `world::sampling`.
//! Left out: what failures and retries add; windows that go on for longer than planned.

use super::forecast::{Forecast, forecast};
use super::rates::{PairRates, lands};
use super::sampling::cuts;
use super::shared_cores::work_s;
use super::upkeep;
use crate::kernel::time::Time;
use crate::model::traffic::source::RateProfile;
use crate::plan::Plan;
use crate::plan::timeline::{Action, Trigger};
use crate::plan::traffic::{Arrivals, Traffic};
use crate::plan::universe::{ServiceId, Step, Workload, WorkloadId};

/// CPU seconds of a run of nothing: its files and pictures.
const CPU_S: f64 = 0.12;
/// Of an event whose records are in the nearest caches, and more for each doubling of what records
/// take beyond those.
const CPU_S_PER_EVENT: f64 = 60e-9;
const CPU_S_PER_DOUBLING: f64 = 125e-9;
const CACHES_BYTES: f64 = 15e6;
/// Of a byte that is recorded: it is cleared, counted in, merged, read and drawn.
const CPU_S_PER_BYTE: f64 = 6.5e-9;
/// Events of a connection that is closed from outside and opened again.
const EVENTS_PER_REOPENING: f64 = 4.0;
/// Rounds of calls: deeper ones no longer matter, around a cycle neither.
const ROUNDS: usize = 128;

/// What a run is expected to need.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// Root requests of the mesh.
    pub requests: f64,
    /// Those that are simulated; all, if the run is not sampled.
    pub simulated: f64,
    /// Whether requests are sampled.
    pub is_sampled: bool,
    /// Events of the queue.
    pub events: f64,
    /// CPU seconds, roughly: another machine, or a neighbour on this one, makes it half or twice.
    pub cpu_s: f64,
    /// Bytes at the most.
    pub memory_bytes: u64,
    /// Bytes before the first event.
    pub start_bytes: u64,
}

/// Calls that are expected in a run.
pub(super) struct Calls {
    /// Root requests that are simulated.
    pub(super) roots: f64,
    /// Simulated calls to each service, by its id.
    pub(super) to: Vec<f64>,
    /// From each workload to services, the gateway's roots among them: (caller, service, calls of
    /// the mesh, simulated or not).
    pub(super) edges: Vec<(usize, usize, f64)>,
}

/// Requests of which a share is simulated, and such that all are.
#[derive(Clone, Copy, Default, Debug)]
struct Flow {
    sampled: f64,
    full: f64,
}

impl Flow {
    fn all(self) -> f64 {
        self.sampled + self.full
    }

    fn scaled(self, by: f64) -> Self {
        Self { sampled: by * self.sampled, full: by * self.full }
    }

    fn add(&mut self, other: Self) {
        self.sampled += other.sampled;
        self.full += other.full;
    }
}

/// Estimates a run of `plan`.
pub fn estimate(plan: &Plan) -> Estimate {
    if plan.sampling.is_some() && !PairRates::any_is_sampled(plan) {
        return estimate(&Plan { sampling: None, ..plan.clone() });
    }
    let (calls, requests) = calls(plan);
    let hops: f64 = calls.to.iter().sum();
    let per_hop = if plan.has_mesh() { 6.5 } else { 3.2 };
    let memory = forecast(plan, &calls);
    let reopened = EVENTS_PER_REOPENING * memory.reopened;
    let events = calls.roots + hops * per_hop + reopened + upkeep::events(plan);
    Estimate {
        requests,
        simulated: calls.roots,
        is_sampled: plan.sampling.is_some(),
        events,
        cpu_s: cpu_s(events, &memory),
        memory_bytes: memory.all_bytes,
        start_bytes: memory.start_bytes,
    }
}

/// CPU seconds of so many events.
fn cpu_s(events: f64, forecast: &Forecast) -> f64 {
    let doublings = libm::log2(1.0 + forecast.hot_bytes / CACHES_BYTES);
    let recorded = forecast.all_bytes as f64 - forecast.hot_bytes;
    CPU_S
        + events * (CPU_S_PER_EVENT + doublings * CPU_S_PER_DOUBLING)
        + recorded.max(0.0) * CPU_S_PER_BYTE
}

/// Pods that there ever are: those at the start, and those that rollouts replace them with.
pub(super) fn pods_ever(plan: &Plan) -> usize {
    let replicas = |one: &Workload| one.replicas as usize;
    let universe = &plan.universe;
    let begin: usize = universe.workloads.iter().map(replicas).sum();
    let parts =
        plan.timeline.iter().flat_map(|event| event.actions().iter().map(move |one| (event, one)));
    let rolled = parts.map(|(event, action)| match action {
        Action::Rollout(workloads) | Action::SetTemplate(workloads) => {
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

/// Windows of a sampled run, and the share of the time after the warm-up that is simulated; none
/// and everything, if requests are not sampled.
pub(super) fn windows(plan: &Plan) -> (f64, f64) {
    let Some(policy) = plan.sampling else { return (0.0, 1.0) };
    let (warmup, end) = (Time::ZERO + plan.warmup, Time::ZERO + plan.duration);
    let recorded_s = end.saturating_since(warmup).as_s();
    // Stretches around events run into each other.
    let (mut certain_s, mut stretches, mut until) = (0.0, 0.0, warmup);
    let mut cuts = cuts(plan, end);
    cuts.sort_unstable();
    for cut in cuts {
        let from = cut.saturating_sub(policy.around_events);
        let to = cut.saturating_add(policy.around_events).min(end);
        let is_apart = until < from;
        certain_s += to.saturating_since(from.max(until)).as_s();
        if is_apart {
            stretches += 1.0;
            certain_s += policy.lead_in.as_s();
        }
        until = until.max(to);
    }
    let between_s = (recorded_s - certain_s).max(0.0);
    let periods = libm::ceil(between_s / policy.every.as_s().max(1e-9));
    let sampled_s = periods * (policy.window + policy.lead_in).as_s() + certain_s;
    (periods + 2.0 * stretches, (sampled_s / recorded_s.max(1e-9)).min(1.0))
}

/// The calls of a whole run, without retries; and root requests of the mesh.
fn calls(plan: &Plan) -> (Calls, f64) {
    let universe = &plan.universe;
    let rates = plan.sampling.map(|policy| (PairRates::new(plan), policy.full_below_per_s));
    let is_rare = |client: usize, to: ServiceId| {
        let client = WorkloadId(u32::try_from(client).expect("fewer than 2^32 workloads"));
        rates.as_ref().is_some_and(|(rates, below)| rates.per_s(client, to) < *below)
    };
    let route = |flow: Flow, client: usize, to: usize| {
        let service = ServiceId(u32::try_from(to).expect("fewer than 2^32 services"));
        let is_full = is_rare(client, service);
        if is_full { Flow { sampled: 0.0, full: flow.all() } } else { flow }
    };
    let mut edges = Vec::new();
    let mut step = vec![Flow::default(); universe.services.len()];
    let (mut roots, mut simulated, mut sampled) = (0.0, 0.0, 0.0);
    let (_, share) = windows(plan);
    for traffic in &plan.traffic {
        let (all, begun) = (requests(traffic, plan, 1.0), requests(traffic, plan, share));
        let (from, to) = (traffic.from.index(), traffic.to.index());
        let flow = route(Flow { sampled: all, full: 0.0 }, from, to);
        roots += all;
        simulated += if flow.full == 0.0 { begun } else { all };
        sampled += if flow.full == 0.0 { all } else { 0.0 };
        step[to].add(flow);
        edges.push((from, to, all));
    }
    // The share of sampled requests that is simulated, the warm-up's among them.
    let full = roots - sampled;
    let share = if sampled <= 0.0 { 1.0 } else { (simulated - full) / sampled };
    let shares = shares(plan);
    let mut to = step.clone();
    for _ in 0..ROUNDS {
        let mut next = vec![Flow::default(); step.len()];
        for (workload, service, probability) in sites(plan) {
            let calls = served(plan, &shares, &step, workload).scaled(probability);
            next[service].add(route(calls, workload, service));
        }
        if next.iter().all(|calls| calls.all() < 1e-6) {
            break;
        }
        to.iter_mut().zip(&next).for_each(|(to, next)| to.add(*next));
        step = next;
    }
    for (workload, service, probability) in sites(plan) {
        let calls = probability * served(plan, &shares, &to, workload).all();
        edges.push((workload, service, calls));
    }
    let to = to.iter().map(|flow| share * flow.sampled + flow.full).collect();
    (Calls { roots: simulated, to, edges }, roots)
}

/// Root requests of a source: all of the warm-up, and a share of those after it.
fn requests(traffic: &Traffic, plan: &Plan, share: f64) -> f64 {
    let (warmup, end) = (Time::ZERO + plan.warmup, Time::ZERO + plan.duration);
    let (before, after) = match &traffic.arrivals {
        Arrivals::OpenLoop { rate, .. } => {
            let profile = RateProfile::new(rate);
            (profile.units(Time::ZERO, warmup.min(end)), profile.units(warmup.min(end), end))
        }
        Arrivals::Replay(times) => {
            let count = |from: Time, to: Time| {
                times.iter().filter(|time| from <= **time && **time < to).count() as f64
            };
            (count(Time::ZERO, warmup.min(end)), count(warmup.min(end), end))
        }
        Arrivals::ClosedLoop { users, think } => {
            // Users wait for each other's requests where the app has no more to give.
            let per_s = f64::from(*users) / (think.mean_ns() / 1e9).max(0.001);
            let per_s = capacity_per_s(plan, traffic.to).map_or(per_s, |most| per_s.min(most));
            let warmup_s = plan.warmup.min(plan.duration).as_s();
            (per_s * warmup_s, per_s * (plan.duration.as_s() - warmup_s))
        }
        Arrivals::Shared { requests, .. } => (0.0, *requests as f64),
    };
    before + share * after
}

/// Requests a second for whose local work the workers of a service suffice; none if it has no pods.
fn capacity_per_s(plan: &Plan, service: ServiceId) -> Option<f64> {
    let capacity = |id: &WorkloadId| {
        let workload = &plan.universe.workloads[id.index()];
        let workers = f64::from(workload.replicas) * f64::from(workload.station.workers);
        workers / work_s(plan, *id)
    };
    let workloads = plan.universe.services[service.index()].workloads.iter();
    Some(workloads.map(capacity).sum()).filter(|most| 0.0 < *most)
}

/// (calling workload, service, probability) of each call site.
fn sites(plan: &Plan) -> impl Iterator<Item = (usize, usize, f64)> {
    plan.universe.workloads.iter().enumerate().flat_map(|(index, workload)| {
        let sites = |step: &Step| match step {
            Step::Calls(calls) => {
                calls.iter().map(|call| (call.to.index(), call.probability)).collect()
            }
            Step::Forward(to) => vec![(to.index(), 1.0)],
            // As if all were called alike.
            Step::Onward(ways) => {
                let share = 1.0 / ways.len().max(1) as f64;
                ways.values().map(|to| (to.index(), share)).collect()
            }
            Step::Work(_) => Vec::new(),
        };
        let sites = workload.program.iter().flat_map(sites);
        sites.map(move |(to, probability)| (index, to, probability))
    })
}

/// By workload: (service, its share of that service's requests).
fn shares(plan: &Plan) -> Vec<Vec<(usize, f64)>> {
    let mut shares = vec![Vec::new(); plan.universe.workloads.len()];
    for index in 0..plan.universe.services.len() {
        let service = ServiceId(u32::try_from(index).expect("fewer than 2^32 services"));
        for (workload, one, all) in lands(plan, service) {
            shares[workload.index()].push((index, one / all));
        }
    }
    shares
}

/// Requests that a workload gets, of those to services.
fn served(plan: &Plan, shares: &[Vec<(usize, f64)>], to: &[Flow], workload: usize) -> Flow {
    debug_assert_eq!(to.len(), plan.universe.services.len(), "a number a service");
    let mut sum = Flow::default();
    shares[workload].iter().for_each(|(service, share)| sum.add(to[*service].scaled(*share)));
    sum
}
