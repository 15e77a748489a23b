//! A cluster as one proxy sees it: endpoints as of its own configuration, their health, gauges.
//!
//! Made at first use; catches up with the proxy's configuration when it is next used.
//!
//! Source: Envoy's cluster manager; ARCHITECTURE.md on state at first use.
//! Left out: state shared between clusters; health checks.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::client::purpose;
use super::event::Event;
use super::journey::rule;
use super::state::{Call, Host, NONE, Upstream};
use crate::kernel::stream::{Draws, below, draw_at};
use crate::kernel::time::{Duration, Time};
use crate::model::proxy::balancer;
use crate::model::proxy::breaker::Gauges;
use crate::model::proxy::outlier::{Health, may_eject};
use crate::model::proxy::pool::Pool;
use crate::plan::Plan;
use crate::plan::universe::ClusterId;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::outcome::{Details, Outcome};

impl World<'_> {
    /// The pod's view of a cluster.
    #[inline(always)]
    pub(super) fn upstream(&mut self, pod: u32, cluster: ClusterId) -> u32 {
        let known = &self.pods[pod as usize].upstreams;
        if let Some((_, index)) = known.iter().find(|(one, _)| *one == cluster) {
            return *index;
        }
        self.meet(pod, cluster)
    }

    /// The pod uses a cluster for the first time.
    #[cold]
    fn meet(&mut self, pod: u32, cluster: ClusterId) -> u32 {
        let (plan, workers) = (self.plan, self.pods[pod as usize].workers.count());
        // Envoy's round robin starts anywhere.
        let draw = draw_at(self.seed, "round robin", self.pods[pod as usize].hash, 0)
            ^ self.compiled.clusters[cluster.index()].hash;
        let turn = u32::try_from(below(draw, 1 << 20)).unwrap_or(0);
        let upstream = Upstream {
            pod,
            cluster,
            policy: &plan.universe.clusters[cluster.index()].policy,
            idle_timeout: self.compiled.clusters[cluster.index()].idle_timeout,
            version: 0,
            hosts: Vec::new(),
            free_hosts: Vec::new(),
            members: Vec::new(),
            usable: Vec::new(),
            gauges: Gauges::default(),
            turns: (0..workers).map(|worker| turn + u32::try_from(worker).unwrap_or(0)).collect(),
            has_tick: false,
            session: None,
            opened: 0,
        };
        self.upstreams.push(upstream);
        let index = u32::try_from(self.upstreams.len() - 1).expect("fewer than 2^32 upstreams");
        self.pods[pod as usize].upstreams.push((cluster, index));
        index
    }

    /// Brings an upstream to the endpoint version that its proxy has seen.
    #[inline(always)]
    pub(super) fn catch_up(&mut self, index: u32) {
        let upstream = &self.upstreams[index as usize];
        let seen = self.seen(upstream.pod).eds;
        if upstream.version != seen {
            self.apply_endpoints(index, seen);
        }
    }

    fn apply_endpoints(&mut self, index: u32, seen: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let old = std::mem::replace(&mut upstream.version, seen);
        if old != 0 && !self.config.endpoints_differ(upstream.cluster, old, seen) {
            return;
        }
        let workers = upstream.turns.len();
        for host in &mut upstream.hosts {
            host.is_member = false;
        }
        let before = std::mem::take(&mut upstream.members);
        for pod in self.config.endpoints(upstream.cluster, seen) {
            let known = before.iter().find(|slot| upstream.hosts[**slot as usize].pod == *pod);
            let slot = known.copied().unwrap_or_else(|| {
                let host = Host {
                    pod: *pod,
                    is_member: true,
                    active: 0,
                    health: Health::default(),
                    pools: (0..workers).map(|_| Pool::default()).collect(),
                };
                if let Some(slot) = upstream.free_hosts.pop() {
                    upstream.hosts[slot as usize] = host;
                    slot
                } else {
                    upstream.hosts.push(host);
                    u32::try_from(upstream.hosts.len() - 1).expect("few endpoints")
                }
            });
            upstream.hosts[slot as usize].is_member = true;
            upstream.members.push(slot);
        }
        self.list_usable(index);
        for slot in before {
            if !self.upstreams[index as usize].hosts[slot as usize].is_member {
                self.leave_endpoint(index, slot);
            }
        }
    }

    /// An endpoint is no longer in the list: its idle connections close, its busy ones when they
    /// are done.
    fn leave_endpoint(&mut self, index: u32, slot: u32) {
        for worker in 0..self.upstreams[index as usize].turns.len() {
            let pool = &self.upstreams[index as usize].hosts[slot as usize].pools[worker];
            let ready = pool.ready().to_vec();
            for connection in ready {
                if self.connections[connection].streams == 0 {
                    self.close_connection(connection);
                } else {
                    self.drain_connection(connection);
                }
            }
        }
        self.free_host(index, slot);
    }

    /// Takes an endpoint's slot back once nothing refers to it.
    pub(super) fn free_host(&mut self, index: u32, slot: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let host = &mut upstream.hosts[slot as usize];
        let is_idle = host.active == 0 && host.pools.iter().all(Pool::is_empty);
        if !host.is_member && host.pod != NONE && is_idle {
            host.pod = NONE;
            upstream.free_hosts.push(slot);
        }
    }

    /// Those of the members that are not ejected.
    fn list_usable(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let hosts = &upstream.hosts;
        let usable = &mut upstream.usable;
        usable.clear();
        let is_usable = |slot: &&u32| !hosts[**slot as usize].health.is_ejected();
        usable.extend(upstream.members.iter().filter(is_usable));
    }

    /// An attempt at an endpoint ended: outlier detection counts it.
    #[inline(always)]
    pub(super) fn judge_endpoint(&mut self, index: u32, slot: u32, outcome: Outcome) {
        let upstream = &mut self.upstreams[index as usize];
        let Some(outlier) = &upstream.policy.outlier else { return };
        if outcome.details == Details::DownstreamDisconnect {
            return;
        }
        let members = upstream.members.len();
        let ejected = members - upstream.usable.len();
        let host = &mut upstream.hosts[slot as usize];
        if !host.health.record(outlier, outcome)
            || !host.is_member
            || !may_eject(outlier, ejected, members)
        {
            return;
        }
        host.health.eject(self.now);
        let (pod, client) = (host.pod, upstream.pod);
        if !upstream.has_tick {
            upstream.has_tick = true;
            let at = next_on_grid(self.now, outlier.interval);
            self.queue.at(at, Event::OutlierTick(index).pack());
        }
        self.list_usable(index);
        let names = (self.pods[pod as usize].name.clone(), self.pods[client as usize].name.clone());
        self.fact(FactKind::EndpointEjected, || (names.0, format!("by {}", names.1)));
    }

    /// The interval of outlier detection: some come back.
    pub(super) fn outlier_tick(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        upstream.has_tick = false;
        let policy = &self.plan.universe.clusters[upstream.cluster.index()].policy;
        let Some(outlier) = policy.outlier else { return self.stale() };
        let mut returned = Vec::new();
        for host in upstream.hosts.iter_mut().filter(|host| host.pod != NONE) {
            if host.health.needs_ticks() && host.health.tick(&outlier, self.now) {
                returned.push(host.pod);
            }
        }
        if upstream.hosts.iter().any(|host| host.pod != NONE && host.health.needs_ticks()) {
            upstream.has_tick = true;
            self.queue.after(outlier.interval, Event::OutlierTick(index).pack());
        }
        if !returned.is_empty() {
            self.list_usable(index);
        }
        let client = self.upstreams[index as usize].pod;
        for pod in returned {
            let name = self.pods[pod as usize].name.clone();
            let client = self.pods[client as usize].name.clone();
            self.fact(FactKind::EndpointUnejected, || (name, format!("by {client}")));
        }
    }
}

/// An endpoint for a call's try `number` (from 0), by the balancer; a retry keeps away from those
/// already tried, if the policy says so.
#[inline(always)]
pub(super) fn pick_endpoint(
    plan: &Plan,
    call: &Call,
    upstream: &mut Upstream,
    number: u16,
    draws: Draws,
) -> Option<u32> {
    let first = pick(call, upstream, draws, 0)?;
    if number == 0 || !call.tried.contains(&first) {
        return Some(first);
    }
    pick_another(plan, call, upstream, draws).or(Some(first))
}

/// Further picks for a retry whose first pick was tried already: the last, if all were.
#[cold]
fn pick_another(plan: &Plan, call: &Call, upstream: &mut Upstream, draws: Draws) -> Option<u32> {
    let retry = &rule(plan, call).retry;
    let more = if retry.previous_hosts { retry.host_attempts } else { 0 };
    let mut host = None;
    for turn in 1..=more {
        host = pick(call, upstream, draws, turn);
        if host.is_some_and(|host| !call.tried.contains(&host)) {
            break;
        }
    }
    host
}

#[inline(always)]
fn pick(call: &Call, upstream: &mut Upstream, draws: Draws, turn: u32) -> Option<u32> {
    let policy = upstream.policy;
    let (usable, members) = (upstream.usable.len(), upstream.members.len());
    let panics = usable != members && (usable as f64) < policy.panic_threshold * members as f64;
    let candidates = if panics { &upstream.members } else { &upstream.usable };
    if candidates.is_empty() {
        return None;
    }
    let draw = draws.draw(purpose::ENDPOINT + turn);
    let place = &mut upstream.turns[call.worker as usize];
    let index = balancer::pick(policy.balancer, candidates.len(), place, draw, |index| {
        upstream.hosts[candidates[index] as usize].active
    });
    Some(candidates[index])
}

/// The next point after `now` on the grid of an interval from time zero.
fn next_on_grid(now: Time, interval: Duration) -> Time {
    let interval = interval.ns().max(1);
    Time::from_ns((now.ns() / interval + 1) * interval)
}
