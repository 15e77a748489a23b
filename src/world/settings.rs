//! What the control plane says of the endpoints of a workload, by version: weight, priority, health.
//!
//! It comes with the endpoints: a change of it is a change of the lists of all clusters that have the
//! workload, though their members stay.
//!
//! Source: EDS, whose answer has addresses and what is said of them.
//! Left out: settings of single pods.

use super::World;
use super::config::{Config, History, Thing, as_of};
use crate::plan::Plan;
use crate::plan::balancing::EndpointSettings;
use crate::plan::timeline::Action;
use crate::plan::universe::{ClusterId, WorkloadId, ZoneId};
use crate::vocabulary::cause::CauseId;
use std::collections::BTreeMap;

/// Whose endpoints: those of a workload, in one cluster or in all others.
pub(super) type Described = (Option<ClusterId>, WorkloadId);

/// The settings of workloads of which anything is said, now or ever, and their zones where they are not
/// those of their nodes.
pub(super) type Settings = BTreeMap<Described, History<(EndpointSettings, Option<ZoneId>)>>;

/// The settings at time zero.
pub(super) fn initial(plan: &Plan) -> Settings {
    let changed = plan.timeline.iter().filter_map(|event| match &event.action {
        Action::DescribeEndpoints { workloads, .. } => Some(workloads),
        _ => None,
    });
    let named = plan.endpoints.keys().chain(changed.flatten()).copied();
    let of = |workload: WorkloadId| plan.endpoints.get(&workload).copied().unwrap_or_default();
    let of_all = named.map(|workload| ((None, workload), vec![(1, (of(workload), None))]));
    let changed = plan.timeline.iter().filter_map(|event| match event.action {
        Action::DescribeClusterEndpoint { cluster, workload, .. } => {
            Some(((Some(cluster), workload), vec![(1, (of(workload), None))]))
        }
        _ => None,
    });
    let given = plan.cluster_endpoints.iter().map(|((cluster, workload), one)| {
        ((Some(*cluster), *workload), vec![(1, (one.settings, one.zone))])
    });
    of_all.chain(changed).chain(given).collect()
}

impl Config {
    /// What is said of a workload's endpoints in a cluster as of a version that somebody holds, and their
    /// zone if it is not that of their nodes.
    pub(super) fn settings(
        &self,
        cluster: ClusterId,
        workload: WorkloadId,
        version: u32,
    ) -> (EndpointSettings, Option<ZoneId>) {
        let own = self.settings.get(&(Some(cluster), workload));
        let history = own.or_else(|| self.settings.get(&(None, workload)));
        history
            .and_then(|history| as_of(history, version))
            .map_or_else(Default::default, |one| one.1)
    }

    /// Something else is said of a workload's endpoints from the last version on; whether it is.
    fn set_settings(
        &mut self,
        described: Described,
        settings: (EndpointSettings, Option<ZoneId>),
    ) -> bool {
        let version = self.versions.newest();
        let Some(history) = self.settings.get_mut(&described) else { return false };
        match history.last_mut() {
            Some((_, same)) if *same == settings => return false,
            Some((from, known)) if *from == version => *known = settings,
            _ => {
                history.push((version, settings));
                self.versions.touch(Thing::Settings(described));
            }
        }
        true
    }

    /// The cluster's endpoints are told anew in the last version: the same, but not all that is said.
    fn tell_anew(&mut self, cluster: ClusterId) {
        let version = self.versions.newest();
        let history = &mut self.endpoints[cluster.index()];
        let Some((from, list)) = history.last().copied() else { return };
        if from != version {
            self.lists.hold(list);
            history.push((version, list));
            self.versions.touch(Thing::Endpoints(cluster));
            let change = (version, self.newest_at);
            self.scopes.cluster_changed(cluster, change, self.versions.oldest());
        }
    }
}

impl World<'_> {
    /// What is in force for the endpoints of these workloads changed.
    pub(super) fn tell_settings(&mut self, workloads: &[WorkloadId], cause: Option<CauseId>) {
        self.config.begin_version(self.now, cause);
        for workload in workloads {
            let settings = self.settings_in_force(*workload);
            if !self.config.set_settings((None, *workload), (settings, None)) {
                continue;
            }
            for place in 0..self.compiled.clusters_of[workload.index()].len() {
                self.config.tell_anew(self.compiled.clusters_of[workload.index()][place]);
            }
        }
        self.schedule_watch();
    }

    /// What is in force for an endpoint in one cluster changed.
    #[cold]
    pub(super) fn tell_cluster_endpoint(
        &mut self,
        cluster: ClusterId,
        workload: WorkloadId,
        cause: Option<CauseId>,
    ) {
        let last = self.in_force().rev().find_map(|(action, _)| match action {
            Action::DescribeClusterEndpoint { cluster: of, workload: one, endpoint }
                if (*of, *one) == (cluster, workload) =>
            {
                Some(*endpoint)
            }
            _ => None,
        });
        let last = last.or_else(|| self.plan.cluster_endpoints.get(&(cluster, workload)).copied());
        let settings = match last {
            Some(endpoint) => (endpoint.settings, endpoint.zone),
            None => (self.settings_in_force(workload), None),
        };
        self.config.begin_version(self.now, cause);
        if self.config.set_settings((Some(cluster), workload), settings) {
            self.config.tell_anew(cluster);
        }
        self.schedule_watch();
    }

    /// What the plan says, and over it what the events in force say.
    fn settings_in_force(&self, workload: WorkloadId) -> EndpointSettings {
        let mut settings = self.plan.endpoints.get(&workload).copied().unwrap_or_default();
        for (action, _) in self.in_force() {
            let Action::DescribeEndpoints { workloads, weight, priority, health } = action else {
                continue;
            };
            if workloads.contains(&workload) {
                settings.weight = weight.unwrap_or(settings.weight);
                settings.priority = priority.unwrap_or(settings.priority);
                settings.health = health.unwrap_or(settings.health);
            }
        }
        settings
    }
}
