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

use super::balance::{bytes_ahead, is_even, uneven};
use super::cluster::WorkloadState;
use super::compiled::{CompiledCall, CompiledCluster, CompiledStep};
use super::estimate::{Calls, pods_ever, windows};
use super::ranges::{Ranges, ranges};
use super::state::{Attempt, Call, Connection, Host, Pod, Upstream};
use crate::kernel::distribution::Distribution;
use crate::kernel::slab::Id;
use crate::kernel::time::Time;
use crate::model::proxy::pool::Pool;
use crate::observe::accumulator::Accumulator;
use crate::observe::recorder::{Edge, EdgeRow, Served};
use crate::observe::run::SeriesRow;
use crate::observe::seconds::Second;
use crate::plan::Plan;
use crate::plan::assertion::{Assertion, Metric, WindowBase};
use crate::plan::timeline::{Action, ControlPart, Trigger};
use crate::plan::universe::{Role, Step};

/// A slab's place beside its value: generation and link, with padding.
const PLACE: f64 = 8.0;
/// Records that the slabs of a world have room for at the start.
const SLAB_MIN: f64 = 1024.0;
/// A timer in a lane, an event in the buckets.
const TIMER: f64 = 32.0;
const EVENT: f64 = 32.0;
/// What a pool has after its first connection: a list of four connections, one of four who wait.
const POOL_USED: f64 = 64.0;
/// What a list that grew has room for, beside its content: on average, over lists of all lengths.
const ROOM: f64 = 1.4;
/// A sampler's table.
const TABLE: f64 = 81_920.0;
/// An octave of a histogram: 1024 counts; cells in one, as far as there are values.
const OCTAVE: f64 = 8_192.0;
const CELLS: f64 = 2_000.0;
/// A cell of a histogram that was packed.
const CELL: f64 = 24.0;
/// Octaves of a histogram of waits, once somebody waited: from zero to milliseconds.
const WAIT_OCTAVES: f64 = 12.0;
/// Octaves that the set-up of connections adds.
const SETUP_OCTAVES: f64 = 0.5;
/// The state of a proxy in the push queue of a replica.
const PUSH_STATE: f64 = 16.0;
/// A pod in the sets of its workload and of its replica of istiod, and in the list of its node.
const IN_SETS: f64 = 19.0 + 13.0 + 6.0;
/// A cluster or a route in the configuration: its history, its list, its place among the changes.
const IN_CONFIG: f64 = 120.0;
/// A connection that is waited for in a gap.
const DEMAND: f64 = 24.0;
/// A row's cells of the heatmap; a rung of the ladder with its counts.
const ROW_CELLS: f64 = 500.0;
const LADDER: f64 = 256.0 * 300.0;
/// A line of the journal with its two texts; lines in an interval, and of one kind at the most.
const LINE: f64 = 200.0;
const LINES: f64 = 3.0;
const LINES_MAX: f64 = 64.0;
/// What every run has: lanes, tables of the plan, the run's own lists.
const BASE: f64 = 40_000.0;

/// What is known of a run's memory.
pub(super) struct Forecast {
    /// Bytes before the first event.
    pub(super) start_bytes: u64,
    /// Bytes at the most.
    pub(super) all_bytes: u64,
    /// Connections that are closed from outside and opened again.
    pub(super) reopened: f64,
}

/// The forecast of a run with these calls.
pub(super) fn forecast(plan: &Plan, calls: &Calls) -> Forecast {
    let begin = pods(plan) + tables(plan, calls) + BASE;
    let (met, reopened) = traffic(plan, calls);
    let ranges = ranges(plan, calls);
    let recorded = served(plan, calls, &ranges) + record(plan, calls, &ranges) + probes(plan);
    let all = begin + met + recorded + changes(plan);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = |bytes: f64| bytes as u64;
    Forecast { start_bytes: whole(begin), all_bytes: whole(all), reopened }
}

/// Room of a vector that grew to so many elements.
fn grown(count: f64) -> f64 {
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

fn size<T>() -> f64 {
    size_of::<T>() as f64
}

fn workers(plan: &Plan) -> f64 {
    if plan.has_mesh() { f64::from(plan.parameters.proxy.workers) } else { 1.0 }
}

/// Pods and their timers; who is ready; the control plane's view of them.
fn pods(plan: &Plan) -> f64 {
    let count = pods_ever(plan) as f64;
    let own = size::<Pod>() + 8.0 * workers(plan) + IN_SETS;
    let lists = |one: &crate::plan::universe::Workload| {
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
fn renewals(plan: &Plan) -> f64 {
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
            Step::Calls(_) | Step::Forward(_) => None,
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

/// Upstreams, endpoints and connections of the pairs that meet, and the requests under way; and
/// connections that are opened again.
fn traffic(plan: &Plan, calls: &Calls) -> (f64, f64) {
    let universe = &plan.universe;
    let (workers, duration_s) = (workers(plan), plan.duration.as_s());
    let pool = size::<Pool<Id<Connection>, Id<Attempt>>>();
    let (mut bytes, mut connections, mut timers, mut churned) = (0.0, 0.0, 0.0, 0.0);
    let (mut upstreams, mut reopened) = (0.0, 0.0);
    let mut serving = vec![0.0; universe.services.len()];
    // Idle timeout and churn of a service's connections.
    let mut lives = vec![(0.0, 0.0); universe.services.len()];
    // Policies of services whose endpoints are not all alike.
    let (uneven, mut balanced) = (uneven(plan), vec![None; universe.services.len()]);
    for cluster in &universe.clusters {
        let pool = &cluster.policy.pool;
        if !is_even(cluster, &uneven) {
            balanced[cluster.service.index()] = Some(&cluster.policy);
        }
        lives[cluster.service.index()] = (pool.idle_timeout.as_s(), pool.churn_per_s);
    }
    let pods = |service: usize| -> f64 {
        let of = universe.services[service].workloads.iter();
        of.map(|id| f64::from(universe.workloads[id.index()].replicas)).sum()
    };
    for (caller, service, count) in &calls.edges {
        let clients = f64::from(universe.workloads[*caller].replicas);
        let endpoints = pods(*service);
        let (idle_s, churn) = lives[*service];
        // While a connection lives, that many calls come.
        let lives_s =
            [idle_s, 1.0 / churn].into_iter().filter(|life| 0.0 < *life && life.is_finite());
        let life = lives_s.fold(duration_s, f64::min) / duration_s.max(1e-9);
        let calling = met(clients, *count);
        let pairs = clients * workers * endpoints;
        let (open, used) = (met(pairs, count * life), met(pairs, *count));
        let hosts = met(clients * endpoints, *count);
        let each = 1.0 / calling.max(1e-9);
        bytes += calling * size::<Host>() * grown_some(hosts * each, endpoints)
            + calling * 8.0 * grown_some(open * each, workers * endpoints)
            + calling * (4.0 * endpoints + 4.0 * workers + 8.0)
            + hosts * workers * pool
            + used * POOL_USED;
        if let Some(policy) = balanced[*service] {
            bytes += calling * bytes_ahead(policy, endpoints, workers);
        }
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
    // By Little's law, with ten milliseconds a call.
    let under_way = 0.01 * calls.to.iter().sum::<f64>() / duration_s.max(1e-9);
    let more = |count: f64| (grown(count) - SLAB_MIN).max(0.0);
    let demands = if plan.sampling.is_some() { DEMAND * grown(connections) } else { 0.0 };
    bytes += grown(upstreams) * size::<Upstream>()
        + more(connections) * (size::<Connection>() + PLACE)
        + more(under_way) * (size::<Call>() + size::<Attempt>() + 2.0 * PLACE)
        + grown(timers + under_way) * TIMER
        + grown(churned + under_way) * EVENT
        + demands;
    (bytes, reopened)
}

/// Of so many places, those that a number of random calls meet.
fn met(places: f64, calls: f64) -> f64 {
    if places <= 0.0 { 0.0 } else { -places * libm::expm1(-calls / places) }
}

/// Histograms of the workloads.
fn served(plan: &Plan, calls: &Calls, ranges: &Ranges) -> f64 {
    let universe = &plan.universe;
    let mut bytes = 0.0;
    for (service, count) in universe.services.iter().zip(&calls.to) {
        for id in &service.workloads {
            let workload = &universe.workloads[id.index()];
            if *count < 0.5 || workload.role == Role::Gateway {
                continue;
            }
            let (sojourn, latency) = (ranges.sojourns[id.index()], ranges.latencies[id.index()]);
            let workers = f64::from(workload.station.workers);
            let pods = f64::from(workload.replicas).max(1.0);
            let load = count * sojourn.mean() / plan.duration.as_s().max(1e-9) / pods;
            // All workers are busy: Poisson, but for those who wait.
            let all_busy =
                workers * libm::log(load.max(1e-12)) - load - libm::lgamma(workers + 1.0);
            let waits = if load < workers { libm::exp(all_busy) } else { 1.0 };
            let wait = if 1.0 < waits * count { WAIT_OCTAVES } else { 0.25 };
            let octaves = sojourn.octaves() + latency.octaves() + 2.0 * SETUP_OCTAVES + wait;
            bytes += ROOM * octaves * OCTAVE;
        }
    }
    bytes
}

/// What else is recorded: phases, rows, lines, batches.
fn record(plan: &Plan, calls: &Calls, ranges: &Ranges) -> f64 {
    let (windows, share) = windows(plan);
    let phases = 2.0 * plan.timeline.len() as f64 + 1.0;
    let rows = plan.duration.as_s() / plan.interval.as_s().max(1e-9);
    // Failed handshakes are those of requests: there are none without.
    let seen = if windows == 0.0 { 1.0 } else { (windows / rows).min(1.0) };
    let expired = seen * expired_s(plan) / plan.interval.as_s().max(1e-9);
    // Pods are rolled and certificates renewed: not more lines than that.
    let pods = pods_ever(plan) as f64;
    let changes = if plan.timeline.is_empty() { 0.0 } else { 4.0 * pods };
    let facts = if plan.has_mesh() { renewals(plan) + changes } else { changes };
    let lines = facts.min(LINES * rows) + LINES_MAX * expired;
    let mut bytes = LADDER
        + (phases + 2.0) * (ranges.roots.octaves() + 1.0) * OCTAVE
        + grown(rows) * size::<SeriesRow>()
        + rows.min(calls.roots) * seen.max(share) * ROW_CELLS
        + grown(lines) * 72.0
        + lines * (LINE - 72.0);
    if windows != 0.0 {
        bytes += grown(windows) * 256.0 + windows * CELL * cells(calls, windows);
        // Requests of each edge, by batch, in two rows.
        let edges = calls.edges.iter().filter(|(.., count)| windows < *count).count() as f64;
        bytes += edges * 2.0 * 16.0 * ROOM * windows;
    }
    bytes
}

/// Cells of the latencies of a window's root requests.
fn cells(calls: &Calls, windows: f64) -> f64 {
    met(CELLS, calls.roots / windows)
}

/// Sums of assertions: by second for recovery times; in a sampled run by batch.
fn probes(plan: &Plan) -> f64 {
    let (windows, share) = windows(plan);
    let per_s = windows / plan.duration.as_s().max(1e-9);
    let of = |assertion: &Assertion| {
        let length_s = window_s(plan, assertion);
        let batches = (per_s * length_s).max(1.0);
        let own = if windows == 0.0 { 0.0 } else { ROOM * batches * (size::<Accumulator>() + 8.0) };
        let gauge = matches!(assertion.expect.metric, Metric::Gauge(..));
        own * f64::from(u8::from(!gauge))
            + match assertion.expect.metric {
                // Each second with requests.
                Metric::RecoveryTime(_) => size::<Second>() * grown(share * length_s),
                Metric::Quantile(_) if windows == 0.0 => 4.0 * OCTAVE,
                Metric::Quantile(_) => batches * CELL * 500.0,
                _ => 0.0,
            }
    };
    plan.assertions.iter().map(of).sum()
}

/// How long the window of an assertion is, in seconds.
fn window_s(plan: &Plan, assertion: &Assertion) -> f64 {
    let end = Time::ZERO + plan.duration;
    let of = |event: u32| {
        let event = &plan.timeline[event as usize];
        let begin = match event.trigger {
            Trigger::At { first, .. } => first,
            Trigger::When { not_before, .. } => not_before,
        };
        (begin, event.lasts.map(|lasts| begin.saturating_add(lasts)))
    };
    let (from, to) = match assertion.window.base {
        WindowBase::Run => (Time::ZERO, end),
        WindowBase::During(event) => (of(event).0, of(event).1.unwrap_or(end)),
        WindowBase::Before(event) => (Time::ZERO, of(event).0),
        WindowBase::After(event) => (of(event).1.unwrap_or(of(event).0), end),
    };
    let from = from.max(assertion.window.from.unwrap_or(Time::ZERO));
    let to = to.min(assertion.window.to.unwrap_or(end)).min(end);
    to.saturating_since(from).as_s()
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

/// What changes leave behind: a list of endpoints for each pod that comes or goes, as far as
/// somebody has it, and who is to be told.
fn changes(plan: &Plan) -> f64 {
    let told = if plan.timeline.is_empty() || !plan.has_mesh() { 0.0 } else { PUSH_STATE };
    let replicas = f64::from(plan.parameters.istiod.replicas);
    told * replicas * grown(pods_ever(plan) as f64)
}
