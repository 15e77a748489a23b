//! Floor 3: the one place with events and a queue.
//!
//! The world holds all state of a run. It tells the parts of the model what happened, and does
//! what they decide. The journey of a request reads from top to bottom in `journey`.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

mod access;
mod admission;
mod ages;
mod anchors;
mod app_sends;
mod authorities;
mod autoscale;
mod backlog;
mod balance;
mod blame;
mod build;
mod calls;
mod capacity;
mod census;
mod certify;
mod checks;
mod client;
mod clocks;
mod cluster;
mod compiled;
mod config;
mod connect;
mod connection;
mod control;
mod controllers;
mod crashes;
mod dead_ends;
mod deadlines;
mod definitions;
mod detour;
mod discovery;
mod drains;
mod ending;
pub mod estimate;
pub mod event;
mod faults;
mod filter_lists;
mod filters;
mod finish;
mod forecast;
mod gaps;
mod gauges;
mod has;
mod hedging;
mod held;
mod hpa;
mod inbound_filters;
mod inbound_retries;
mod journey;
mod keep_alive;
mod keepalive;
mod kubectl;
mod kubelet;
mod kubernetes;
mod ledger;
mod linkerd;
mod linkerd_answers;
mod linkerd_app;
mod linkerd_balancer;
mod linkerd_check;
mod linkerd_client;
mod linkerd_endpoint;
mod linkerd_failover;
mod linkerd_grpc;
mod linkerd_inbound;
mod linkerd_limits;
mod linkerd_lookup;
mod linkerd_policy;
mod linkerd_route;
mod linkerd_tcp;
mod listeners;
mod members;
mod memory;
mod merging;
mod mesh_cost;
mod mirror;
mod network;
pub mod options;
mod outlier;
mod overload;
mod owner;
mod pick;
mod pod;
mod pods;
mod power;
mod probes;
mod proxied;
mod pushes;
mod ranges;
mod rate_limits;
mod rates;
mod recorded;
mod refusal;
mod renewal;
mod replies;
mod routing;
mod samplers;
mod sampling;
mod scopes;
mod security;
mod seen;
mod seldom;
mod sends;
mod serving;
mod settings;
mod shared_cores;
mod shares;
mod shedding;
mod snapshot;
mod state;
mod streams;
mod timeline;
mod timeouts;
mod tokens;
mod tries;
mod upkeep;
mod upstream;
mod verification;
mod visit;
mod waypoint;
mod webhook;
mod workload_wait;
mod ztunnel;

use crate::kernel::digest::{Digest, Ladder};
use crate::kernel::queue::{Queue, Ticket};
use crate::kernel::slab::{Id, Slab};
use crate::kernel::time::{Duration, Time};
use crate::model::net::topology::Network;
use crate::model::sampling::clock::Clock;
use crate::observe::access_log::AccessLog;
use crate::observe::mesh_status::MeshStatus;
use crate::observe::recorder::Recorder;
use crate::observe::run::{Occurrence, Partial, Run, SamplingNote};
use crate::plan::Plan;
use crate::plan::universe::{ClassId, ServiceId};
use crate::vocabulary::cause::Causes;
use census::Census;
use compiled::Compiled;
use config::Config;
use control::ControlPlane;
use event::Event;
use ledger::Ledger;
use network::Nodes;
use options::{Go, Options, Progress};
use rates::PairRates;
use state::{Attempt, Call, Connection, Pod, Upstream};
use std::collections::{BTreeMap, BTreeSet};

/// Plays a plan. Nothing can fail: what goes wrong in a mesh is data.
pub fn simulate(
    plan: &Plan,
    seed: u64,
    options: Options,
    watch: &mut dyn FnMut(Progress) -> Go,
) -> Run {
    if let Some(policy) = plan.sampling.filter(|_| !PairRates::any_is_sampled(plan)) {
        // Nothing is left out: it is the run of every request, to the last event.
        let all = Plan { sampling: None, ..plan.clone() };
        let note = Some(SamplingNote::AllInFull(policy.full_below_per_s));
        return Run { note, ..simulate(&all, seed, options, watch) };
    }
    // Nothing is built that would not fit.
    if options.max_memory.is_some_and(|max| max < estimate::estimate(plan).start_bytes) {
        return refusal::refused(plan, seed, options);
    }
    let mut world = World::new(plan, seed, options);
    let partial = world.run(watch);
    world.finish(partial)
}

/// All state while simulating.
pub(crate) struct World<'p> {
    plan: &'p Plan,
    seed: u64,
    options: Options,
    now: Time,
    end: Time,
    queue: Queue,
    digest: Digest,
    ladder: Ladder,
    events: u64,
    stale: u64,
    /// The event being handled was stale: it is not folded.
    is_stale: bool,
    /// The hash of the name of the one that the event being handled is about.
    owner: u64,

    compiled: Compiled,
    sources: Vec<client::Source>,
    calls: Slab<Call>,
    attempts: Slab<Attempt>,
    connections: Slab<Connection>,
    /// Attempts that a proxy has sent on, with its own calls.
    proxied: BTreeMap<Id<Attempt>, Id<Call>>,
    /// What clients asked for that left before a proxy had read it.
    unread: BTreeMap<Id<Attempt>, (ClassId, ServiceId)>,
    /// Connections that apps close when they are idle.
    keep_alive: keep_alive::KeepAlive,
    tied: calls::Tied,
    /// Visits whose apps have heard that their client has left: see `calls`.
    left: BTreeSet<Id<Attempt>>,
    /// What visits had been given whose clients have left since: see `deadlines`.
    given: BTreeMap<Id<Attempt>, Duration>,
    /// Requests of clients that leave and send again.
    sends: sends::Sends,
    /// Calls with several tries at once, with those that go on beside the last one: see `hedging`.
    hedged: BTreeMap<Id<Call>, hedging::Hedge>,
    /// Some app does not answer as a whole, or has done so: see `proxied`.
    has_odd_apps: bool,
    filters: filters::Filters<'p>,
    upstreams: Vec<Upstream<'p>>,
    checks: checks::Checks,
    /// By pod: listeners whose clients matter, and proxies that drain.
    listeners: BTreeMap<u32, listeners::Listener>,
    drains: BTreeMap<u32, listeners::Drain>,
    arrivals: discovery::Arrivals,

    network: Network,
    nodes: Nodes,
    pods: Vec<Pod>,
    workloads: Vec<cluster::WorkloadState>,
    kubernetes: kubernetes::Kubernetes,
    config: Config,
    control: ControlPlane,
    timeline: timeline::Timeline,
    security: security::Security,
    authorities: authorities::Authorities,
    ztunnels: ztunnel::Ztunnels,
    /// Outbound proxies of Linkerd; none in another mesh.
    linkerd: Option<Box<linkerd::Outbound>>,
    /// Traffic time: the world's time, but in a sampled run.
    clock: Clock,
    sampling: Option<Box<sampling::Sampling>>,

    recorder: Recorder,
    /// Every call, if the run asks for it.
    access: Option<Box<AccessLog>>,
    /// The mesh at the instant that was asked for, once it has come.
    status: Option<MeshStatus>,
    ledger: Ledger,
    causes: Causes,
    blames: blame::Blames,
    census: Census,
    /// Pods that stand still, and some that do no more.
    frozen: Vec<u32>,
    occurrences: Vec<Occurrence>,
    memory: memory::Memory,
}

/// Between two looks at limits and at who watches.
const EVENTS_PER_LOOK: u64 = 1 << 16;
/// Between two glances at whether so much was made that a look is due.
const EVENTS_PER_GLANCE: u64 = 1 << 9;

impl World<'_> {
    /// Handles events in order until the end. Why it ended early, if it did.
    fn run(&mut self, watch: &mut dyn FnMut(Progress) -> Go) -> Option<Partial> {
        let max_events = self.options.max_events.unwrap_or(u64::MAX);
        let mut until_look = EVENTS_PER_GLANCE.min(max_events);
        let mut look_at = EVENTS_PER_LOOK;
        if let Some(why) = self.limit() {
            return Some(Partial { why, at: self.now });
        }
        let mut pause = self.next_pause();
        while let Some((time, ticket, what)) = self.queue.pop() {
            if pause <= time {
                self.pause(time);
                if self.end <= time {
                    break;
                }
                pause = self.next_pause();
            }
            self.now = time;
            self.step(ticket, what);
            until_look -= 1;
            if until_look == 0 {
                until_look = EVENTS_PER_GLANCE.min(max_events - self.events - self.stale);
                let seen = self.events + self.stale;
                if seen < look_at && until_look != 0 && !self.memory.is_look_due() {
                    continue;
                }
                look_at = seen + EVENTS_PER_LOOK;
                if let Some(why) = self.look(watch) {
                    return Some(Partial { why, at: self.now });
                }
            }
        }
        self.pause(self.end);
        self.now = self.end;
        None
    }

    fn look(&mut self, watch: &mut dyn FnMut(Progress) -> Go) -> Option<&'static str> {
        #[cfg(debug_assertions)]
        self.audit();
        if let Some(why) = self.limit() {
            return Some(why);
        }
        let (events, memory) = (self.events, self.memory());
        match watch(Progress { now: self.now, duration: self.plan.duration, events, memory }) {
            Go::On => None,
            Go::Stop(why) => Some(why),
        }
    }

    /// One event: what happens.
    #[inline(always)]
    fn step(&mut self, ticket: Ticket, what: u32) {
        self.is_stale = false;
        let kind = event::kind(what);
        // The handlers of these look their owner up anyway, and say so.
        match Event::unpack(what) {
            Event::Arrive(source) => self.arrive(source, ticket),
            Event::Routed(call) => self.routed(call),
            Event::BackedOff(call) => self.backed_off(call),
            Event::Reach(attempt) => self.reach(attempt),
            Event::Enter(attempt) => self.enter(attempt),
            Event::Worked(attempt) => self.worked(attempt),
            Event::Return(attempt) => self.returned(attempt),
            Event::Answered(call) => self.answered(call),
            Event::Reset(attempt) => self.reset(attempt),
            event => {
                self.owner = self.owner_hash(event);
                self.seldom(event, ticket);
                // The recorder's own events are no part of what happened.
                if matches!(event, Event::Interval(_) | Event::ReadGauges(_)) {
                    self.events += 1;
                    return;
                }
            }
        }
        if self.is_stale {
            self.stale += 1;
        } else {
            self.events += 1;
            self.ladder.record(self.now, kind, &self.digest);
            self.digest.fold(self.now, kind, self.owner);
        }
    }
}
