//! Scopes: sets of proxies that see the same part of the configuration.
//!
//! A proxy whose service lists its `egress` knows only those services. A change elsewhere is no
//! change to it: no push, and no staleness. A scope keeps the versions that changed it, as long as
//! anybody has an older one. Proxies that see everything need no scope.
//!
//! Source: Istio's Sidecar `egress.hosts`; `pilot/pkg/model/sidecar.go`, on which configs a scope
//! depends.
//! Left out: namespaces, ports, exportTo; the size of a push (its time does not depend on it).

use crate::kernel::time::Time;
use crate::plan::Plan;
use crate::plan::universe::{ClusterId, ServiceId, WorkloadId};
use std::collections::{BTreeMap, VecDeque};

/// All scopes.
#[derive(Default)]
pub(crate) struct Scopes {
    of_workload: BTreeMap<WorkloadId, usize>,
    /// By service: the scopes that have it.
    having: Vec<Vec<usize>>,
    /// By cluster: its service.
    services: Vec<ServiceId>,
    all: Vec<Scope>,
}

#[derive(Default)]
struct Scope {
    /// Versions that changed it, and when.
    changes: VecDeque<(u32, Time)>,
    /// Proxies that are up, by the version that they have.
    live: BTreeMap<u32, u32>,
}

impl Scope {
    fn changed(&mut self, change: (u32, Time), oldest: u32) {
        while self.changes.front().is_some_and(|(version, _)| *version <= oldest) {
            self.changes.pop_front();
        }
        if self.changes.back().is_none_or(|(version, _)| *version != change.0) {
            self.changes.push_back(change);
        }
    }
}

impl Scopes {
    /// The scopes of a plan: equal lists are one.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut numbers: BTreeMap<&[ServiceId], usize> = BTreeMap::new();
        let mut scopes = Self {
            having: vec![Vec::new(); plan.universe.services.len()],
            services: plan.universe.clusters.iter().map(|cluster| cluster.service).collect(),
            ..Self::default()
        };
        for (workload, services) in &plan.scopes {
            let next = numbers.len();
            let number = *numbers.entry(services).or_insert(next);
            scopes.of_workload.insert(*workload, number);
        }
        scopes.all.resize_with(numbers.len(), Scope::default);
        for (services, number) in numbers {
            for service in services {
                scopes.having[service.index()].push(number);
            }
        }
        scopes
    }

    /// The scope of a workload's proxies; none if they see everything.
    pub(crate) fn of(&self, workload: WorkloadId) -> Option<usize> {
        self.of_workload.get(&workload).copied()
    }

    /// Whether a scope has a service; one that is none has all.
    pub(crate) fn has(&self, scope: Option<usize>, service: ServiceId) -> bool {
        scope.is_none_or(|scope| self.having[service.index()].contains(&scope))
    }

    /// Whether it has a cluster's service.
    pub(crate) fn has_cluster(&self, scope: Option<usize>, cluster: ClusterId) -> bool {
        self.has(scope, self.services[cluster.index()])
    }

    /// A version changed a cluster; nobody has one older than `oldest`.
    pub(crate) fn cluster_changed(&mut self, cluster: ClusterId, change: (u32, Time), oldest: u32) {
        self.service_changed(self.services[cluster.index()], change, oldest);
    }

    /// A version changed a service; nobody has one older than `oldest`.
    pub(crate) fn service_changed(&mut self, service: ServiceId, change: (u32, Time), oldest: u32) {
        for number in &self.having[service.index()] {
            self.all[*number].changed(change, oldest);
        }
    }

    /// A version changed what the proxies of a workload have themselves.
    pub(crate) fn workload_changed(
        &mut self,
        workload: WorkloadId,
        change: (u32, Time),
        oldest: u32,
    ) {
        if let Some(number) = self.of_workload.get(&workload) {
            self.all[*number].changed(change, oldest);
        }
    }

    /// The first change of a scope after a version that somebody has.
    pub(crate) fn first_change(&self, scope: usize, version: u32) -> Option<(u32, Time)> {
        let changes = &self.all[scope].changes;
        changes.get(changes.partition_point(|(one, _)| *one <= version)).copied()
    }

    /// A proxy that is up goes from one version to another; 0 is none.
    pub(crate) fn move_live(&mut self, scope: usize, from: u32, to: u32) {
        let live = &mut self.all[scope].live;
        if to != 0 {
            *live.entry(to).or_default() += 1;
        }
        if let Some(count) = live.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                live.remove(&from);
            }
        }
    }

    /// Since when the proxy of any scope with the oldest configuration is stale.
    pub(crate) fn stale_since(&self) -> Option<Time> {
        let oldest = |scope: usize| self.all[scope].live.keys().next().copied();
        let all = (0..self.all.len()).filter_map(|scope| Some((scope, oldest(scope)?)));
        all.filter_map(|(scope, version)| Some(self.first_change(scope, version)?.1)).min()
    }

    /// Proxies of a scope that are up with a version, as counted.
    pub(crate) fn live(&self) -> impl Iterator<Item = ((usize, u32), u32)> {
        let all = self.all.iter().enumerate();
        all.flat_map(|(scope, one)| one.live.iter().map(move |(v, n)| ((scope, *v), *n)))
    }
}
