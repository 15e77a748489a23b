//! Sampling while running: windows begin and end, and what goes on between them.
//!
//! Between windows no sampled request begins and the clock of traffic stands still; all else goes on.
//! What cannot wait for the next window stands in `gaps`.
//!
//! Source: `model::sampling`; ARCHITECTURE.md, "Long time".
//! Left out: requests that are never sampled meet idle servers between windows.

use super::World;
use super::event::Event;
use super::gaps::{RareCalls, Reopening, unit_exponential};
use super::rates::PairRates;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::queue::Ticket;
use crate::kernel::sampler::Sampler;
use crate::kernel::slab::Slab;
use crate::kernel::stream::{draw_at, name_hash};
use crate::kernel::time::{Duration, Time};
use crate::model::sampling::schedule::{Class, Schedule, Step};
use crate::observe::batch::{ALL, Standing, UNRECORDED};
use crate::observe::run::Sampled;
use crate::plan::Plan;
use crate::plan::sampling::Sampling as Policy;
use crate::plan::timeline::Trigger;
use crate::plan::universe::ClusterId;

/// Bytes of a period in the schedule, which has about as many as there are batches.
const PERIOD: usize = 48;

/// The state of a sampled run.
pub(crate) struct Sampling {
    pub(super) policy: Policy,
    pub(super) schedule: Schedule,
    ticket: Ticket,
    pub(super) rates: PairRates,
    /// By source of traffic: it is never sampled.
    in_full: Vec<bool>,
    /// The batch of sampled requests that begin now.
    batch: u32,
    /// The batch of those that are never sampled.
    pub(super) full_batch: u32,
    /// By batch: what its requests stand for, and the group of batches like it.
    pub(super) batches: Vec<Option<(Class, u32)>>,
    /// Cuts so far.
    cuts: u32,
    /// Traffic runs since.
    since: Time,
    /// Demand is measured since: traffic runs, and no event came between.
    measured_since: Time,
    recording_since: Option<Time>,
    simulated: Duration,
    recorded: Duration,
    pub(super) gaps: u32,
    pub(super) rare: Vec<RareCalls>,
    pub(super) demands: Slab<Reopening>,
    /// A unit exponential.
    pub(super) unit: Sampler,
    /// By user slot: when it has thought, in traffic time.
    pub(super) users_due: Vec<Time>,
    /// Users and ticks of outlier detection that wait for the clock to go on.
    pub(super) users_parked: Vec<u32>,
    pub(super) ticks_parked: Vec<(u32, Time)>,
}

impl Sampling {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let users = self.users_due.bytes() + self.users_parked.bytes() + self.ticks_parked.bytes();
        size_of::<Self>()
            + self.rates.bytes()
            + self.in_full.bytes()
            + self.batches.bytes()
            + self.batches.len() * PERIOD
            + self.rare.bytes()
            + self.demands.bytes()
            + self.unit.bytes()
            + users
    }

    pub(super) fn is_full_batch(&self, batch: u32) -> bool {
        batch != UNRECORDED && self.batches[batch as usize].is_none()
    }
}

impl World<'_> {
    // === the beginning ===

    /// Prepares the windows, if the plan wants any. Before anything else is made.
    pub(super) fn start_sampling(&mut self) {
        let plan = self.plan;
        let Some(policy) = plan.sampling else { return };
        let rates = PairRates::new(plan);
        let is_rare = |client, to| {
            let per_s = rates.per_s(client, to);
            0.0 < per_s && per_s < policy.full_below_per_s
        };
        let in_full: Vec<bool> = plan.traffic.iter().map(|one| is_rare(one.from, one.to)).collect();
        let rare = self.rare_calls(is_rare);
        let users = plan.traffic.iter().map(|traffic| traffic.arrivals.users() as usize);
        let warmup = Time::ZERO + plan.warmup;
        let mut sampling = Sampling {
            policy,
            schedule: Schedule::new(policy, warmup, self.end, cuts(plan, self.end)),
            ticket: Ticket::NONE,
            rates,
            in_full,
            batch: UNRECORDED,
            full_batch: ALL,
            batches: vec![None],
            cuts: 0,
            since: Time::ZERO,
            measured_since: Time::ZERO,
            recording_since: None,
            simulated: Duration::ZERO,
            recorded: Duration::ZERO,
            gaps: 0,
            rare,
            demands: Slab::new(),
            unit: unit_exponential(),
            users_due: vec![Time::ZERO; users.sum()],
            users_parked: Vec::new(),
            ticks_parked: Vec::new(),
        };
        let first = sampling.schedule.next().expect("a warm-up or lead-in ends before the run");
        sampling.ticket = self.queue.at(first, Event::Window(0).pack());
        self.sampling = Some(Box::new(sampling));
        self.recorder.series.set_recording(Time::ZERO, false);
    }

    // === whose requests are sampled ===

    /// Whether requests of a source are sampled.
    pub(super) fn is_sampled(&self, source: u32) -> bool {
        self.sampling.as_ref().is_some_and(|sampling| !sampling.in_full[source as usize])
    }

    /// Whether a source makes no requests now.
    pub(super) fn rests(&self, source: u32) -> bool {
        self.clock.is_stopped() && self.is_sampled(source)
    }

    /// The batch of a request that a source makes now.
    pub(super) fn batch_of(&self, source: u32) -> u32 {
        match &self.sampling {
            None => ALL,
            Some(sampling) if sampling.in_full[source as usize] => sampling.full_batch,
            Some(sampling) => sampling.batch,
        }
    }

    /// The batch of sampled requests that begin now.
    pub(super) fn sampled_batch(&self) -> u32 {
        self.sampling.as_ref().map_or(ALL, |sampling| sampling.batch)
    }

    /// Whether a pod's requests to a cluster are never sampled.
    pub(super) fn is_in_full(&self, pod: u32, cluster: ClusterId) -> bool {
        let Some(sampling) = &self.sampling else { return false };
        let to = self.plan.universe.clusters[cluster.index()].service;
        let rate = sampling.rates.per_s(self.pods[pod as usize].workload, to);
        rate < sampling.policy.full_below_per_s
    }

    // === windows ===

    /// The schedule goes on.
    pub(super) fn window(&mut self, ticket: Ticket) {
        let (backlog, is_deciding) = (self.backlog(), self.is_deciding());
        let (now, seed) = (self.now, self.seed);
        let Some(sampling) = &mut self.sampling else { return self.stale() };
        if sampling.ticket != ticket {
            return self.stale();
        }
        let draw = |n: u32| draw_at(seed, "sampling", name_hash("windows"), u64::from(n));
        let step = sampling.schedule.advance(now, backlog, is_deciding, draw);
        // A stretch is measured in pieces, so that a gap goes on as its last ones were.
        let length = now.saturating_since(sampling.measured_since);
        let is_going_on = !self.clock.is_stopped() && matches!(step, Step::Record(_));
        if is_going_on && sampling.policy.window <= length {
            sampling.measured_since = now;
            self.measure_demands(length);
        }
        self.follow(step);
        self.schedule_window();
    }

    /// A timeline event begins, and ends at `until`, or it ends: a new phase.
    pub(super) fn cut_windows(&mut self, until: Option<Time>) {
        let (now, end) = (self.now, self.end);
        let is_running = !self.clock.is_stopped();
        let Some(sampling) = &mut self.sampling else { return };
        let since = std::mem::replace(&mut sampling.measured_since, now);
        self.cut_demands(if is_running { now.since(since) } else { Duration::ZERO });
        let backlog = self.backlog();
        let Some(sampling) = &mut self.sampling else { return };
        sampling.cuts += 1;
        sampling.full_batch = self.recorder.batches.begin(now);
        sampling.batches.push(None);
        if let Some(until) = until.filter(|until| *until < end) {
            sampling.schedule.foresee(until);
        }
        let surprise = sampling.schedule.surprise(now, backlog);
        let current = sampling.batches.get(sampling.batch as usize).copied().flatten();
        match (surprise, current) {
            (Some(step), _) => self.follow(step),
            // The same goes on in the new phase.
            (None, Some((class, _))) => self.follow(Step::Record(class)),
            (None, None) => {}
        }
        self.schedule_window();
    }

    fn schedule_window(&mut self) {
        let now = self.now;
        let Some(sampling) = &mut self.sampling else { return };
        sampling.ticket = match sampling.schedule.next() {
            Some(at) => self.queue.at(at.max(now), Event::Window(0).pack()),
            None => Ticket::NONE,
        };
    }

    fn follow(&mut self, step: Step) {
        match step {
            Step::Rest => self.stop_traffic(),
            Step::LeadIn | Step::Record(_) => self.run_traffic(),
        }
        let (now, after_warmup) = (self.now, Time::ZERO + self.plan.warmup <= self.now);
        let Some(sampling) = &mut self.sampling else { return };
        if let Some(since) = sampling.recording_since.take() {
            sampling.recorded += now.since(since);
        }
        sampling.batch = match step {
            Step::Record(class) if after_warmup => {
                sampling.recording_since = Some(now);
                let group = 2 * sampling.cuts + u32::from(class == Class::Certain);
                sampling.batches.push(Some((class, group)));
                self.recorder.batches.begin(now)
            }
            _ => UNRECORDED,
        };
        let is_recording = sampling.batch != UNRECORDED;
        self.recorder.series.set_recording(now, is_recording);
    }

    fn run_traffic(&mut self) {
        if !self.clock.is_stopped() {
            return;
        }
        let now = self.now;
        self.clock.start(now);
        self.queue.resume();
        let Some(sampling) = &mut self.sampling else { return };
        sampling.since = now;
        sampling.measured_since = now;
        for slot in std::mem::take(&mut sampling.users_parked) {
            let at = self.clock.instant(sampling.users_due[slot as usize]);
            self.queue.at(at.max(now), Event::UserReturns(slot).pack());
        }
        for (tick, due) in std::mem::take(&mut sampling.ticks_parked) {
            let at = self.clock.instant(due);
            self.queue.at(at.max(now), tick);
        }
        for source in 0..u32::try_from(self.sources.len()).expect("few sources") {
            if self.is_sampled(source) {
                self.start_source(source);
            }
        }
    }

    fn stop_traffic(&mut self) {
        if self.clock.is_stopped() {
            return;
        }
        let now = self.now;
        self.clock.stop(now);
        self.queue.pause();
        for source in 0..u32::try_from(self.sources.len()).expect("few sources") {
            if self.is_sampled(source) {
                self.stop_source(source);
            }
        }
        let warmup = Time::ZERO + self.plan.warmup;
        let Some(sampling) = &mut self.sampling else { return };
        let length = now.since(sampling.measured_since);
        sampling.simulated += now.saturating_since(sampling.since.max(warmup));
        sampling.gaps += 1;
        self.measure_demands(length);
        self.begin_gap();
    }

    /// Work that waits: in the queues of apps, and for connections.
    fn backlog(&self) -> usize {
        let pending: usize = self.upstreams.iter().map(|one| one.gauges.pending as usize).sum();
        self.census.queued as usize + pending
    }

    /// Whether a condition on requests holds that has not held for long enough yet.
    fn is_deciding(&self) -> bool {
        self.recorder.watches.iter().any(|(event, watch)| {
            let Trigger::When { not_before, .. } = self.plan.timeline[*event as usize].trigger
            else {
                return false;
            };
            watch.gauge().is_none()
                && watch.is_holding()
                && not_before <= self.now
                && !self.has_begun(*event)
        })
    }

    // === the end ===

    /// What the requests of each batch stand for.
    pub(super) fn standings(&self) -> Vec<Standing> {
        let Some(sampling) = &self.sampling else {
            return vec![Standing { weight: 1.0, group: None }];
        };
        let standing = |batch: &Option<(Class, u32)>| match batch {
            None => Standing { weight: 1.0, group: None },
            Some((class, group)) => {
                Standing { weight: sampling.schedule.weight(*class), group: Some(*group) }
            }
        };
        sampling.batches.iter().map(standing).collect()
    }

    /// How the run was sampled, without the estimates.
    pub(super) fn sampled(&self) -> Option<Sampled> {
        let sampling = self.sampling.as_ref()?;
        let universe = &self.plan.universe;
        let (windows, windows_extended) = sampling.schedule.windows();
        let sources = self.plan.traffic.iter().zip(&sampling.in_full);
        let sources = sources.filter(|(_, full)| **full).map(|(traffic, _)| traffic.id.clone());
        let calls = sampling.rare.iter().map(|rare| {
            let from = &universe.workloads[rare.workload.index()].name;
            let to = &universe.services[rare.call.target.to.index()].name;
            format!("{from} -> {to}")
        });
        let mut in_full: Vec<String> = sources.chain(calls).collect();
        in_full.sort();
        in_full.dedup();
        let warmup = Time::ZERO + self.plan.warmup;
        let running = if self.clock.is_stopped() {
            Duration::ZERO
        } else {
            self.now.saturating_since(sampling.since.max(warmup))
        };
        let recording =
            sampling.recording_since.map_or(Duration::ZERO, |since| self.now.since(since));
        Some(Sampled {
            policy: sampling.policy,
            windows,
            windows_extended,
            simulated: sampling.simulated + running,
            recorded: sampling.recorded + recording,
            in_full,
            estimates: None,
        })
    }
}

/// Instants of the timeline that are known before the run: begins and ends of events, and the first
/// look of conditions on requests.
pub(super) fn cuts(plan: &Plan, end: Time) -> Vec<Time> {
    let mut cuts = Vec::new();
    for event in &plan.timeline {
        match &event.trigger {
            Trigger::At { first, every, times } => {
                let mut at = *first;
                for _ in 0..*times {
                    if end <= at {
                        break;
                    }
                    cuts.push(at);
                    if let Some(lasts) = event.lasts {
                        cuts.push(at.saturating_add(lasts));
                    }
                    let Some(every) = every else { break };
                    at = at.saturating_add(*every);
                }
            }
            Trigger::When { not_before, .. } => cuts.push(*not_before),
        }
    }
    cuts.retain(|at| Time::ZERO < *at && *at < end);
    cuts
}
