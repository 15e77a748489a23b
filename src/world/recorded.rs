//! The memory of what a run records, before it is made: histograms, phases, rows, lines of the
//! journal, batches, sums of assertions.
//!
//! Source: as of `forecast`, of which it is a part.
//! Left out: lines about what fails for other reasons than certificates.

use super::estimate::{Calls, pods_ever, windows};
use super::forecast::{ROOM, expired_s, grown, met, renewals, size};
use super::ranges::{Range, Ranges};
use super::upkeep;
use crate::kernel::time::Time;
use crate::observe::accumulator::Accumulator;
use crate::observe::control_plane::ReplicaRow;
use crate::observe::run::{LogLine, Occurrence, Phase, SeriesRow};
use crate::observe::seconds::Second;
use crate::plan::Plan;
use crate::plan::assertion::{Assertion, Metric, WindowBase};
use crate::plan::timeline::{TimelineEvent, Trigger};
use crate::plan::universe::Role;

/// An octave of a histogram: 1024 counts; cells in one, as far as there are values.
const OCTAVE: f64 = 8_192.0;
const CELLS: f64 = 2_000.0;
/// A cell of a histogram that was packed.
const CELL: f64 = 24.0;
/// Octaves of a histogram of waits, once somebody waited: from zero to milliseconds.
const WAIT_OCTAVES: f64 = 12.0;
/// Octaves that the set-up of connections adds.
const SETUP_OCTAVES: f64 = 0.5;
/// A row's cells of the heatmap; a rung of the ladder with its counts.
const ROW_CELLS: f64 = 500.0;
const LADDER: f64 = 256.0 * 300.0;
/// Requests of a phase that reach about as far as those of the run; a block of a histogram, in
/// octaves; a phase's name; an event in the lists of those that are in force.
const MANY: f64 = 1_000.0;
const BLOCK: f64 = 0.25;
const NAME: f64 = 32.0;
const IN_TIMELINE: f64 = 16.0;
/// A line of the journal with its two texts; lines in an interval, and of one kind at the most.
const LINE: f64 = 200.0;
const LINES: f64 = 3.0;
const LINES_MAX: f64 = 64.0;
const STREAM_TEXT: f64 = 32.0;

/// The bytes of all that is recorded in a run with these calls and times; `few` are those of the root
/// requests of a phase.
pub(super) fn recorded(plan: &Plan, calls: &Calls, (ranges, few): (&Ranges, Range)) -> f64 {
    served(plan, calls, ranges) + record(plan, calls, (ranges, few)) + probes(plan)
}

/// Histograms of the workloads.
fn served(plan: &Plan, calls: &Calls, ranges: &Ranges) -> f64 {
    let universe = &plan.universe;
    let mut bytes = 0.0;
    for (service, count) in universe.services.iter().zip(&calls.to) {
        for id in &service.workloads {
            let workload = &universe.workloads[id.index()];
            if *count < 0.5 || workload.role != Role::App {
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
fn record(plan: &Plan, calls: &Calls, (ranges, few): (&Ranges, Range)) -> f64 {
    let (windows, share) = windows(plan);
    let cuts = upkeep::cuts(plan);
    let rows = plan.duration.as_s() / plan.interval.as_s().max(1e-9);
    // Failed handshakes are those of requests: there are none without.
    let seen = if windows == 0.0 { 1.0 } else { (windows / rows).min(1.0) };
    let expired = seen * expired_s(plan) / plan.interval.as_s().max(1e-9);
    // Pods are rolled and certificates renewed: not more lines than that.
    let pods = pods_ever(plan) as f64;
    let changes = if plan.timeline.is_empty() { 0.0 } else { 4.0 * pods };
    let facts = if plan.has_mesh() { renewals(plan) + changes } else { changes };
    let told = cuts.min(2.0 * LINES_MAX * rows);
    // Of a stream that ends of age and its return, each with a short text.
    let streams = 2.0 * upkeep::aged_streams(plan).min(LINES_MAX * rows);
    let lines = facts.min(LINES * rows) + told + LINES_MAX * expired;
    let mut bytes = LADDER
        + occurrences(plan)
        + phases(cuts + 1.0, calls, (ranges.roots, few))
        + 2.0 * (ranges.roots.octaves() + 1.0) * OCTAVE
        + grown(rows) * size::<SeriesRow>()
        + grown(rows * replicas(plan)) * size::<ReplicaRow>()
        + rows.min(calls.roots) * seen.max(share) * ROW_CELLS
        + grown(lines + streams) * size::<LogLine>()
        + lines * (LINE - size::<LogLine>())
        + streams * STREAM_TEXT;
    if windows != 0.0 {
        bytes += grown(windows) * 256.0 + windows * CELL * cells(calls, windows);
        // Requests of each edge, by batch, in two rows.
        let edges = calls.edges.iter().filter(|(.., count)| windows < *count).count() as f64;
        bytes += edges * 2.0 * 16.0 * ROOM * windows;
    }
    bytes
}

/// Replicas of istiod, of which each has its rows.
fn replicas(plan: &Plan) -> f64 {
    if plan.has_mesh() { f64::from(plan.parameters.istiod.replicas) } else { 0.0 }
}

/// The phases that cuts make, with the latencies of their requests.
fn phases(count: f64, calls: &Calls, (all, few): (Range, Range)) -> f64 {
    let each = calls.roots / count;
    let octaves = if MANY <= each {
        all.octaves() + 1.0
    } else {
        // They grew by doubling; a request alone has its block.
        ROOM * BLOCK + ROOM * (few.octaves() - BLOCK) * (each / 2.0).min(1.0)
    };
    met(count, calls.roots) * octaves * OCTAVE + grown(count) * size::<Phase>() + count * NAME
}

/// What the timeline keeps of each begin of an event.
fn occurrences(plan: &Plan) -> f64 {
    let of = |event: &TimelineEvent| {
        let texts = (event.id.len() + event.label.len()) as f64;
        upkeep::times(plan, event) as f64 * (texts + IN_TIMELINE)
    };
    let count: u64 = plan.timeline.iter().map(|event| upkeep::times(plan, event)).sum();
    grown(count as f64) * size::<Occurrence>() + plan.timeline.iter().map(of).sum::<f64>()
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
