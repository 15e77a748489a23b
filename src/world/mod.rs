//! Floor 3: the one place with events and a queue.
//!
//! The world holds all state of a run. It tells the parts of the model what happened, and does
//! what they decide. The journey of a request reads from top to bottom in `journey`.

mod build;
mod client;
mod cluster;
mod compiled;
mod config;
mod connect;
mod connection;
mod control;
mod detour;
pub mod estimate;
pub mod event;
mod faults;
mod finish;
mod gauges;
mod journey;
mod ledger;
mod network;
pub mod options;
mod pods;
mod pushes;
mod renewal;
mod scopes;
mod state;
mod streams;
mod timeline;
mod upstream;
mod visit;

use crate::kernel::digest::{Digest, Ladder};
use crate::kernel::queue::{Queue, Ticket};
use crate::kernel::slab::Slab;
use crate::kernel::time::Time;
use crate::model::net::topology::Network;
use crate::observe::recorder::Recorder;
use crate::observe::run::{Occurrence, Partial, Run};
use crate::plan::Plan;
use crate::vocabulary::cause::Causes;
use compiled::Compiled;
use config::Config;
use control::ControlPlane;
use event::Event;
use ledger::Ledger;
use network::Nodes;
use options::{Go, Options, Progress};
use state::{Attempt, Call, Connection, Pod, Upstream};

/// Plays a plan. Nothing can fail: what goes wrong in a mesh is data.
pub fn simulate(
    plan: &Plan,
    seed: u64,
    options: Options,
    watch: &mut dyn FnMut(Progress) -> Go,
) -> Run {
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

    compiled: Compiled,
    sources: Vec<client::Source>,
    calls: Slab<Call>,
    attempts: Slab<Attempt>,
    connections: Slab<Connection>,
    upstreams: Vec<Upstream>,

    network: Network,
    nodes: Nodes,
    pods: Vec<Pod>,
    workloads: Vec<cluster::WorkloadState>,
    config: Config,
    control: ControlPlane,
    timeline: timeline::Timeline,

    recorder: Recorder,
    ledger: Ledger,
    causes: Causes,
    occurrences: Vec<Occurrence>,
}

/// Between two looks at limits and at who watches.
const EVENTS_PER_LOOK: u64 = 1 << 16;

impl World<'_> {
    /// Handles events in order until the end. Why it ended early, if it did.
    fn run(&mut self, watch: &mut dyn FnMut(Progress) -> Go) -> Option<Partial> {
        let max_events = self.options.max_events.unwrap_or(u64::MAX);
        let mut look_at = EVENTS_PER_LOOK.min(max_events);
        if let Some(why) = self.limit() {
            return Some(Partial { why, at: self.now });
        }
        while let Some((time, ticket, what)) = self.queue.pop() {
            if self.end <= time {
                break;
            }
            self.end_warmup(time);
            self.now = time;
            self.step(ticket, what);
            if look_at <= self.events + self.stale {
                look_at = (look_at + EVENTS_PER_LOOK).min(max_events.max(look_at + 1));
                if let Some(why) = self.look(watch) {
                    return Some(Partial { why, at: self.now });
                }
            }
        }
        self.end_warmup(self.end);
        self.now = self.end;
        None
    }

    /// Time goes on to `time`: statistics of stations begin with the end of the warm-up.
    fn end_warmup(&mut self, time: Time) {
        let warmup = Time::ZERO + self.plan.warmup;
        if self.now < warmup && warmup <= time {
            self.pods.iter_mut().for_each(|pod| pod.station.restart_load(warmup));
        }
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

    /// The limit that is reached, if one is.
    fn limit(&self) -> Option<&'static str> {
        let Options { max_events, max_memory, .. } = self.options;
        if max_events.is_some_and(|max| max <= self.events + self.stale) {
            Some("max-events")
        } else if max_memory.is_some_and(|max| max <= self.memory()) {
            Some("max-memory")
        } else {
            None
        }
    }

    /// One event: what happens, in the order of a request's journey.
    fn step(&mut self, ticket: Ticket, what: u32) {
        self.is_stale = false;
        let event = Event::unpack(what);
        let (kind, owner) = (event::kind(what), self.owner_hash(event));
        match event {
            Event::Arrive(source) => self.arrive(source, ticket),
            Event::UserReturns(call) => self.user_returns(call),
            Event::Routed(call) => self.routed(call),
            Event::BackedOff(call) => self.backed_off(call),
            Event::Reach(attempt) => self.reach(attempt),
            Event::Enter(attempt) => self.enter(attempt),
            Event::Worked(attempt) => self.worked(attempt),
            Event::Shared(pod) => self.shared(pod, ticket),
            Event::Return(attempt) => self.returned(attempt),
            Event::Answered(call) => self.answered(call),
            Event::Reset(attempt) => self.reset(attempt),
            Event::RouteTimeout(call) => self.route_timeout(call),
            Event::PerTryTimeout(attempt) => self.per_try_timeout(attempt),

            Event::Syn(connection) => self.syn(connection),
            Event::Connected(connection) => self.connected(connection),
            Event::ConnectTimeout(connection) => self.connect_timeout(connection),
            Event::IdleTimeout(connection) => self.idle_timeout(connection),
            Event::Churn(connection) => self.churn(connection, ticket),
            Event::OutlierTick(upstream) => self.outlier_tick(upstream),

            Event::Renew(pod) => self.renew(pod, ticket),
            Event::Issued(pod) => self.issued(pod, ticket),
            Event::Expire(pod) => self.expire(pod, ticket),
            Event::Stream(pod) => self.open_stream(pod, ticket),
            Event::Admitted(pod) => self.admitted(pod, ticket),
            Event::Watch(_) => self.watch(),
            Event::Debounce(replica) => self.debounce(replica),
            Event::PushReady(replica) => self.push_ready(replica, ticket),
            Event::Pushed(pod) => self.pushed(pod),
            Event::ReplicaReady(replica) => self.replica_ready(replica, ticket),

            Event::CreatePod(workload) => self.create_pod(workload, ticket),
            Event::Started(pod) => self.started(pod, ticket),
            Event::Ready(pod) => self.ready(pod, ticket),
            Event::Sigterm(pod) => self.sigterm(pod, ticket),
            Event::ProxyExit(pod) => self.proxy_exit(pod, ticket),
            Event::Sigkill(pod) => self.sigkill(pod),
            Event::NodeLost(node) => self.node_lost(node, ticket),
            Event::Evict(node) => self.evict(node, ticket),

            Event::Begin(index) => self.begin(index),
            Event::End(index) => self.finish_event(index),
            Event::Condition(watch) => self.condition(watch),
            Event::Interval(_) => self.interval(),
            Event::ReadGauges(_) => self.read_gauges(),
        }
        if self.is_stale {
            self.stale += 1;
        } else {
            self.events += 1;
            // The recorder's own events are no part of what happened.
            if !matches!(event, Event::Interval(_) | Event::ReadGauges(_)) {
                self.ladder.record(self.now, kind, &self.digest);
                self.digest.fold(self.now, kind, owner);
            }
        }
    }

    /// The hash of the name of the one that an event is about.
    fn owner_hash(&self, event: Event) -> u64 {
        let pod = |pod: u32| self.pods[pod as usize].hash;
        match event {
            Event::Arrive(source) => self.sources[source as usize].hash,
            Event::UserReturns(user) => u64::from(user),
            Event::Routed(call)
            | Event::BackedOff(call)
            | Event::Answered(call)
            | Event::RouteTimeout(call) => self.calls.at(call).map_or(0, |(_, call)| call.key.0),
            Event::Reach(attempt)
            | Event::Enter(attempt)
            | Event::Worked(attempt)
            | Event::Return(attempt)
            | Event::Reset(attempt)
            | Event::PerTryTimeout(attempt) => {
                self.attempts.at(attempt).map_or(0, |(_, attempt)| pod(attempt.pod))
            }
            Event::Syn(connection)
            | Event::Connected(connection)
            | Event::ConnectTimeout(connection)
            | Event::IdleTimeout(connection)
            | Event::Churn(connection) => {
                self.connections.at(connection).map_or(0, |(_, connection)| connection.key.0)
            }
            Event::OutlierTick(upstream) => pod(self.upstreams[upstream as usize].pod),
            Event::Shared(index)
            | Event::Renew(index)
            | Event::Issued(index)
            | Event::Expire(index)
            | Event::Stream(index)
            | Event::Admitted(index)
            | Event::Pushed(index)
            | Event::Started(index)
            | Event::Ready(index)
            | Event::Sigterm(index)
            | Event::ProxyExit(index)
            | Event::Sigkill(index) => pod(index),
            Event::Debounce(replica) | Event::PushReady(replica) | Event::ReplicaReady(replica) => {
                self.control.replicas[replica as usize].hash
            }
            Event::CreatePod(workload) => self.workloads[workload as usize].hash,
            Event::NodeLost(node) | Event::Evict(node) => self.nodes.hash(node),
            Event::Begin(index) | Event::End(index) => self.timeline.hash(index),
            Event::Condition(index) => self.timeline.hash(self.recorder.watches[index as usize].0),
            Event::Watch(_) | Event::Interval(_) | Event::ReadGauges(_) => 0,
        }
    }

    /// The event concerns something that is gone.
    fn stale(&mut self) {
        self.is_stale = true;
    }
}
