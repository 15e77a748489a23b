//! A cluster as one proxy sees it: endpoints as of its own configuration, their health, gauges.
//!
//! Made at first use. It catches up with the proxy's configuration when it is next used, or when a
//! version comes that lacks an endpoint to which it has connections: those close then, at once or
//! when they are done.
//!
//! Source: Envoy's cluster manager; ARCHITECTURE.md on state at first use.
//! Left out: state shared between clusters.

#![expect(clippy::inline_always, reason = "measured: docs/speed.md")]

use super::World;
use super::state::{Host, IdleTimeout, Life, NONE, Upstream};
use crate::kernel::bytes::Bytes as _;
use crate::kernel::stream::{below, draw_at};
use crate::model::proxy::breaker::Gauges;
use crate::model::proxy::merge_window::MergeWindow;
use crate::model::proxy::pool::Pool;
use crate::model::sampling::demand::Demand;
use crate::plan::universe::ClusterId;
use std::collections::BTreeMap;

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
        let drawn = u32::try_from(below(draw, 1 << 20)).unwrap_or(0);
        let turn = self.options.round_robin_start.unwrap_or(drawn);
        let is_in_full = self.is_in_full(pod, cluster);
        let lanes = &self.compiled.clusters[cluster.index()];
        let idle_timeout = match (lanes.idle_timeout, lanes.idle_timeout_of_traffic) {
            (Some(_), Some(lane)) if !is_in_full => IdleTimeout::OfTraffic(lane),
            (Some(lane), _) => IdleTimeout::OfWorld(lane),
            (None, _) => IdleTimeout::Never,
        };
        let turns: Box<[u32]> =
            (0..workers).map(|worker| turn + u32::try_from(worker).unwrap_or(0)).collect();
        let balance = self.balance_of(pod, cluster, &turns);
        let policy = &plan.universe.clusters[cluster.index()].policy;
        let upstream = Upstream {
            pod,
            cluster,
            policy,
            idle_timeout,
            version: 0,
            hosts: Vec::new(),
            free_hosts: Vec::new(),
            tried_before: BTreeMap::new(),
            members: Vec::new(),
            ejected: 0,
            merge: MergeWindow::default(),
            left_out: 0,
            usable: Vec::new(),
            panics: 0,
            gauges: Gauges::default(),
            is_plain: balance.is_none(),
            balance,
            turns,
            has_tick: false,
            counts_answers: policy.counts_answers(),
            session: None,
            is_left: false,
            checks: Vec::new(),
            connections: Vec::new(),
            gone: (0, 0),
            opened: 0,
            is_in_full,
            demand: Demand::default(),
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

    #[cold]
    #[inline(never)]
    fn apply_endpoints(&mut self, index: u32, seen: u32) {
        self.upstreams[index as usize].is_left = false;
        if self.compiled.has.apart && self.is_unfetched(index) {
            // What it had when its proxy left it is no choice any more.
            self.tell_balance(index);
            self.tell_health(index);
            return;
        }
        let upstream = &mut self.upstreams[index as usize];
        let old = std::mem::replace(&mut upstream.version, seen);
        // A proxy that has met a replica with an older view goes back to it.
        if old != 0 && old < seen && !self.config.endpoints_differ(upstream.cluster, old, seen) {
            return;
        }
        let left = upstream.follow(self.config.endpoints(upstream.cluster, seen));
        let are_same = self.tell_balance(index);
        self.follow_checks(index, old == 0);
        self.count_ejected(index);
        if old == 0 {
            // Envoy's first endpoints come before it begins to merge.
            self.tell_health(index);
        } else if are_same {
            self.merge_health(index);
        } else {
            let now = self.clock.time(self.now);
            self.upstreams[index as usize].merge.tell(now);
            self.tell_health(index);
        }
        // A list may have a hundred thousand endpoints: limits must hear of it soon.
        self.memory.grow(self.upstreams[index as usize].members.bytes());
        for slot in left {
            self.leave_endpoint(index, slot);
        }
    }

    /// An endpoint is no longer in the list: its idle connections close, its busy ones when they
    /// are done.
    pub(super) fn leave_endpoint(&mut self, index: u32, slot: u32) {
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

    /// The newest version is without an endpoint of the cluster: whoever has connections to it shall
    /// know when that version comes.
    pub(super) fn wake_holders(&mut self, cluster: ClusterId, endpoint: u32) {
        let version = self.config.version();
        for id in &self.pods[endpoint as usize].serving {
            let upstream = &mut self.upstreams[self.connections[*id].upstream as usize];
            if upstream.cluster == cluster {
                upstream.lack(version, version);
            }
        }
    }

    /// A connection has come up. If its endpoint went meanwhile, its proxy looks at the next
    /// version that it gets.
    pub(super) fn note_late_connection(&mut self, index: u32, endpoint: u32) {
        if self.pods[endpoint as usize].life != Life::Ready {
            let upstream = &mut self.upstreams[index as usize];
            upstream.lack(upstream.version + 1, self.config.version());
        }
    }

    /// A proxy has another version: it leaves the endpoints that are gone and to which it has
    /// connections. What else changed it learns at its next use of a cluster.
    pub(super) fn leave_gone_endpoints(&mut self, pod: u32) {
        let seen = self.seen(pod).eds;
        for place in 0..self.pods[pod as usize].upstreams.len() {
            let index = self.pods[pod as usize].upstreams[place].1;
            let (first, last) = self.upstreams[index as usize].gone;
            if first != 0 && first <= seen {
                self.upstreams[index as usize].gone =
                    if last <= seen { (0, 0) } else { (seen + 1, last) };
                self.catch_up(index);
            }
        }
        if self.linkerd.is_some() {
            self.tell_balancers(pod);
        }
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
}

impl Upstream<'_> {
    /// Its proxy is gone; the next one of this pod begins with it anew. The record itself stays,
    /// since attempts that the endpoints still work on name it.
    pub(super) fn forget(&mut self) {
        let gauges = self.gauges;
        debug_assert_eq!(gauges, Gauges::default(), "requests or connections outlive their client");
        self.version = 0;
        self.hosts = Vec::new();
        self.free_hosts = Vec::new();
        self.members = Vec::new();
        self.ejected = 0;
        self.merge = MergeWindow::default();
        self.left_out = 0;
        self.usable = Vec::new();
        if let Some(balance) = &mut self.balance {
            balance.forget();
        }
        self.is_plain = self.balance.is_none();
        self.gone = (0, 0);
        self.session = None;
    }

    /// Versions `first` to `last` lack an endpoint to which there is a connection.
    fn lack(&mut self, first: u32, last: u32) {
        let (known, _) = self.gone;
        self.gone = (if known == 0 { first } else { known.min(first) }, last);
    }

    /// The endpoints are those of `list` from now on; who left, if it was ever used. Both lists
    /// are in pod order, so one merge does it; what was never used costs nothing but its place.
    pub(super) fn follow(&mut self, list: &[u32]) -> Vec<u32> {
        let mut left = Vec::new();
        let hosts = &self.hosts;
        let used = std::mem::replace(&mut self.members, vec![NONE; list.len()]);
        let mut used = used.into_iter().filter(|slot| *slot != NONE).peekable();
        for (place, pod) in list.iter().enumerate() {
            while let Some(slot) = used.next_if(|slot| hosts[*slot as usize].pod < *pod) {
                left.push(slot);
            }
            if let Some(slot) = used.next_if(|slot| hosts[*slot as usize].pod == *pod) {
                self.members[place] = slot;
            }
        }
        left.extend(used);
        for slot in &left {
            self.hosts[*slot as usize].is_member = false;
        }
        left
    }

    /// Counts who is left out; lists who is not, while somebody is.
    pub(super) fn list_usable(&mut self) {
        self.left_out = self.count(|host| host.is_left_out);
        self.usable.clear();
        if self.left_out != 0 {
            let Self { members, hosts, usable, .. } = self;
            usable.extend(members.iter().filter(|slot| !is_left_out(hosts, **slot)));
        }
        self.is_plain = self.left_out == 0 && self.balance.is_none();
    }

    /// The place of the nth member that is not left out.
    pub(super) fn place_of_usable(&self, nth: usize) -> usize {
        let all = self.members.iter().enumerate();
        let mut usable = all.filter(|(_, slot)| !is_left_out(&self.hosts, **slot));
        usable.nth(nth).map(|(place, _)| place).expect("as many as are listed")
    }

    /// Members that are ejected, recounted.
    pub(super) fn recount_ejected(&self) -> u32 {
        self.count(|host| host.health.is_ejected())
    }

    fn count(&self, is_meant: impl Fn(&Host) -> bool) -> u32 {
        let known = self.members.iter().filter_map(|slot| self.hosts.get(*slot as usize));
        u32::try_from(known.filter(|host| is_meant(host)).count()).expect("few endpoints")
    }
}

fn is_left_out(hosts: &[Host], slot: u32) -> bool {
    hosts.get(slot as usize).is_some_and(|host| host.is_left_out)
}
