//! The recorder: counts what the world tells it, for reports, assertions and conditions.
//!
//! It answers nothing that could change a run, but for the watches of conditions, which belong to
//! the model (an operator or a rollout controller who looks at a dashboard) and are always on.
//!
//! Source: the outputs of docs/results.md.
//! Left out: request traces.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::accumulator::Sample;
use super::batch::{ALL, Batches, UNRECORDED};
use super::control_plane::ReplicaRow;
use super::journal::Journal;
use super::phase::Phases;
use super::probe::{Interest, ProbeState};
use super::run::{Attempts, Tally};
use super::series::{Readings, Series};
use super::watch::Watch;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, Time};
use crate::plan::Plan;
use crate::plan::timeline::Trigger;
use crate::plan::universe::WorkloadId;
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::metric::Gauge;
use crate::vocabulary::outcome::Outcome;

/// Calls from one source to one destination.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The calling service, the gateway, or the traffic's id.
    pub source: String,
    /// The called service.
    pub destination: String,
    /// The traffic's id, if these are its root requests.
    pub traffic: Option<String>,
    /// How they ended.
    pub rows: Vec<EdgeRow>,
    /// In a sampled run, for each row its requests by batch.
    pub batches: Vec<Vec<(u32, u64)>>,
    /// The first that failed: when it ended, and how. Boxed, for edges lie in the way of every request.
    pub first_failure: Option<Box<(Time, Outcome)>>,
    /// Assertions and conditions that want them.
    probes: Vec<u32>,
    watches: Vec<u32>,
}

/// One way in which calls of an edge ended.
#[derive(Clone, Copy, Debug)]
pub struct EdgeRow {
    /// Workload of the last endpoint tried.
    pub workload: Option<WorkloadId>,
    /// Status, flags, details.
    pub outcome: Outcome,
    /// Why.
    pub cause: Option<CauseId>,
    /// Requests.
    pub count: u64,
}

/// One workload as its pods saw it.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Attempts answered.
    pub requests: Tally,
    /// From arrival at the pod to the answer leaving it.
    pub latency: Histogram,
    /// From arrival at the station to the begin of service.
    pub wait: Histogram,
    /// From arrival at the station to the end of its program.
    pub sojourn: Histogram,
    /// Turned away by a full queue.
    pub overflowed: u64,
}

/// Everything that is counted.
pub struct Recorder {
    /// Off: nothing but the watches.
    pub on: bool,
    /// The end of the warm-up; off, beyond every time.
    counts_from: Time,
    /// Edges, in the order in which the world numbered them.
    pub edges: Vec<Edge>,
    /// Root requests begun after warm-up.
    pub requests: Tally,
    /// The latency of those that were ok; that of all is the sum of the phases'.
    pub latency_ok: Histogram,
    /// By workload id.
    pub served: Vec<Served>,
    /// Attempts of all hops.
    pub attempts: Attempts,
    /// CPU time of handshakes, of both sides, in nanoseconds.
    pub handshakes_ns: u64,
    /// Phases.
    pub phases: Phases,
    /// Root requests by batch, for the estimates of a sampled run.
    pub batches: Batches,
    /// Rows.
    pub series: Series,
    /// The replicas of istiod, at the same times.
    pub replicas: Vec<ReplicaRow>,
    /// Facts.
    pub journal: Journal,
    /// Assertions, in the plan's order.
    pub probes: Vec<ProbeState>,
    /// Conditions: (event, watch).
    pub watches: Vec<(u32, Watch)>,
}

/// A call that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Which edge.
    pub edge: u32,
    /// The numbers.
    pub sample: Sample,
    /// Why, if it failed.
    pub cause: Option<CauseId>,
}

impl Edge {
    /// All of them.
    pub fn requests(&self) -> Tally {
        let count = |ok_only: bool| {
            let rows = self.rows.iter().filter(|row| !ok_only || row.outcome.is_ok());
            rows.map(|row| row.count).sum()
        };
        Tally { total: count(false), ok: count(true) }
    }

    /// The row that a call belongs to; nearly always the first.
    #[inline(always)]
    fn row_of(&mut self, ended: &Ended) -> usize {
        match self.rows.first() {
            Some(first) if first.counts(ended) => 0,
            _ => self.further_row_of(*ended),
        }
    }

    #[inline(never)]
    fn further_row_of(&mut self, ended: Ended) -> usize {
        self.rows.iter().position(|row| row.counts(&ended)).unwrap_or_else(|| {
            let Ended { sample, cause, .. } = ended;
            let (workload, outcome) = (sample.workload, sample.outcome);
            // The first that fails is the first of its row.
            if !sample.is_ok && self.first_failure.is_none() {
                self.first_failure = Some(Box::new((sample.began + sample.latency, outcome)));
            }
            self.rows.push(EdgeRow { workload, outcome, cause, count: 0 });
            self.rows.len() - 1
        })
    }

    /// Another request of a row, for what it stands for.
    fn count_in_batch(&mut self, row: usize, batch: u32) {
        if self.batches.len() <= row {
            self.batches.resize(row + 1, Vec::new());
        }
        let counts = &mut self.batches[row];
        match counts.iter_mut().rfind(|(one, _)| *one == batch) {
            Some((_, count)) => *count += 1,
            None => counts.push((batch, 1)),
        }
    }
}

impl EdgeRow {
    #[inline(always)]
    fn counts(&self, ended: &Ended) -> bool {
        let Ended { sample, cause, .. } = ended;
        self.outcome == sample.outcome && self.workload == sample.workload && self.cause == *cause
    }
}

impl Recorder {
    /// A recorder for a run of `plan` over these edges: (source, destination, traffic).
    pub fn new(plan: &Plan, on: bool, edges: Vec<(String, String, Option<String>)>) -> Self {
        let (warmup, end) = (Time::ZERO + plan.warmup, Time::ZERO + plan.duration);
        let universe = &plan.universe;
        let probe = |assertion| ProbeState::new(assertion, universe, warmup, end);
        let probes: Vec<_> = plan.assertions.iter().map(probe).collect();
        let watches = plan.timeline.iter().zip(0..).filter_map(|(event, index)| {
            let Trigger::When { expectation, window, .. } = &event.trigger else { return None };
            Some((index, Watch::new(expectation, *window, universe)))
        });
        let watches: Vec<(u32, Watch)> = watches.collect();
        let edge = |(source, destination, traffic): (String, String, Option<String>)| {
            let wants = |interest: &Interest| {
                (!interest.roots || traffic.is_some())
                    && interest.source.as_ref().is_none_or(|name| *name == source)
                    && interest.destination.as_ref().is_none_or(|name| *name == destination)
                    && interest.traffic.as_ref().is_none_or(|id| Some(id) == traffic.as_ref())
            };
            let of_interest = probes
                .iter()
                .zip(0..)
                .filter(|(probe, _)| probe.gauge().is_none() && wants(&probe.interest));
            let watching = watches
                .iter()
                .zip(0..)
                .filter(|((_, watch), _)| watch.gauge().is_none() && wants(&watch.interest));
            Edge {
                probes: of_interest.map(|(_, index)| index).collect(),
                watches: watching.map(|(_, index)| index).collect(),
                rows: Vec::with_capacity(8),
                batches: Vec::new(),
                first_failure: None,
                source,
                destination,
                traffic,
            }
        };
        let edges = edges.into_iter().map(edge).collect();
        Self {
            on,
            counts_from: if on { warmup } else { Time::from_ns(u64::MAX) },
            edges,
            requests: Tally::default(),
            latency_ok: Histogram::new(),
            served: vec![Served::default(); universe.workloads.len()],
            attempts: Attempts::default(),
            handshakes_ns: 0,
            phases: Phases::new(warmup),
            batches: Batches::new(on && plan.sampling.is_some()),
            series: Series::new([0.0; Gauge::ALL.len()]),
            replicas: Vec::new(),
            journal: Journal::new(plan.interval),
            probes,
            watches,
        }
    }

    /// Bytes held, beside the journal, which tells its own at once.
    pub fn bytes(&self) -> usize {
        let edge = |edge: &Edge| {
            let names = edge.source.bytes() + edge.destination.bytes() + edge.traffic.bytes();
            let probes = edge.probes.bytes();
            let batches = edge.batches.bytes() + edge.batches.iter().map(Vec::bytes).sum::<usize>();
            let watches = edge.watches.bytes();
            names + probes + watches + edge.rows.bytes() + batches
        };
        let served = |one: &Served| one.latency.bytes() + one.wait.bytes() + one.sojourn.bytes();
        self.edges.bytes()
            + self.edges.iter().map(edge).sum::<usize>()
            + self.served.bytes()
            + self.served.iter().map(served).sum::<usize>()
            + self.latency_ok.bytes()
            + self.phases.bytes()
            + self.series.bytes()
            + self.replicas.bytes()
            + self.batches.bytes()
            + self.probes.bytes()
            + self.probes.iter().map(ProbeState::bytes).sum::<usize>()
            + self.watches.bytes()
            + self.watches.iter().map(|(_, watch)| watch.bytes()).sum::<usize>()
    }

    /// Pieces that [`Recorder::bytes`] looks at, about.
    pub fn pieces(&self) -> usize {
        let own = self.edges.len() + 3 * self.served.len() + self.batches.len();
        own + self.probes.iter().map(ProbeState::sums).sum::<usize>()
    }

    /// Whether something that began then, for a request of that batch, is counted.
    #[inline]
    pub fn counts(&self, began: Time, batch: u32) -> bool {
        self.counts_from <= began && batch != UNRECORDED
    }

    /// A call ended at its client side.
    #[inline(always)]
    pub fn ended(&mut self, now: Time, ended: Ended) {
        let sample = ended.sample;
        let counts = self.counts(sample.began, sample.batch);
        let edge = &mut self.edges[ended.edge as usize];
        for index in &edge.watches {
            self.watches[*index as usize].1.request(now, sample);
        }
        if !counts {
            return;
        }
        let ok = sample.is_ok;
        let place = edge.row_of(&ended);
        edge.rows[place].count += 1;
        if self.batches.is_on() {
            edge.count_in_batch(place, sample.batch);
        }
        for index in &edge.probes {
            self.probes[*index as usize].request(sample);
        }
        self.attempts.calls += 1;
        self.attempts.total += u64::from(sample.attempts);
        self.attempts.retries += u64::from(sample.attempts.saturating_sub(1));
        if edge.traffic.is_some() {
            self.root_ended(sample, ok);
        }
    }

    #[inline(always)]
    fn root_ended(&mut self, sample: Sample, ok: bool) {
        self.requests.count(ok);
        if ok {
            self.latency_ok.record(sample.latency.ns());
        }
        self.phases.request(sample.began, sample.latency, ok);
        self.series.request(sample.latency, ok);
        self.batches.request(sample.batch, sample.latency, ok);
    }

    /// An attempt begins.
    #[inline]
    pub fn attempt(&mut self, now: Time, batch: u32, is_retry: bool) {
        if self.counts(now, batch) {
            self.series.attempt(is_retry);
        }
    }

    /// A TLS handshake begins, which takes so much CPU time of both sides.
    pub fn shook_hands(&mut self, now: Time, cpu: Duration) {
        if self.counts_from <= now {
            self.handshakes_ns += cpu.ns();
        }
    }

    /// A client sends a request again.
    pub fn sent_again(&mut self, now: Time, batch: u32) {
        if self.counts(now, batch) {
            self.series.sent_again();
        }
    }

    /// A pod answered an attempt.
    #[inline(always)]
    pub fn served(
        &mut self,
        workload: WorkloadId,
        (arrived, batch): (Time, u32),
        latency: Duration,
        ok: bool,
    ) {
        if self.counts(arrived, batch) {
            let served = &mut self.served[workload.index()];
            served.requests.count(ok);
            served.latency.record(latency.ns());
        }
    }

    /// A request got a server after waiting at the station.
    #[inline(always)]
    pub fn waited(&mut self, workload: WorkloadId, (arrived, batch): (Time, u32), wait: Duration) {
        if self.counts(arrived, batch) {
            self.served[workload.index()].wait.record(wait.ns());
        }
    }

    /// A request's program ended at the station.
    #[inline(always)]
    pub fn sojourned(
        &mut self,
        workload: WorkloadId,
        (arrived, batch): (Time, u32),
        sojourn: Duration,
    ) {
        if self.counts(arrived, batch) {
            self.served[workload.index()].sojourn.record(sojourn.ns());
        }
    }

    /// A timeline event begins; an instant (a rollout) has no end.
    pub fn event_begins(&mut self, index: u32, id: &str, now: Time, has_end: bool) {
        self.phases.begin(id, now, has_end);
        self.probes.iter_mut().for_each(|probe| probe.event_begins(index, now, has_end));
    }

    /// A timeline event ends.
    pub fn event_ends(&mut self, index: u32, id: &str, now: Time) {
        self.phases.end(id, now);
        self.probes.iter_mut().for_each(|probe| probe.event_ends(index, now));
    }

    /// Whether some assertion reads gauges.
    pub fn reads_gauges(&self) -> bool {
        self.on && self.probes.iter().any(|probe| probe.gauge().is_some())
    }

    /// Gauges are read for the assertions, those of traffic if requests of `batch` are recorded.
    pub fn readings(&mut self, now: Time, readings: &Readings, batch: u32) {
        for probe in &mut self.probes {
            let Some(gauge) = probe.gauge() else { continue };
            let value = readings[gauge as usize];
            if !gauge.is_of_traffic() {
                probe.reading(now, value, ALL);
            } else if batch != UNRECORDED {
                probe.reading(now, value, batch);
            }
        }
    }
}
