//! How much is called, and what it takes: probabilities of calls, pods, workers.
//!
//! The calls of the tree are made likely enough that one root request makes the wanted number of
//! them. The shared services then get callers until what they are to be called is reached. From
//! the expected calls follow the time that a worker is held, and how many there must be.
//!
//! Source: Seemakhupt et al., SOSP 2023, for calls below a request and the share of the most
//! called; arXiv 2504.13141 for pods by role; Little's law for the workers.
//! Left out: waiting for a worker, which is short at half load; it is covered by `STRETCH`.

use super::{Call, Large, Role, Service, apportion, ceil, whole, zipf};
use crate::kernel::stream::Stream;
use crate::plan::problem::Problem;

/// Calls that a root request makes below the first: the published median of descendants.
const DESCENDANTS: f64 = 13.0;
/// The share of all calls that goes to the ten most called.
const SHARED: f64 = 0.58;
/// A shared service is called by as many as make this probability enough. Ours.
const SHARED_PROBABILITY: f64 = 0.8;
/// Less likely calls are not worth a line.
const PROBABILITY_MIN: f64 = 1e-4;
/// Pods by role, of all: arXiv 2504.13141, table 1 (16, 41 and 17 instances a service).
const PODS: [(Role, f64); 3] = [(Role::Entry, 0.07), (Role::Middle, 0.69), (Role::Leaf, 0.23)];
/// The share of time that workers are to be busy at the most. Ours: at half load waiting is short.
const UTILIZATION: f64 = 0.5;
/// Fewer workers no app has. Ours.
const WORKERS_MIN: u32 = 4;
/// The p99 of work over its p50: emojivoto has 3.9 (`LiveWyer` 2024).
pub(super) const P99_OVER_P50: u32 = 4;
/// The mean of a lognormal over its median where its p99 is 4 medians: exp(σ²/2) with
/// σ = ln 4 / 2.326.
const MEAN_OVER_P50: f64 = 1.194;
/// What two proxies and the network add to a call, in microseconds: 0.31 ms before the answer by
/// the proxy parameters, and twice 0.5 ms between zones.
const HOP_US: f64 = 1_300.0;
/// What waiting for workers adds.
const STRETCH: f64 = 1.1;
/// CPU of a proxy for a request, in seconds: 0.2 vCPU for 1,000 rps (Istio 1.24).
const PROXY_S: f64 = 200e-6;
/// Cores that a proxy may be busy with, of its two. Ours.
const PROXY_CORES: f64 = 0.8;
/// Sidecars of one istiod with 2 cores: "1000 services + 2000 sidecars with 1 vCPU" (Istio).
const SIDECARS_PER_ISTIOD: u32 = 4_000;
/// The least of istiod's replicas, and of the gateway's. Ours: two, so that one may go.
const REPLICAS_MIN: u32 = 2;
/// Pods a node. Ours: Kubernetes allows 110, most run fewer.
pub(super) const PODS_PER_NODE: u32 = 30;
/// Zones. Ours: what clouds offer in a region.
pub(super) const ZONES: [&str; 3] = ["a", "b", "c"];

/// What the mesh around the services has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) gateways: u32,
    pub(super) istiods: u32,
    pub(super) nodes_per_zone: u32,
    /// Calls that a root request makes in all, its own included.
    pub(super) calls: f64,
    /// The mean latency of the slowest entry, in milliseconds.
    pub(super) latency_ms: f64,
    /// The busiest workload's share of busy workers.
    pub(super) utilization: f64,
}

/// Pods of the gateway.
pub(super) fn gateways(rps: u32) -> u32 {
    ceil(f64::from(rps) * PROXY_S / PROXY_CORES).max(REPLICAS_MIN)
}

/// Gives calls their probabilities and services their names. The root requests a second of each
/// entry.
pub(super) fn calls(wanted: &Large, services: &mut [Service]) -> Vec<f64> {
    let entries = services.iter().filter(|one| one.role == Role::Entry).count();
    let rate = |share: &f64| digits(f64::from(wanted.rps) * share, 4);
    let rates: Vec<f64> = zipf(entries).iter().map(rate).collect();
    let all: f64 = rates.iter().sum();
    let roots: Vec<f64> = rates.iter().map(|rate| rate / all).collect();

    let popular: Vec<usize> =
        (0..services.len()).filter(|index| services[*index].key.starts_with("shared")).collect();
    let shares: Vec<f64> =
        zipf(10).iter().map(|share| share * SHARED).take(popular.len()).collect();
    let total = 1.0 + DESCENDANTS;
    let tree = total * (1.0 - shares.iter().sum::<f64>());
    // The more likely all calls are, the more there are.
    let (mut least, mut most) = (0.0, 1e6);
    for _ in 0..80 {
        let middle = f64::midpoint(least, most);
        set_probabilities(services, middle, |probability| probability);
        let visits = visits(services, &roots).iter().sum::<f64>();
        if visits < tree { least = middle } else { most = middle }
    }
    set_probabilities(services, most, |probability| digits(probability, 2));
    let visited = visits(services, &roots);
    for ((index, share), rank) in popular.into_iter().zip(shares).zip(0..) {
        share_service(wanted.seed, services, &visited, index, total * share, rank);
    }
    let visits = visits(services, &roots);
    for (service, visits) in services.iter_mut().zip(visits) {
        service.visits = visits;
        // As the code of an app would be written: by what is called.
        service.calls.sort_by_key(|call| call.to);
    }
    name(services);
    rates
}

fn set_probabilities(services: &mut [Service], factor: f64, round: impl Fn(f64) -> f64) {
    for call in services.iter_mut().flat_map(|service| &mut service.calls) {
        call.probability = round((factor * call.weight).clamp(PROBABILITY_MIN, 1.0));
    }
}

/// Calls of each service for one root request.
fn visits(services: &[Service], roots: &[f64]) -> Vec<f64> {
    let mut visits = vec![0.0; services.len()];
    visits[..roots.len()].copy_from_slice(roots);
    // Whoever calls stands before whom it calls.
    for (index, service) in services.iter().enumerate() {
        for call in &service.calls {
            visits[call.to] += visits[index] * call.probability;
        }
    }
    visits
}

/// Gives a shared service callers, drawn at random, until it can be called as often as wanted.
fn share_service(
    seed: u64,
    services: &mut [Service],
    visits: &[f64],
    to: usize,
    wanted: f64,
    rank: u32,
) {
    let mut stream = Stream::new(seed, "large shared", &rank.to_string());
    let callers = (0..to).filter(|index| services[*index].role != Role::Leaf);
    let mut callers: Vec<(u64, usize)> = callers.map(|index| (stream.next_u64(), index)).collect();
    callers.sort_unstable();
    let mut sum = 0.0;
    let enough = |(_, index): &(u64, usize)| {
        let goes_on = sum < wanted / SHARED_PROBABILITY;
        sum += if goes_on { visits[*index] } else { 0.0 };
        !goes_on
    };
    let count = callers.iter().position(enough).unwrap_or(callers.len());
    let probability = digits((wanted / sum).clamp(PROBABILITY_MIN, 1.0), 2);
    for (_, caller) in &callers[..count] {
        services[*caller].calls.push(Call { to, weight: 1.0, probability });
    }
}

/// `entry-01`, `middle-07`: within a role the most called comes first.
fn name(services: &mut [Service]) {
    for (role, word) in [(Role::Entry, "entry"), (Role::Middle, "middle"), (Role::Leaf, "leaf")] {
        let mut order: Vec<usize> =
            (0..services.len()).filter(|index| services[*index].role == role).collect();
        order.sort_by(|a, b| services[*b].visits.total_cmp(&services[*a].visits).then(a.cmp(b)));
        let width = order.len().to_string().len();
        for (index, number) in order.into_iter().zip(1..) {
            services[index].name = format!("{word}-{number:0width$}");
        }
    }
}

/// Sizes pods and workers for the traffic.
pub(super) fn sizes(
    wanted: &Large,
    services: &mut [Service],
    rates: &[f64],
) -> Result<Sizes, Problem> {
    let rps: f64 = rates.iter().sum();
    pods(wanted, services, rps)?;
    // How long a request holds a worker, in microseconds: its own work, and its calls.
    let mut held_us = vec![0.0; services.len()];
    for (index, service) in services.iter_mut().enumerate().rev() {
        let waits = |call: &Call| call.probability * (STRETCH * held_us[call.to] + HOP_US);
        let work = f64::from(service.p50_us) * MEAN_OVER_P50;
        held_us[index] = work + service.calls.iter().map(waits).sum::<f64>();
        let busy = rps * service.visits * held_us[index] / 1e6;
        let pods = f64::from(service.replicas);
        service.workers = ceil(busy / pods / UTILIZATION).max(WORKERS_MIN);
        service.utilization = busy / pods / f64::from(service.workers);
    }
    let slowest = held_us[..rates.len()].iter().copied().fold(0.0, f64::max);
    let gateways = gateways(wanted.rps);
    let zones = u32::try_from(ZONES.len()).expect("three");
    Ok(Sizes {
        gateways,
        istiods: wanted.pods.div_ceil(SIDECARS_PER_ISTIOD).max(REPLICAS_MIN),
        nodes_per_zone: (wanted.pods + gateways).div_ceil(PODS_PER_NODE * zones),
        calls: services.iter().map(|service| service.visits).sum(),
        latency_ms: (STRETCH * slowest + HOP_US) / 1e3,
        utilization: services.iter().map(|service| service.utilization).fold(0.0, f64::max),
    })
}

/// Pods: as many as the proxies need, the rest by role and with the square root of the load. Ours:
/// who is called a hundred times as often runs ten times as many.
fn pods(wanted: &Large, services: &mut [Service], rps: f64) -> Result<(), Problem> {
    let need = |service: &Service| {
        let made: f64 = service.calls.iter().map(|call| call.probability).sum();
        ceil(rps * service.visits * (1.0 + made) * PROXY_S / PROXY_CORES).max(1)
    };
    let least: Vec<u32> = services.iter().map(need).collect();
    let needed: u64 = least.iter().map(|pods| u64::from(*pods)).sum();
    if u64::from(wanted.pods) < needed {
        let what =
            format!("{} requests a second are too many for {} pods", wanted.rps, wanted.pods);
        let hint = format!("their proxies alone need --pods {needed}");
        return Err(Problem::new(what).hint(hint));
    }
    let root = |service: &Service| libm::sqrt(service.visits);
    let mut weights: Vec<f64> = services.iter().map(root).collect();
    for (role, share) in PODS {
        let of_role = |service: &&Service| service.role == role;
        let all: f64 = services.iter().filter(of_role).map(root).sum();
        for (service, weight) in services.iter().zip(&mut weights) {
            if service.role == role {
                *weight *= share / all;
            }
        }
    }
    let parts = apportion(wanted.pods, &weights, &least);
    for (service, replicas) in services.iter_mut().zip(parts) {
        service.replicas = replicas;
    }
    Ok(())
}

/// A positive number with so many digits that count.
pub(super) fn digits(number: f64, count: u32) -> f64 {
    let before = libm::floor(libm::log10(number)) + 1.0;
    let decimals = whole((f64::from(count) - before).max(0.0)) as usize;
    format!("{number:.decimals$}").parse().expect("a number as it was printed")
}
