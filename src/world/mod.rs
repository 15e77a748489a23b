//! STUB of branch `cli`, replaced at the merge: a world in which nothing happens.

use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, Time};
use crate::observe::run::{Partial, Probe, Run, Tally, Topology};
use crate::plan::Plan;
use crate::vocabulary::cause::Causes;

/// Limits and what is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether recorders are on.
    pub recorders: bool,
    /// Events at most.
    pub max_events: Option<u64>,
    /// Bytes at most.
    pub max_memory: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { recorders: true, max_events: None, max_memory: None }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Simulated time.
    pub now: Time,
    /// Of this.
    pub duration: Duration,
    /// Events so far.
    pub events: u64,
    /// Bytes in use.
    pub memory: u64,
}

/// Whether a run goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Go {
    /// It does.
    On,
    /// It ends here, and why.
    Stop(&'static str),
}

/// What a run would take.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Root requests.
    pub requests: f64,
    /// Events.
    pub events: f64,
    /// CPU time in seconds.
    pub cpu_s: f64,
    /// Memory.
    pub memory_bytes: u64,
}

/// What a run would take.
pub fn estimate(plan: &Plan) -> Estimate {
    let requests = plan.duration.as_s() * plan.traffic.len() as f64;
    Estimate { requests, events: requests, cpu_s: requests / 1e6, memory_bytes: 1 << 20 }
}

/// Runs a plan.
pub fn simulate(
    plan: &Plan,
    seed: u64,
    options: Options,
    watch: &mut dyn FnMut(Progress) -> Go,
) -> Run {
    let at = Time::ZERO + plan.duration;
    let progress = Progress { now: at, duration: plan.duration, events: 0, memory: 0 };
    let mut why = match watch(progress) {
        Go::On => None,
        Go::Stop(why) => Some(why),
    };
    if options.max_events == Some(0) {
        why = Some("max-events");
    }
    Run {
        scenario: plan.name.clone(),
        variant: plan.variant.clone(),
        claim: plan.claim.clone(),
        profile: plan.profile.clone(),
        seed,
        duration: plan.duration,
        warmup: plan.warmup,
        interval: plan.interval,
        parameters: Vec::new(),
        plan_digest: plan.digest,
        digest: u128::from(seed),
        ladder: Vec::new(),
        kind_names: Vec::new(),
        events: 0,
        stale_events: 0,
        partial: why.map(|why| Partial { why, at }),
        requests: Tally::default(),
        latency: Histogram::new(),
        latency_ok: Histogram::new(),
        phases: Vec::new(),
        services: Vec::new(),
        outcomes: Vec::new(),
        attempts: crate::observe::run::Attempts::default(),
        control_plane: crate::observe::run::ControlPlaneCounts::default(),
        series: Vec::new(),
        occurrences: Vec::new(),
        log: Vec::new(),
        probes: vec![Probe::default(); plan.assertions.len()],
        topology: Topology::default(),
        stations: Vec::new(),
        causes: Causes::default(),
    }
}
