//! The balancer of an upstream whose endpoints are not all alike: fed with what its proxy knows.
//!
//! Few upstreams have one; the others are balanced in `pick` alone.
//!
//! Source: `model::proxy::cluster_balancer`; priorities by zone as istiod makes them.
//! Left out: a change of where the *clients* of zone aware routing are is seen with the next change of
//! the endpoints.

use super::World;
use super::client::purpose;
use super::routing::rule;
use super::state::{Call, LAST_TRIES, NONE};
use crate::kernel::stream::Draws;
use crate::kernel::time::Time;
use crate::model::proxy::cluster_balancer::{ClusterBalancer, Endpoint, Request, Zones};
use crate::model::proxy::hash_policy::{self, Sender};
use crate::model::proxy::priority::Loads;
use crate::plan::Plan;
use crate::plan::balancing::{Balancing, EndpointHealth, HashOn, Locality};
use crate::plan::policy::{ClusterPolicy, LoadBalancer};
use crate::plan::timeline::Action;
use crate::plan::universe::{Cluster, ClusterId, Role, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// A balancer with what it was last told.
#[derive(Clone, Debug)]
pub(crate) struct Balance {
    balancer: ClusterBalancer,
    /// What hashing looks at.
    hash_on: Option<HashOn>,
    sender: Sender,
    /// By place: the pod, and what is said of it. Ejections are not in it.
    pods: Vec<u32>,
    endpoints: Vec<Option<Endpoint>>,
    zones: Zones,
}

/// What a balancer knows of an upstream.
#[derive(Clone, Copy)]
pub(super) struct Known<'u> {
    /// By place in the endpoint list: its host slot, [`NONE`] before its first use.
    pub(super) members: &'u [u32],
    /// Endpoints that calls tried before their last tries.
    pub(super) tried_before: &'u BTreeMap<u64, Vec<u32>>,
}

impl Balance {
    fn new(policy: &ClusterPolicy, sender: Sender, first_turns: Box<[u32]>) -> Self {
        let balancing = policy.balancing.as_deref().cloned().unwrap_or_default();
        Self {
            hash_on: balancing.hash_on.clone(),
            balancer: ClusterBalancer::new(
                policy.balancer,
                balancing,
                policy.panic_threshold,
                first_turns,
            ),
            sender,
            pods: Vec::new(),
            endpoints: Vec::new(),
            zones: Zones::Alike,
        }
    }

    /// The place of an endpoint for a try.
    pub(super) fn pick(
        &mut self,
        plan: &Plan,
        now: Time,
        call: &Call,
        (draws, turn): (Draws, u32),
        known: Known<'_>,
        active: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let loads = self.loads_of_retry(plan, call, known);
        let loads = loads.as_ref();
        // A route's changes are made after the first endpoint is chosen, so that they show in retries only.
        let is_retry = 1 < call.tries;
        let class = if is_retry { rule(plan, call).onward(call.class) } else { call.class };
        let class = &plan.universe.classes[class.index()];
        let session = || call.key.draw(0, purpose::SESSION);
        let hash = self.hash_on.as_ref();
        let hash = hash.and_then(|on| hash_policy::hash(on, class, self.sender, session()));
        let draw = draws.draw(purpose::ENDPOINT + turn);
        let worker = usize::from(call.worker);
        self.balancer.pick(Request { worker, now, draw, hash, attempt: turn, loads }, active)
    }

    /// Whether the priority of an endpoint, by its place, panics.
    pub(super) fn panics(&self, place: usize) -> bool {
        self.balancer.panics(place)
    }

    /// The loads of priorities for a retry that keeps away from those already tried; none for the usual
    /// ones.
    fn loads_of_retry(&self, plan: &Plan, call: &Call, known: Known<'_>) -> Option<Loads> {
        let Known { members, tried_before } = known;
        let before = usize::from(call.tries).saturating_sub(1);
        if before == 0 {
            return None;
        }
        let every = rule(plan, call).retry.previous_priorities;
        if every == 0 {
            return None;
        }
        let place = |slot: u32| members.iter().position(|one| *one == slot && slot != NONE);
        let tried = |nth: usize| {
            call.tried.get(nth).copied().or_else(|| {
                let before = tried_before.get(&call.key.0)?;
                before.get(before.len().checked_sub(nth - LAST_TRIES + 1)?).copied()
            })
        };
        let place = |nth: usize| tried(nth).and_then(place);
        let tried: Vec<_> = (0..before).rev().map(place).collect();
        self.balancer.loads_after(&tried, every)
    }

    /// Its proxy is gone.
    pub(super) fn forget(&mut self) {
        self.pods = Vec::new();
        self.endpoints = Vec::new();
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let endpoint = size_of::<Option<Endpoint>>() + size_of::<u32>();
        size_of::<Self>() + self.endpoints.capacity() * endpoint + self.balancer.bytes()
    }
}

/// Bytes of the balancer of one upstream to so many endpoints, before it is made; no more than about.
pub(super) fn bytes_ahead(policy: &ClusterPolicy, endpoints: f64, workers: f64) -> f64 {
    let balancing = policy.balancing.as_deref().cloned().unwrap_or_default();
    let table = match policy.balancer {
        LoadBalancer::RingHash => 16.0 * f64::from(balancing.ring_size.0).max(endpoints),
        LoadBalancer::Maglev => 4.0 * f64::from(balancing.table_size),
        _ => 0.0,
    };
    // Twice what it was told, three lists of places, a schedule of all and one of the healthy ones.
    let each = 2.0 * size_of::<Option<Endpoint>>() as f64 + 4.0 + 12.0 + 48.0 * workers;
    size_of::<Balance>() as f64 + 500.0 + table + endpoints * each
}

/// Whether the endpoints of a cluster are all alike, now and later; `uneven` are workloads of whose
/// endpoints anything is said.
pub(super) fn is_even(cluster: &Cluster, uneven: &BTreeSet<WorkloadId>) -> bool {
    let ClusterPolicy { balancer, balancing, health_check, .. } = &cluster.policy;
    balancing.is_none()
        && health_check.is_none()
        && !balancer.hashes()
        && !cluster.workloads.iter().any(|one| uneven.contains(one))
}

/// Workloads of whose endpoints anything is said, now or later.
pub(super) fn uneven(plan: &Plan) -> BTreeSet<WorkloadId> {
    let changed = plan.timeline.iter().filter_map(|event| match &event.action {
        Action::DescribeEndpoints { workloads, .. } => Some(workloads),
        _ => None,
    });
    let changed_in_one = plan.timeline.iter().filter_map(|event| match &event.action {
        Action::DescribeClusterEndpoint { workload, .. } => Some(workload),
        _ => None,
    });
    let in_one = plan.cluster_endpoints.keys().map(|(_, workload)| workload).chain(changed_in_one);
    plan.endpoints.keys().chain(changed.flatten()).chain(in_one).copied().collect()
}

impl World<'_> {
    /// The balancer of a pod's upstream, if it needs one of its own.
    pub(super) fn balance_of(
        &self,
        pod: u32,
        cluster: ClusterId,
        first_turns: &[u32],
    ) -> Option<Box<Balance>> {
        if self.compiled.clusters[cluster.index()].is_even {
            return None;
        }
        let policy = &self.plan.universe.clusters[cluster.index()].policy;
        let record = &self.pods[pod as usize];
        let role = self.plan.universe.workloads[record.workload.index()].role;
        let sender = Sender { address: record.hash, is_crowd: role != Role::App };
        Some(Box::new(Balance::new(policy, sender, first_turns.into())))
    }

    /// The endpoints of an upstream as its proxy knows them from now on; whether they are the same,
    /// and only what is said of them has changed.
    pub(super) fn tell_balance(&mut self, index: u32) -> bool {
        let upstream = &mut self.upstreams[index as usize];
        let Some(mut balance) = upstream.balance.take() else { return false };
        let (cluster, version, client) = (upstream.cluster, upstream.version, upstream.pod);
        let pods = self.config.endpoints(cluster, version).to_vec();
        let balancing = self.plan.universe.clusters[cluster.index()].policy.balancing.as_deref();
        let locality = balancing.and_then(|balancing: &Balancing| balancing.locality.as_ref());
        balance.zones = self.zones(client, locality);
        let is_near = |zone: u32| zone == self.zone_of(client);
        let key = |pod: &u32| {
            let workload = self.pods[*pod as usize].workload;
            let (settings, zone) = self.config.settings(cluster, workload, version);
            let zone = zone.map_or_else(|| self.zone_of(*pod), |zone| zone.0);
            let is_far = matches!(locality, Some(Locality::Failover)) && !is_near(zone);
            (settings, (settings.priority, is_far), zone)
        };
        // Priorities without gaps.
        let levels: BTreeSet<(u32, bool)> = pods.iter().map(|pod| key(pod).1).collect();
        let levels: BTreeMap<(u32, bool), u32> = levels.into_iter().zip(0..).collect();
        let endpoint = |pod: &u32| {
            let (settings, level, zone) = key(pod);
            let known = balance.pods.binary_search(pod).ok().and_then(|at| balance.endpoints[at]);
            let zone = self.zone_index(client, zone, locality);
            let weight_of_zone = match &balance.zones {
                Zones::Weighted(weights) => weights[zone as usize],
                _ => 1,
            };
            (weight_of_zone != 0).then(|| Endpoint {
                weight: settings.weight,
                level: levels[&level],
                zone,
                health: settings.health,
                since: known.map_or(self.now, |known| known.since),
            })
        };
        let endpoints = pods.iter().map(endpoint).collect();
        let are_same = balance.pods == pods;
        (balance.pods, balance.endpoints) = (pods, endpoints);
        self.upstreams[index as usize].balance = Some(balance);
        are_same
    }

    /// Health of an upstream's endpoints changed, or all of them.
    pub(super) fn refresh_balance(&mut self, index: u32) {
        let upstream = &mut self.upstreams[index as usize];
        let Some(mut balance) = upstream.balance.take() else { return };
        let upstream = &self.upstreams[index as usize];
        let mut endpoints = balance.endpoints.clone();
        for (endpoint, slot) in endpoints.iter_mut().zip(&upstream.members) {
            if let Some(endpoint) = endpoint
                && *slot != NONE
                && upstream.hosts[*slot as usize].is_left_out
            {
                endpoint.health = EndpointHealth::Unhealthy;
            }
        }
        if !upstream.checks.is_empty() {
            for (endpoint, pod) in endpoints.iter_mut().zip(&balance.pods) {
                if let Some(endpoint) = endpoint
                    && self.fails_checks(index, *pod)
                {
                    endpoint.health = EndpointHealth::Unhealthy;
                }
            }
        }
        let Balance { balancer, pods, zones, .. } = &mut *balance;
        balancer.refresh(&endpoints, zones, self.now, |place| self.pod_name(pods[place]));
        self.memory.grow(balance.bytes());
        self.upstreams[index as usize].balance = Some(balance);
    }

    /// An endpoint passes its checks again: its slow start begins anew (Envoy's `lastHcPassTime`).
    pub(super) fn is_new_again(&mut self, index: u32, pod: u32) {
        let now = self.now;
        let Some(balance) = &mut self.upstreams[index as usize].balance else { return };
        if let Ok(place) = balance.pods.binary_search(&pod)
            && let Some(endpoint) = &mut balance.endpoints[place]
        {
            endpoint.since = now;
        }
    }

    fn zone_of(&self, pod: u32) -> u32 {
        self.plan.universe.nodes[self.pods[pod as usize].node.index()].zone.0
    }

    /// A zone's number as the balancer counts: one's own is 0 in zone aware routing.
    fn zone_index(&self, client: u32, zone: u32, locality: Option<&Locality>) -> u32 {
        let own = self.zone_of(client);
        match locality {
            Some(Locality::ZoneAware { .. }) if zone == own => 0,
            Some(Locality::ZoneAware { .. }) if zone == 0 => own,
            _ => zone,
        }
    }

    fn zones(&self, client: u32, locality: Option<&Locality>) -> Zones {
        let count = self.plan.universe.zones.len();
        match locality {
            None | Some(Locality::Failover) => Zones::Alike,
            Some(Locality::Weighted(all)) => {
                let own = self.zone_of(client);
                let mine = all.iter().find(|one| one.from.is_some_and(|from| from.0 == own));
                let mine = mine.or_else(|| all.iter().find(|one| one.from.is_none()));
                let Some(mine) = mine else { return Zones::Alike };
                let mut weights = vec![0; count];
                mine.to.iter().for_each(|(zone, weight)| weights[zone.index()] = *weight);
                Zones::Weighted(weights)
            }
            Some(Locality::ZoneAware { min_cluster_size }) => {
                let mut clients = vec![0; count];
                let workload = self.pods[client as usize].workload;
                for pod in &self.workloads[workload.index()].ready {
                    let zone = self.zone_index(client, self.zone_of(*pod), locality);
                    clients[zone as usize] += 1;
                }
                Zones::Aware { clients, min_cluster_size: *min_cluster_size }
            }
        }
    }
}
