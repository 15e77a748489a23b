//! The memory of a run, before it is made.
//!
//! What a record takes is known from its type; how many there will be follows from the plan: pods,
//! pairs of a client's worker and an endpoint that meet at least once while their connection would
//! live, rows. Vectors that grow have twice their content now and then, so their room is counted in
//! powers of two, as it comes out.
//!
//! Source: `world::memory` for the same parts while running; the constants of the table below were
//! measured with a counting allocator (`tests/memory.rs` holds the sum to it).
//! Left out: retries and their connections, growth of queues under overload, more than one request
//! at once on a pair.

use super::cluster::WorkloadState;
use super::compiled::{CompiledCall, CompiledCluster, CompiledStep};
use super::estimate::{Calls, pods_ever};
use super::state::{Attempt, Call, Connection, Host, Pod, Upstream};
use crate::kernel::distribution::Distribution;
use crate::kernel::slab::Id;
use crate::model::proxy::pool::Pool;
use crate::observe::recorder::{Edge, EdgeRow, Served};
use crate::observe::run::SeriesRow;
use crate::plan::Plan;
use crate::plan::timeline::{Action, ControlPart};
use crate::plan::universe::{Role, Step};

/// A slab's place beside its value: generation and link, with padding.
const PLACE: f64 = 8.0;
/// Records that the slabs of a world have room for at the start.
const SLAB_MIN: f64 = 1024.0;
/// A timer in a lane, an event in the heap.
const TIMER: f64 = 32.0;
const EVENT: f64 = 16.0;
/// What a pool has after its first connection: a list of four connections, one of four who wait.
const POOL_USED: f64 = 64.0;
/// A sampler's table.
const TABLE: f64 = 81_920.0;
/// An octave of a histogram: 1024 counts.
const OCTAVE: f64 = 8_192.0;
/// Octaves of a histogram of waits, once somebody waited: from zero to milliseconds.
const WAIT_OCTAVES: f64 = 13.0;
/// The state of a proxy in the push queue of a replica.
const PUSH_STATE: f64 = 16.0;
/// A row's cells of the heatmap; a rung of the ladder with its counts.
const ROW_CELLS: f64 = 500.0;
const LADDER: f64 = 256.0 * 400.0;
/// A line of the journal with its two texts; lines in an interval, and of one kind at the most.
const LINE: f64 = 200.0;
const LINES: f64 = 3.0;
const LINES_MAX: f64 = 64.0;
/// What every run has: lanes, tables of the plan, the run's own lists.
const BASE: f64 = 60_000.0;

/// (before the first event, at the most), in bytes.
pub(super) fn bytes(plan: &Plan, calls: &Calls) -> (u64, u64) {
    let begin = pods(plan) + tables(plan, calls) + BASE;
    let all = begin + traffic(plan, calls) + record(plan, calls) + changes(plan);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = |bytes: f64| bytes as u64;
    (whole(begin), whole(all))
}

/// Room of a vector that grew to so many elements.
fn grown(count: f64) -> f64 {
    if count < 0.5 { 0.0 } else { libm::exp2(libm::ceil(libm::log2(count.max(4.0)))) }
}

fn size<T>() -> f64 {
    size_of::<T>() as f64
}

fn workers(plan: &Plan) -> f64 {
    if plan.has_mesh() { f64::from(plan.parameters.proxy.workers) } else { 1.0 }
}

/// Pods, their names and timers; who is ready; the control plane's view of them.
fn pods(plan: &Plan) -> f64 {
    let count = pods_ever(plan) as f64;
    let name = 16.0;
    let own = size::<Pod>() + name + 8.0 * workers(plan);
    let lists = |one: &crate::plan::universe::Workload| {
        let replicas = f64::from(one.replicas);
        4.0 * replicas + 4.0 * grown(replicas)
    };
    let endpoints: f64 = plan.universe.workloads.iter().map(lists).sum();
    let events = if plan.has_mesh() { EVENT * grown(count) } else { 0.0 };
    count * own + endpoints + events
}

/// What is made from the plan: programs, samplers, edges with their names, the network.
fn tables(plan: &Plan, calls: &Calls) -> f64 {
    let universe = &plan.universe;
    let mut distinct: Vec<&Distribution> = Vec::new();
    for workload in &universe.workloads {
        let works = workload.program.iter().filter_map(|step| match step {
            Step::Work(time) => Some(time),
            Step::Calls(_) => None,
        });
        for time in works.chain([&workload.start_time]) {
            if time.is_constant().is_none() && !distinct.contains(&time) {
                distinct.push(time);
            }
        }
    }
    let churns = universe.clusters.iter().any(|one| 0.0 < one.policy.pool.churn_per_s);
    let samplers = (distinct.len() + usize::from(churns)) as f64 * TABLE;
    let edges = calls.edges.len() as f64;
    let name = 2.0 * 2.0 * 10.0;
    let edge = size::<Edge>() + 8.0 * size::<EdgeRow>() + name + size::<CompiledCall>() + 72.0;
    let workload = size::<WorkloadState>() + size::<Served>() + 2.0 * size::<CompiledStep>() + 96.0;
    let cluster = size::<CompiledCluster>() + 80.0;
    let nodes = universe.nodes.len() as f64;
    samplers
        + edges * edge
        + universe.workloads.len() as f64 * workload
        + universe.clusters.len() as f64 * cluster
        + plan.traffic.len() as f64 * 1_000.0
        + 4.0 * nodes * nodes
        + 24.0 * nodes
        + SLAB_MIN * (size::<Call>() + size::<Attempt>() + size::<Connection>() + 3.0 * PLACE)
}

/// Upstreams, endpoints and connections of the pairs that meet, and the requests under way.
fn traffic(plan: &Plan, calls: &Calls) -> f64 {
    let universe = &plan.universe;
    let (workers, duration_s) = (workers(plan), plan.duration.as_s());
    let pool = size::<Pool<Id<Connection>, Id<Attempt>>>();
    let (mut bytes, mut connections, mut timers, mut churned) = (0.0, 0.0, 0.0, 0.0);
    let mut upstreams = 0.0;
    let mut serving = vec![0.0; universe.services.len()];
    // Idle timeout and churn of a service's connections.
    let mut lives = vec![(0.0, 0.0); universe.services.len()];
    for cluster in &universe.clusters {
        let pool = &cluster.policy.pool;
        lives[cluster.service.index()] = (pool.idle_timeout.as_s(), pool.churn_per_s);
    }
    for (caller, service, count) in &calls.edges {
        let clients = f64::from(universe.workloads[*caller].replicas);
        let of = &universe.services[*service].workloads;
        let endpoints: f64 =
            of.iter().map(|id| f64::from(universe.workloads[id.index()].replicas)).sum();
        let (idle_s, churn) = lives[*service];
        // While a connection lives, that many calls come.
        let lives_s =
            [idle_s, 1.0 / churn].into_iter().filter(|life| 0.0 < *life && life.is_finite());
        let life = lives_s.fold(duration_s, f64::min) / duration_s.max(1e-9);
        let calling = met(clients, *count);
        let open = met(clients * workers * endpoints, count * life);
        let used = met(clients * workers * endpoints, *count);
        let room = grown(endpoints);
        bytes += calling
            * (room * size::<Host>()
                + endpoints * workers * pool
                + 8.0 * room
                + 4.0 * workers
                + 8.0);
        bytes += used * POOL_USED;
        upstreams += calling;
        connections += open;
        serving[*service] += open;
        timers += if 0.0 < idle_s { open } else { 0.0 };
        churned += if 0.0 < churn { open } else { 0.0 };
    }
    for (service, open) in universe.services.iter().zip(serving) {
        let of = service.workloads.iter();
        let pods: f64 =
            of.map(|id| f64::from(universe.workloads[id.index()].replicas)).sum::<f64>().max(1.0);
        bytes += pods * 8.0 * grown(open / pods);
    }
    // By Little's law, with ten milliseconds a call.
    let under_way = 0.01 * calls.to.iter().sum::<f64>() / duration_s.max(1e-9);
    let more = |count: f64| (grown(count) - SLAB_MIN).max(0.0);
    bytes
        + grown(upstreams) * size::<Upstream>()
        + more(connections) * (size::<Connection>() + PLACE)
        + more(under_way) * (size::<Call>() + size::<Attempt>() + 2.0 * PLACE)
        + grown(timers + under_way) * TIMER
        + grown(churned + under_way) * EVENT
}

/// Of so many places, those that a number of random calls meet.
fn met(places: f64, calls: f64) -> f64 {
    if places <= 0.0 { 0.0 } else { -places * libm::expm1(-calls / places) }
}

/// What is recorded: histograms, rows, lines.
fn record(plan: &Plan, calls: &Calls) -> f64 {
    let universe = &plan.universe;
    let mut bytes = LADDER;
    for (service, count) in universe.services.iter().zip(&calls.to) {
        for id in &service.workloads {
            let workload = &universe.workloads[id.index()];
            let mean_s: f64 = workload
                .program
                .iter()
                .map(|step| match step {
                    Step::Work(time) => time.mean_ns() / 1e9,
                    Step::Calls(calls) => 0.005 * calls.len() as f64,
                })
                .sum();
            let slots = f64::from(workload.replicas) * f64::from(workload.station.workers);
            let busy = count * mean_s / plan.duration.as_s().max(1e-9) / slots.max(1.0);
            let waits = libm::pow(busy.min(1.0), f64::from(workload.station.workers));
            let wait = if 1.0 < waits * count { WAIT_OCTAVES } else { 0.25 };
            let histograms = 2.0 * (octaves(*count) + spread(&workload.program)) + wait;
            bytes += if *count < 0.5 || workload.role == Role::Gateway {
                0.0
            } else {
                histograms * OCTAVE
            };
        }
    }
    let phases = 2.0 * plan.timeline.len() as f64 + 1.0;
    let all = universe.workloads.iter().map(|one| spread(&one.program)).fold(0.0, f64::max);
    bytes += (phases + 2.0) * (octaves(calls.roots / phases) + all) * OCTAVE;
    let rows = plan.duration.as_s() / plan.interval.as_s().max(1e-9);
    let row = size::<SeriesRow>();
    let lines = LINES * rows + LINES_MAX * expired_s(plan) / plan.interval.as_s().max(1e-9);
    bytes + grown(rows) * row + rows.min(calls.roots) * ROW_CELLS + lines * LINE
}

/// How long certificates are expired, in seconds: then handshakes fail, with a line each.
fn expired_s(plan: &Plan) -> f64 {
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

/// Octaves that calls which are sometimes made add.
fn spread(program: &[Step]) -> f64 {
    let varies = program.iter().any(|step| match step {
        Step::Calls(calls) => calls.iter().any(|call| call.probability < 1.0),
        Step::Work(_) => false,
    });
    if varies { 2.0 } else { 0.0 }
}

/// Octaves from the shortest to the longest of so many lognormal times.
fn octaves(count: f64) -> f64 {
    0.5 + 1.1 * libm::sqrt(2.0 * libm::log1p(count))
}

/// What changes leave behind: a list of endpoints for each pod that comes or goes, and who is to be
/// told.
fn changes(plan: &Plan) -> f64 {
    let universe = &plan.universe;
    let lists = plan.timeline.iter().map(|event| match &event.action {
        Action::Rollout(workloads) => {
            let list = |id: &crate::plan::universe::WorkloadId| {
                let pods = f64::from(universe.workloads[id.index()].replicas);
                2.0 * pods * (4.0 * pods + 2.0 * 24.0)
            };
            workloads.iter().map(list).sum()
        }
        _ => 0.0,
    });
    let told = if plan.timeline.is_empty() || !plan.has_mesh() { 0.0 } else { PUSH_STATE };
    let replicas = f64::from(plan.parameters.istiod.replicas);
    lists.sum::<f64>() + told * replicas * grown(pods_ever(plan) as f64)
}
