//! The result of one replication: inert, whole, never recomputed by a report.
//!
//! Source: the fields that other programs rely on are those of `summary.json`.
//! Left out: request traces.

use super::access_log::AccessLog;
use super::control_plane::{ControlPlaneCounts, ReplicaRow};
use super::estimate::Estimates;
use super::linkerd::LinkerdCounts;
pub use super::mesh_cost::{MeshCost, ProxyCpu};
use super::mesh_status::MeshStatus;
pub use super::topology::{Topology, TopologyEdge, TopologyNode};
use crate::kernel::digest::Rung;
use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, Time};
use crate::plan::linkerd;
use crate::plan::sampling::Sampling;
use crate::vocabulary::cause::Causes;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::metric::Gauge;
use crate::vocabulary::outcome::Outcome;

/// What happened in one run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The plan's name.
    pub scenario: String,
    /// The plan's variant.
    pub variant: Option<String>,
    /// The plan's claim.
    pub claim: String,
    /// The plan's profile.
    pub profile: String,
    /// The seed.
    pub seed: u64,
    /// How long the mesh was to be simulated.
    pub duration: Duration,
    /// Nothing before this is counted.
    pub warmup: Duration,
    /// The length of a row of `series`.
    pub interval: Duration,
    /// Every parameter with its value, in the table's order.
    pub parameters: Vec<(&'static str, String)>,
    /// Digest of the plan.
    pub plan_digest: u128,
    /// Digest of the events.
    pub digest: u128,
    /// The digest on its way.
    pub ladder: Vec<Rung>,
    /// Names of the kinds that the ladder counts, by code.
    pub kind_names: Vec<&'static str>,
    /// Events that were not stale.
    pub events: u64,
    /// Events whose owner was gone.
    pub stale_events: u64,
    /// Why the run was ended early.
    pub partial: Option<Partial>,
    /// How it was sampled; none if every request was simulated.
    pub sampled: Option<Sampled>,
    /// What came out of `[sampling]` in another way than whoever asked for it may think.
    pub note: Option<SamplingNote>,
    /// Root requests begun after warm-up and ended.
    pub requests: Tally,
    /// Latency of those.
    pub latency: Histogram,
    /// Latency of those that were ok.
    pub latency_ok: Histogram,
    /// The run cut at each event's begin and end.
    pub phases: Vec<Phase>,
    /// Root requests of each `[[traffic]]`, in the plan's order.
    pub traffic: Vec<TrafficRow>,
    /// Attempts as the server proxies counted them.
    pub services: Vec<ServiceRow>,
    /// Hops as the client proxies logged them, most frequent first within a source and destination.
    pub outcomes: Vec<OutcomeRow>,
    /// Attempts of all hops.
    pub attempts: Attempts,
    /// Control plane.
    pub control_plane: ControlPlaneCounts,
    /// One row an interval.
    pub series: Vec<SeriesRow>,
    /// Replicas of istiod at the same times, in order of time and number.
    pub replicas: Vec<ReplicaRow>,
    /// What the timeline did, in time order.
    pub occurrences: Vec<Occurrence>,
    /// Facts, at most 64 a kind and interval, then a count of the rest.
    pub log: Vec<LogLine>,
    /// What the assertions look at, in the plan's order.
    pub probes: Vec<Probe>,
    /// Nodes and edges of the mesh as it was seen by traffic.
    pub topology: Topology,
    /// Stations, in name order.
    pub stations: Vec<StationRow>,
    /// What its proxies cost; none without a mesh.
    pub mesh_cost: Option<MeshCost>,
    /// What Linkerd's proxies counted; none in another mesh.
    pub linkerd: Option<LinkerdCounts>,
    /// Why things failed.
    pub causes: Causes,
    /// Every call, if the run was asked for it.
    pub access_log: Option<AccessLog>,
    /// The mesh at the instant that the run was asked for.
    pub status: Option<MeshStatus>,
}

impl Run {
    /// Whether its mesh has controllers, and not istiod.
    pub fn is_linkerd(&self) -> bool {
        self.profile.split('@').next() == Some(linkerd::MESH)
    }
}

/// A run that was ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// `max-events`, `max-memory`, `max-time` or `interrupted`.
    pub why: &'static str,
    /// When.
    pub at: Time,
}

/// How a run was sampled, and what the sample says of the whole.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// As the plan asks.
    pub policy: Sampling,
    /// Stretches recorded.
    pub windows: u64,
    /// Of these, such that went on for longer than planned, because work was left or a condition
    /// was about to be met.
    pub windows_extended: u64,
    /// For how long requests were simulated after the warm-up: lead-ins and recorded stretches.
    pub simulated: Duration,
    /// For how long they were recorded.
    pub recorded: Duration,
    /// Traffic that was never sampled, in name order: ids, and calls as `from -> to`.
    pub in_full: Vec<String>,
    /// Of the root requests of the whole run after warm-up; none without any.
    pub estimates: Option<Estimates>,
}

/// What whoever reads a run that was to be sampled should know.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SamplingNote {
    /// All traffic is slower than this, in requests per second of one proxy to one service: every
    /// request was simulated, and the numbers are exact.
    AllInFull(f64),
    /// Windows recorded too few requests for intervals of any use.
    FewInWindows {
        /// In all of them.
        requests: u64,
        /// Windows of periods; those around events stand for themselves.
        windows: u64,
    },
}

/// Requests by result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Ended.
    pub total: u64,
    /// With a complete answer below 500.
    pub ok: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, ok: bool) {
        self.total += 1;
        self.ok += u64::from(ok);
    }

    /// Ended otherwise.
    pub const fn failed(&self) -> u64 {
        self.total - self.ok
    }

    /// ok / total; none without requests.
    pub fn success_rate(&self) -> Option<f64> {
        (self.total != 0).then(|| self.ok as f64 / self.total as f64)
    }
}

/// A stretch between two events. Requests belong to the phase in which they began.
#[derive(Clone, Debug)]
pub struct Phase {
    /// `before istiod-down`, `during istiod-down`, `after istiod-down`, …
    pub name: String,
    /// Its begin.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Root requests.
    pub requests: Tally,
    /// Their latency.
    pub latency: Histogram,
    /// In a sampled run, what they stand for.
    pub estimates: Option<Estimates>,
}

/// The root requests of one `[[traffic]]`, begun after warm-up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrafficRow {
    /// Its id.
    pub id: String,
    /// Its requests.
    pub requests: Tally,
    /// The first that failed: when it ended, and how.
    pub first_failure: Option<(Time, Outcome)>,
}

/// One version of a service, as its server proxies (or apps without) saw it; attempts included.
#[derive(Clone, Debug)]
pub struct ServiceRow {
    /// The service.
    pub name: String,
    /// The version; empty if there is none.
    pub version: String,
    /// Attempts that reached it and were answered.
    pub requests: Tally,
    /// From arrival at the pod to the answer leaving it.
    pub latency: Histogram,
}

/// One way in which calls from a source to a destination ended.
#[derive(Clone, Debug)]
pub struct OutcomeRow {
    /// The calling service, or the traffic's id.
    pub source: String,
    /// The called service.
    pub destination: String,
    /// The version of the last endpoint tried; empty if none was chosen or it has none.
    pub version: String,
    /// Status, flags, details.
    pub outcome: Outcome,
    /// Requests (not attempts).
    pub count: u64,
    /// In a sampled run, how many requests they stand for.
    pub estimate: Option<f64>,
    /// Why, for failures of the mesh: an index into `Run::causes`.
    pub cause: Option<crate::vocabulary::cause::CauseId>,
}

/// Attempts of all hops after warm-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attempts {
    /// Calls of all hops that ended.
    pub calls: u64,
    /// Attempts made for them, retries included.
    pub total: u64,
    /// Of these, retries.
    pub retries: u64,
}

impl Attempts {
    /// Attempts per call; 1 without any.
    pub fn amplification(&self) -> f64 {
        if self.calls == 0 { 1.0 } else { self.total as f64 / self.calls as f64 }
    }
}

/// The state at an interval's begin, and what ended within it.
#[derive(Clone, Debug)]
pub struct SeriesRow {
    /// The interval's begin.
    pub time: Time,
    /// For how long of it requests were recorded: all of it, if the run is not sampled.
    pub recorded: Duration,
    /// Root requests that ended within it.
    pub requests: Tally,
    /// Quantiles of their latency in ns; none without requests.
    pub p50_ns: Option<u64>,
    /// See `p50_ns`.
    pub p90_ns: Option<u64>,
    /// See `p50_ns`.
    pub p99_ns: Option<u64>,
    /// Attempts of all hops that began within it.
    pub attempts: u64,
    /// Of these, retries.
    pub retries: u64,
    /// Latencies in cells of 8 per octave of nanoseconds: (cell, count), for the heatmap.
    pub cells: Vec<(u16, u64)>,
    /// Each gauge at the interval's begin, in the order of `Gauge::ALL`.
    pub gauges: [f64; Gauge::ALL.len()],
}

/// The latency at which cell `cell` of [`SeriesRow::cells`] begins, in ns: 2^(cell/8).
pub fn cell_from_ns(cell: u16) -> f64 {
    libm::exp2(f64::from(cell) / 8.0)
}

/// A timeline event as it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Occurrence {
    /// Index into the plan's timeline.
    pub event: u32,
    /// The event's id.
    pub id: String,
    /// The action in words.
    pub label: String,
    /// When it began.
    pub from: Time,
    /// When it ended, `from` for an instant; none if it lasted to the end of the run.
    pub to: Option<Time>,
}

/// A line of `events.jsonl`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When.
    pub time: Time,
    /// What kind.
    pub kind: FactKind,
    /// Whom it concerns: a pod, a service, an event's id.
    pub subject: String,
    /// More, in words; may be empty.
    pub detail: String,
    /// Facts of this kind in this interval beyond the 64th, on the line that ends the interval.
    pub more: u64,
}

/// What one assertion looked at.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// The stretches of time that were looked at, in time order.
    pub windows: Vec<ProbeWindow>,
}

/// One stretch of time of a probe.
#[derive(Clone, Debug)]
pub struct ProbeWindow {
    /// Its begin.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Samples: requests that began in it and ended, or readings of a gauge.
    pub samples: u64,
    /// What was measured, in the metric's unit; none without samples.
    pub value: Option<f64>,
    /// Begin of the first request (or the reading) that alone makes the expectation fail, where
    /// that can be told: the first failed request, the first reading out of bounds.
    pub first_violation: Option<Time>,
}

/// An app's station over the recorded time, summed over its pods.
#[derive(Clone, Debug)]
pub struct StationRow {
    /// The workload.
    pub workload: String,
    /// Pods that ever ran.
    pub pods: u32,
    /// Workers, in all.
    pub workers: u64,
    /// Mean number of busy workers over the recorded time.
    pub busy: f64,
    /// Mean number of requests present (waiting and in service) over the recorded time.
    pub present: f64,
    /// Requests that were turned away by a full queue.
    pub overflowed: u64,
    /// Time from arrival at the station to the begin of service.
    pub wait: Histogram,
    /// Time from arrival at the station to the end of its program.
    pub sojourn: Histogram,
}
