//! The memory of a run, before it is made.
//!
//! What a record takes is known from its type; how many there will be follows from the plan: pods,
//! pairs of a client's worker and an endpoint that meet at least once while their connection would
//! live, rows. Vectors that grow have twice their content now and then, so their room is counted in
//! powers of two, as it comes out. How many requests are under way at once stands in `backlog`, what
//! is recorded in `recorded`.
//!
//! Source: `world::memory` for the same parts while running; the constants of the table below were
//! measured with a counting allocator (`tests/memory.rs` holds the sum to it).
//! Left out: retries and their connections.

use super::backlog::{self, Shape, UnderWay};
use super::balance::{bytes_ahead, is_even, uneven};
use super::cluster::WorkloadState;
use super::compiled::{CompiledCall, CompiledCluster, CompiledStep};
use super::estimate::{Calls, pods_ever};
use super::ranges::ranges;
use super::recorded::recorded;
use super::state::{Attempt, Call, Connection, Host, Pod, Upstream};
use super::upkeep;
use crate::kernel::distribution::Distribution;
use crate::kernel::slab::Id;
use crate::model::proxy::pool::Pool;
use crate::observe::recorder::{Edge, EdgeRow, Served};
use crate::plan::Plan;
use crate::plan::policy::{ClusterPolicy, ConnectionPool, Protocol};
use crate::plan::route::Destination;
use crate::plan::timeline::{Action, ControlPart};
use crate::plan::universe::{Step, Workload, WorkloadId};

/// A slab's place beside its value: generation and link, with padding.
const PLACE: f64 = 8.0;
/// Records that the slabs of a world have room for at the start.
const SLAB_MIN: f64 = 1024.0;
/// A timer in a lane, an event in the buckets.
const TIMER: f64 = 32.0;
const EVENT: f64 = 32.0;
/// What a pool has after its first connection: a list of four connections, one of four who wait.
const POOL_USED: f64 = 64.0;
const IN_POOL: f64 = 4.0;
/// Standard deviations that a number of requests lies above its mean at times.
const SIGMAS: f64 = 3.0;
/// What a list that grew has room for, beside its content: on average, over lists of all lengths.
pub(super) const ROOM: f64 = 1.4;
/// A sampler's table.
const TABLE: f64 = 81_920.0;
/// The state of a proxy in the push queue of a replica.
const PUSH_STATE: f64 = 16.0;
/// A pod in the sets of its workload and of its replica of istiod, and in the list of its node.
const IN_SETS: f64 = 19.0 + 13.0 + 6.0;
/// A cluster or a route in the configuration: its history, its list, its place among the changes.
const IN_CONFIG: f64 = 120.0;
/// A connection that is waited for in a gap.
const DEMAND: f64 = 24.0;
/// What every run has: lanes, tables of the plan, the run's own lists.
const BASE: f64 = 40_000.0;

/// What is known of a run's memory.
pub(super) struct Forecast {
    /// Bytes before the first event.
    pub(super) start_bytes: u64,
    /// Bytes at the most.
    pub(super) all_bytes: u64,
    /// Bytes that requests go through again and again: all but what is recorded.
    pub(super) hot_bytes: f64,
    /// Connections that are closed from outside and opened again.
    pub(super) reopened: f64,
}

/// The forecast of a run with these calls.
pub(super) fn forecast(plan: &Plan, calls: &Calls) -> Forecast {
    let begin = pods(plan) + tables(plan, calls) + BASE;
    let shape = Shape::new(plan);
    let calm = ranges(plan, &calls.to, &[]);
    let waits = backlog::waits(plan, calls, &calm, &shape);
    let times = ranges(plan, &calls.to, &waits);
    let under_way = backlog::under_way(plan, calls, (&times, &waits), &shape);
    // What a phase has, of those that events cut.
    let phases = upkeep::cuts(plan) + 1.0;
    let few: Vec<f64> = calls.to.iter().map(|count| count / phases).collect();
    let few = ranges(plan, &few, &waits).roots;
    let (met, reopened) = traffic(plan, calls, &under_way);
    let all = begin + met + recorded(plan, calls, (&times, few)) + changes(plan);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = |bytes: f64| bytes as u64;
    Forecast { start_bytes: whole(begin), all_bytes: whole(all), hot_bytes: begin + met, reopened }
}

/// Room of a vector that grew to so many elements.
pub(super) fn grown(count: f64) -> f64 {
    if count < 0.5 { 0.0 } else { libm::exp2(libm::ceil(libm::log2(count.max(4.0)))) }
}

/// Room of vectors that grew to so many elements on average, of so many that there could be.
fn grown_some(mean: f64, most: f64) -> f64 {
    if mean <= 0.0 {
        0.0
    } else if 0.98 * most < mean {
        grown(most)
    } else {
        (ROOM * mean).max(4.0)
    }
}

pub(super) fn size<T>() -> f64 {
    size_of::<T>() as f64
}

/// Worker threads of a proxy; the mean of all pods, where they differ.
fn workers(plan: &Plan) -> f64 {
    if !plan.has_mesh() {
        return 1.0;
    }
    if plan.proxy_workers.is_empty() {
        return f64::from(plan.parameters.proxy.workers);
    }
    let of = |(one, id): (&Workload, u32)| {
        (f64::from(one.replicas), f64::from(plan.proxy_workers(WorkloadId(id))))
    };
    let all = plan.universe.workloads.iter().zip(0..).map(of);
    let (pods, workers) =
        all.fold((0.0, 0.0), |(pods, sum), (count, each)| (pods + count, sum + count * each));
    workers / f64::max(pods, 1.0)
}

/// Pods and their timers; who is ready; the control plane's view of them.
fn pods(plan: &Plan) -> f64 {
    let count = pods_ever(plan) as f64;
    let own = size::<Pod>() + 8.0 * workers(plan) + IN_SETS;
    let lists = |one: &Workload| {
        let replicas = f64::from(one.replicas);
        4.0 * replicas + 4.0 * grown(replicas)
    };
    let endpoints: f64 = plan.universe.workloads.iter().map(lists).sum();
    let renewed = renewals(plan).min(count);
    // Those who cannot renew try again, and look for a stream.
    let tries = if expired_s(plan) <= 0.0 { 1.0 } else { 2.0 };
    let ends = EVENT * grown(count);
    let events = if plan.has_mesh() { ends + EVENT * grown(tries * renewed) } else { 0.0 };
    count * own + endpoints + events
}

/// Renewals of certificates in the whole run.
pub(super) fn renewals(plan: &Plan) -> f64 {
    let half_life_s = (plan.parameters.cert.ttl.as_s() / 2.0).max(1e-9);
    pods_ever(plan) as f64 * plan.duration.as_s() / half_life_s
}

/// What is made from the plan: programs, samplers, edges with their names, the network.
fn tables(plan: &Plan, calls: &Calls) -> f64 {
    let universe = &plan.universe;
    let mut distinct: Vec<&Distribution> = Vec::new();
    for workload in &universe.workloads {
        let works = workload.program.iter().filter_map(|step| match step {
            Step::Work(time) => Some(time),
            Step::Calls(_) | Step::Forward(_) | Step::Onward(_) => None,
        });
        for time in works.chain([&workload.start_time]) {
            if time.is_constant().is_none() && !distinct.contains(&time) {
                distinct.push(time);
            }
        }
    }
    let churns = universe.clusters.iter().any(|one| 0.0 < one.policy.pool.churn_per_s);
    let own = usize::from(churns) + usize::from(plan.sampling.is_some());
    let samplers = (distinct.len() + own) as f64 * TABLE;
    let edges = calls.edges.len() as f64;
    let name = 2.0 * 2.0 * 10.0;
    let edge = size::<Edge>() + 8.0 * size::<EdgeRow>() + name + size::<CompiledCall>() + 72.0;
    let workload = size::<WorkloadState>() + size::<Served>() + 2.0 * size::<CompiledStep>() + 96.0;
    let cluster = size::<CompiledCluster>() + 80.0 + 2.0 * IN_CONFIG;
    let nodes = universe.nodes.len() as f64;
    samplers
        + edges * edge
        + universe.workloads.len() as f64 * workload
        + universe.clusters.len() as f64 * cluster
        + plan.traffic.len() as f64 * 1_000.0
        + 4.0 * nodes * nodes
        + 48.0 * nodes
        + SLAB_MIN * (size::<Call>() + size::<Attempt>() + size::<Connection>() + 3.0 * PLACE)
}

/// The rate at which an open connection is churned or reaches its age.
fn closed_per_s(pool: &ConnectionPool) -> f64 {
    let age_s = pool.max_duration.as_s();
    pool.churn_per_s + if 0.0 < age_s { 1.0 / age_s } else { 0.0 }
}

/// How each service is treated, as by the last of its clusters, and if its endpoints are not alike.
fn policies(plan: &Plan) -> Vec<Option<(&ClusterPolicy, bool)>> {
    let universe = &plan.universe;
    let (uneven, mut policies) = (uneven(plan), vec![None; universe.services.len()]);
    for cluster in &universe.clusters {
        let is_balanced = !is_even(cluster, &uneven);
        policies[cluster.service.index()] = Some((&cluster.policy, is_balanced));
    }
    // What is called through a waypoint is treated as the waypoint's own service.
    for service in &universe.services[universe.declared_services().len()..] {
        let route = &universe.routes[service.route.index()];
        if let Some((Destination::Cluster(cluster), _)) = route.rules[0].split.first() {
            let waypoint = universe.clusters[cluster.index()].service;
            policies[route.service.index()] = policies[waypoint.index()];
        }
    }
    policies
}

/// Upstreams, endpoints and connections of the pairs that meet, and the requests under way; and
/// connections that are opened again.
fn traffic(plan: &Plan, calls: &Calls, at_once: &UnderWay) -> (f64, f64) {
    let universe = &plan.universe;
    let (workers, duration_s) = (workers(plan), plan.duration.as_s());
    let pool = size::<Pool<Id<Connection>, Id<Attempt>>>();
    let (mut bytes, mut connections, mut timers, mut churned) = (0.0, 0.0, 0.0, 0.0);
    let (mut upstreams, mut reopened, mut busy) = (0.0, 0.0, 0.0);
    let mut serving = vec![0.0; universe.services.len()];
    let policies = policies(plan);
    let pods = |service: usize| -> f64 {
        let of = universe.services[service].workloads.iter();
        of.map(|id| f64::from(universe.workloads[id.index()].replicas)).sum()
    };
    let under_way = at_once.calls.iter().zip(&at_once.unsent);
    for ((caller, service, count), (under_way, unsent)) in calls.edges.iter().zip(under_way) {
        let Some((policy, is_balanced)) = policies[*service] else { continue };
        let clients = f64::from(universe.workloads[*caller].replicas);
        let endpoints = pods(*service);
        let (idle_s, churn) = (policy.pool.idle_timeout.as_s(), closed_per_s(&policy.pool));
        let busiest = most(*under_way).min(clients * f64::from(policy.breaker.max_requests));
        // While a connection lives, that many calls come.
        let lives_s =
            [idle_s, 1.0 / churn].into_iter().filter(|life| 0.0 < *life && life.is_finite());
        let life = lives_s.fold(duration_s, f64::min) / duration_s.max(1e-9);
        let calling = met(clients, *count);
        let pairs = clients * workers * endpoints;
        let used = met(pairs, *count);
        let connections_max = clients * f64::from(policy.breaker.max_connections);
        let busy_connections = match policy.pool.protocol {
            Protocol::Http1 => pairs * most((under_way - unsent).max(0.0) / pairs.max(1.0)),
            Protocol::Http2 => {
                (busiest - unsent).max(0.0) / f64::from(policy.pool.max_streams.max(1))
            }
        };
        let open = met(pairs, count * life).max(busy_connections.min(connections_max));
        let in_lists = (open / used.max(1.0) - IN_POOL).max(0.0);
        let hosts = met(clients * endpoints, *count);
        let each = 1.0 / calling.max(1e-9);
        bytes += calling * size::<Host>() * grown_some(hosts * each, endpoints)
            + calling * 8.0 * grown_some(open * each, (workers * endpoints).max(open * each))
            + calling * (4.0 * endpoints + 4.0 * workers + 8.0)
            + hosts * workers * pool
            + used * (POOL_USED + 8.0 * ROOM * in_lists);
        if is_balanced {
            bytes += calling * bytes_ahead(policy, endpoints, workers);
        }
        busy += busiest;
        upstreams += calling;
        connections += open;
        serving[*service] += open;
        timers += if 0.0 < idle_s { open } else { 0.0 };
        churned += if 0.0 < churn { open } else { 0.0 };
        reopened += open * churn * duration_s;
    }
    for (service, open) in serving.iter().enumerate() {
        let pods = pods(service).max(1.0);
        bytes += pods * 8.0 * grown_some(open / pods, f64::INFINITY);
    }
    let more = |count: f64| (grown(count) - SLAB_MIN).max(0.0);
    let tried = (busy - at_once.unsent.iter().sum::<f64>()).max(0.0);
    let demands = if plan.sampling.is_some() { DEMAND * grown(connections) } else { 0.0 };
    bytes += grown(upstreams) * size::<Upstream>()
        + more(connections) * (size::<Connection>() + PLACE)
        + more(busy) * (size::<Call>() + PLACE)
        + more(tried) * (size::<Attempt>() + PLACE)
        + grown(timers + tried) * TIMER
        + grown(churned + busy) * EVENT
        + demands;
    (bytes, reopened)
}

/// The greatest of a number that is Poisson with this mean, seen again and again.
fn most(mean: f64) -> f64 {
    mean + SIGMAS * libm::sqrt(mean)
}

/// Of so many places, those that a number of random calls meet.
pub(super) fn met(places: f64, calls: f64) -> f64 {
    if places <= 0.0 { 0.0 } else { -places * libm::expm1(-calls / places) }
}

/// How long certificates are expired, in seconds: then handshakes fail, with a line each.
pub(super) fn expired_s(plan: &Plan) -> f64 {
    let half_life_s = plan.parameters.cert.ttl.as_s() / 2.0;
    let outages = plan.timeline.iter().filter_map(|event| match event.action {
        Action::FailControlPlane { part: ControlPart::All | ControlPart::Ca, .. } => {
            let lasts_s = event.lasts.unwrap_or(plan.duration).as_s();
            Some((lasts_s.min(plan.duration.as_s()) - half_life_s).max(0.0))
        }
        _ => None,
    });
    outages.sum()
}

/// What changes leave behind: a list of endpoints for each pod that comes or goes, as far as
/// somebody has it, and who is to be told.
fn changes(plan: &Plan) -> f64 {
    let told = if plan.timeline.is_empty() || !plan.has_mesh() { 0.0 } else { PUSH_STATE };
    let replicas = f64::from(plan.parameters.istiod.replicas);
    told * replicas * grown(pods_ever(plan) as f64)
}
