//! Gaps: what goes on between the windows of a sampled run, although no request is simulated.
//!
//! A pool opens another connection when the next request would have needed it: if that waited for
//! the next window, the connection would be opened with the certificates of another instant. And
//! calls that are too rare to be sampled are made by themselves, at the rate at which the visits
//! that make them were seen in windows.
//!
//! Source: `model::sampling::{demand, peers}`.
//! Left out: an endpoint that comes in a gap gets its first connection in the next window or gap; a
//! pair that cannot connect waits for the next window.

use super::World;
use super::client::purpose;
use super::compiled::{CompiledCall, CompiledStep};
use super::event::Event;
use super::pick::make_host;
use super::sampling::Sampling;
use super::security::Ends;
use super::state::{NONE, Parent};
use crate::kernel::distribution::Distribution;
use crate::kernel::queue::Ticket;
use crate::kernel::sampler::Sampler;
use crate::kernel::slab::Id;
use crate::kernel::stream::{Key, Stream, name_hash};
use crate::kernel::time::{Duration, Time};
use crate::model::identity::handshake::handshake;
use crate::model::sampling::demand::{Demand, Spread};
use crate::model::sampling::peers::Peers;
use crate::plan::policy::Protocol;
use crate::plan::universe::{ClusterId, ServiceId, WorkloadId};
use std::collections::BTreeMap;

/// A connection that fewer requests than this would need in a gap is not waited for.
const DEMAND_MIN: f64 = 1e-4;
/// The mean of the unit sampler, for 12 digits.
const UNIT: f64 = 1e12;

/// Samples an exponential of mean 10^12.
pub(super) fn unit_exponential() -> Sampler {
    Distribution::Exponential { mean: Duration::from_ns_f64(UNIT) }.sampler()
}

/// The wait for the next of a Poisson process; `draw` is a random number.
fn wait(unit: &Sampler, draw: u64, per_s: f64) -> Duration {
    Duration::from_s_f64(unit.sample(draw).ns() as f64 / UNIT / per_s)
}

/// Calls that one workload makes too rarely to be sampled.
pub(super) struct RareCalls {
    pub(super) hash: u64,
    pub(super) workload: WorkloadId,
    pub(super) call: CompiledCall,
    /// Visits of sampled requests that came to where the call is made.
    pub(super) visits: Demand,
    stream: Stream,
    ticket: Ticket,
}

/// A connection that the next request would open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reopening {
    upstream: u32,
    /// The endpoint.
    pod: u32,
    worker: u8,
    /// Connections that its pool had when the demand was foreseen.
    connections: u32,
}

impl World<'_> {
    /// The calls that are never sampled, marked where they are made.
    pub(super) fn rare_calls(
        &mut self,
        is_rare: impl Fn(WorkloadId, ServiceId) -> bool,
    ) -> Vec<RareCalls> {
        let plan = self.plan;
        let mut rare = Vec::new();
        for (workload, index) in plan.universe.workloads.iter().zip(0..) {
            let sites = self.compiled.programs[index as usize].iter().filter_map(|step| {
                if let CompiledStep::Calls { sites, .. }
                | CompiledStep::WatchedCalls { sites, .. } = step
                {
                    Some(sites.clone())
                } else {
                    None
                }
            });
            for site in sites.flatten() {
                let call = &mut self.compiled.calls[site];
                if is_rare(WorkloadId(index), call.target.to) {
                    call.rare = u32::try_from(rare.len()).expect("few call sites");
                    let name = format!("{} {}", workload.name, call.index);
                    rare.push(RareCalls {
                        hash: name_hash(&name),
                        workload: WorkloadId(index),
                        call: *call,
                        visits: Demand::default(),
                        stream: Stream::new(self.seed, "rare calls", &name),
                        ticket: Ticket::NONE,
                    });
                }
            }
        }
        rare
    }

    /// The batch of a rare call that a request of `batch` may make.
    pub(super) fn rare_batch(&mut self, call: u32, batch: u32) -> u32 {
        let Some(sampling) = &mut self.sampling else { return batch };
        if !sampling.is_full_batch(batch) {
            sampling.rare[call as usize].visits.count();
        }
        sampling.full_batch
    }

    // === rare calls ===

    /// A rare call of a request that is not simulated.
    pub(super) fn rare_call(&mut self, index: u32, ticket: Ticket) {
        let is_stopped = self.clock.is_stopped();
        let Some(sampling) = &mut self.sampling else { return self.stale() };
        let rare = &mut sampling.rare[index as usize];
        if rare.ticket != ticket || !is_stopped {
            return self.stale();
        }
        let key = Key(rare.stream.next_u64());
        let (workload, target, batch) = (rare.workload, rare.call.target, sampling.full_batch);
        self.schedule_rare_call(index);
        let pod = self.client_pod(workload, key);
        if pod != NONE {
            self.begin_call(key, Parent::Unsimulated, batch, pod, target);
        }
    }

    pub(super) fn schedule_rare_call(&mut self, index: u32) {
        let (now, end) = (self.now, self.end);
        let Some(sampling) = &mut self.sampling else { return };
        let Sampling { rare, unit, .. } = &mut **sampling;
        let rare = &mut rare[index as usize];
        let per_s = rare.visits.per_s() * rare.call.probability;
        rare.ticket = Ticket::NONE;
        if 0.0 < per_s {
            let at = now.saturating_add(wait(unit, rare.stream.next_u64(), per_s));
            if at < end {
                rare.ticket = self.queue.at(at, Event::RareCall(index).pack());
            }
        }
    }

    /// Whether pods of a workload make calls between windows, of visits that are not simulated.
    pub(super) fn makes_rare_calls(&self, workload: WorkloadId) -> bool {
        let Some(sampling) = &self.sampling else { return false };
        sampling.rare.iter().any(|rare| rare.workload == workload)
    }

    pub(super) fn rare_hash(&self, index: u32) -> u64 {
        self.sampling.as_ref().map_or(0, |sampling| sampling.rare[index as usize].hash)
    }

    // === demand ===

    /// A gap begins: each upstream's pools are opened when a request would have needed them.
    pub(super) fn begin_gap(&mut self) {
        let Some(sampling) = &self.sampling else { return };
        for call in 0..u32::try_from(sampling.rare.len()).expect("few call sites") {
            self.schedule_rare_call(call);
        }
        let mut peers: BTreeMap<(WorkloadId, ClusterId), Peers> = BTreeMap::new();
        for upstream in self.upstreams.iter().filter(|upstream| !upstream.is_in_full) {
            let client = &self.pods[upstream.pod as usize];
            if client.is_client() {
                let key = (client.workload, upstream.cluster);
                peers.entry(key).or_default().add(upstream.demand.seen());
            }
        }
        for upstream in self.upstreams.iter_mut().filter(|upstream| !upstream.is_in_full) {
            let client = &self.pods[upstream.pod as usize];
            if let Some(peers) = peers.get(&(client.workload, upstream.cluster)) {
                upstream.demand.believe(peers.rate(upstream.demand.seen()));
            }
        }
        for index in 0..u32::try_from(self.upstreams.len()).expect("fewer than 2^32") {
            self.expect_demands(index);
        }
    }

    /// Traffic ran for `length` since demand was measured last.
    pub(super) fn measure_demands(&mut self, length: Duration) {
        let Some(sampling) = &mut self.sampling else { return };
        let enough = sampling.policy.window;
        for rare in &mut sampling.rare {
            rare.visits.end_window(length, enough);
        }
        for upstream in self.upstreams.iter_mut().filter(|upstream| !upstream.is_in_full) {
            upstream.demand.end_window(length, enough);
        }
    }

    /// An event of the timeline begins or ends, and traffic ran for `length` since demand was measured
    /// last: what was measured until now is outdated.
    pub(super) fn cut_demands(&mut self, length: Duration) {
        self.measure_demands(length);
        let Some(sampling) = &mut self.sampling else { return };
        for rare in &mut sampling.rare {
            rare.visits.outdate();
        }
        for upstream in self.upstreams.iter_mut().filter(|upstream| !upstream.is_in_full) {
            upstream.demand.outdate();
        }
    }

    /// A gap begins: an upstream's pools are opened when a request would have needed them.
    fn expect_demands(&mut self, index: u32) {
        let upstream = &self.upstreams[index as usize];
        if upstream.is_in_full || upstream.demand.per_s() <= 0.0 {
            return;
        }
        self.catch_up(index);
        let upstream = &self.upstreams[index as usize];
        let (cluster, version) = (upstream.cluster, upstream.version);
        let workers = upstream.turns.len();
        let mut pools = Vec::new();
        for (pod, slot) in self.config.endpoints(cluster, version).iter().zip(&upstream.members) {
            // An endpoint that was never used has no state, and so no connections.
            let host = upstream.hosts.get(*slot as usize);
            for worker in 0..workers {
                let connections = host.map_or(0, |host| host.pools[worker].connections);
                pools.push((*pod, u8::try_from(worker).unwrap_or(u8::MAX), connections));
            }
        }
        for (pod, worker, connections) in pools {
            self.expect_demand(index, pod, worker, connections);
        }
    }

    /// A connection closes in a gap: requests would open another.
    pub(super) fn expect_demand_after(&mut self, index: u32, host: u32, worker: u8) {
        let endpoint = &self.upstreams[index as usize].hosts[host as usize];
        if endpoint.is_member {
            let connections = endpoint.pools[usize::from(worker)].connections;
            self.expect_demand(index, endpoint.pod, worker, connections);
        }
    }

    /// A pool with so many connections opens another when the next request finds all of them busy, if
    /// that comes in this gap and certificates allow it then.
    fn expect_demand(&mut self, index: u32, pod: u32, worker: u8, connections: u32) {
        let upstream = &self.upstreams[index as usize];
        let policy = &self.plan.universe.clusters[upstream.cluster.index()].policy;
        let has_room = connections != 0 && policy.pool.protocol == Protocol::Http2;
        if upstream.is_in_full || has_room || upstream.members.is_empty() {
            return;
        }
        let (client, balancer) = (upstream.pod, policy.balancer);
        let ends = Ends { client, cluster: upstream.cluster, server: pod };
        let (endpoints, workers) = (upstream.members.len(), upstream.turns.len());
        let spread = Spread { endpoints, workers, balancer };
        let Some(sampling) = &self.sampling else { return };
        let gap_ends = sampling.schedule.next().unwrap_or(self.end);
        let gap_s = gap_ends.saturating_since(self.now).as_s();
        let is_seldom = |per_s: f64| per_s * gap_s < DEMAND_MIN;
        if is_seldom(upstream.demand.per_s_beyond_at_most(spread, connections))
            || !self.would_connect(ends, self.now)
        {
            return;
        }
        let per_s = upstream.demand.per_s_beyond(spread, connections);
        if is_seldom(per_s) {
            return;
        }
        let key = Key(self.pods[client as usize].hash ^ self.seed)
            .child(upstream.opened)
            .draw(sampling.gaps, purpose::DEMAND + u32::from(worker));
        let draw = Key(key ^ self.pods[pod as usize].hash).draw(connections, purpose::DEMAND);
        let at = self.now.saturating_add(wait(&sampling.unit, draw, per_s));
        if gap_ends <= at || !self.would_connect(ends, at) {
            return;
        }
        let Some(sampling) = &mut self.sampling else { return };
        let reopening = Reopening { upstream: index, pod, worker, connections };
        let demand = sampling.demands.insert(reopening);
        self.queue.at(at, Event::Reopen(demand.index()).pack());
    }

    /// Whether a connection would come about, by what is known now of both sides.
    fn would_connect(&self, ends: Ends, at: Time) -> bool {
        self.is_client(ends.client)
            && self.is_listening(ends.server)
            && handshake(self.meeting(ends, at, false)).is_good()
    }

    /// A request that is not simulated would need a connection.
    pub(super) fn reopen(&mut self, slot: u32) {
        let Some(sampling) = &mut self.sampling else { return self.stale() };
        let id = sampling.demands.id_at(slot).expect("a demand that was foreseen");
        let Some(demand) = sampling.demands.remove(id) else { return self.stale() };
        let Reopening { upstream: index, pod, worker, connections } = demand;
        // Nobody may hold the version any more that it had when this was foreseen.
        self.catch_up(index);
        let upstream = &self.upstreams[index as usize];
        let (client, list) =
            (upstream.pod, self.config.endpoints(upstream.cluster, upstream.version));
        let Ok(place) = list.binary_search(&pod) else { return self.stale() };
        let slot = upstream.members[place];
        let host = upstream.hosts.get(slot as usize);
        let has = host.map_or(0, |host| host.pools[usize::from(worker)].connections);
        let ends = Ends { client, cluster: upstream.cluster, server: pod };
        let would_connect = self.would_connect(ends, self.now);
        if !self.clock.is_stopped() || has != connections || !would_connect {
            return self.stale();
        }
        let upstream = &mut self.upstreams[index as usize];
        let host = match slot {
            NONE => make_host(&mut self.config, &mut self.memory, upstream, true, place),
            slot => slot,
        };
        self.open_if_admitted(index, host, worker);
        self.expect_demand(index, pod, worker, connections + 1);
    }

    pub(super) fn demand_hash(&self, slot: u32) -> u64 {
        let of = |id: Id<Reopening>| {
            let demand = self.sampling.as_ref()?.demands.get(id)?;
            Some(self.pods[self.upstreams[demand.upstream as usize].pod as usize].hash)
        };
        self.sampling
            .as_ref()
            .and_then(|sampling| sampling.demands.id_at(slot))
            .and_then(of)
            .unwrap_or(0)
    }

    // === users and ticks on the clock of traffic ===

    /// A user begins to think: whether its return is to be scheduled.
    pub(super) fn user_is_due(&mut self, slot: u32, thinks: Duration) -> bool {
        let due = self.clock.time(self.now).saturating_add(thinks);
        let Some(sampling) = &mut self.sampling else { return true };
        sampling.users_due[slot as usize] = due;
        if self.clock.is_stopped() {
            sampling.users_parked.push(slot);
        }
        !self.clock.is_stopped()
    }

    /// A user's return comes up: whether it has thought by the clock of traffic.
    pub(super) fn user_has_thought(&mut self, slot: u32) -> bool {
        let Some(sampling) = &mut self.sampling else { return true };
        if self.clock.is_stopped() {
            sampling.users_parked.push(slot);
            return false;
        }
        let at = self.clock.instant(sampling.users_due[slot as usize]);
        if self.now < at {
            self.queue.at(at, Event::UserReturns(slot).pack());
        }
        at <= self.now
    }

    /// A tick of outlier detection is due at `due` of the clock of traffic.
    pub(super) fn put_tick_off(&mut self, tick: Event, due: Time) {
        self.stale();
        match &mut self.sampling {
            Some(sampling) if self.clock.is_stopped() => {
                sampling.ticks_parked.push((tick.pack(), due));
            }
            _ => {
                let at = self.clock.instant(due);
                self.queue.at(at, tick.pack());
            }
        }
    }
}
