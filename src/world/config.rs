//! Configuration: what is true, what the control plane knows, what each proxy has seen.
//!
//! Every change makes a version. An endpoint list or a route is kept with the version that made
//! it, as long as anybody has a version in which it holds: a stale proxy is a small number, and
//! what nobody has any more is freed. Whoever takes or leaves a version says so here, in one
//! function for each kind of holder.
//!
//! Source: ARCHITECTURE.md; xDS versions are per type, four numbers a proxy.
//! Left out: resources of one type that arrive apart.

use super::World;
use super::definitions::Definitions;
use super::filter_lists::Masks;
use super::scopes::Scopes;
pub(crate) use super::seen::Seen;
use super::settings::{Described, Settings};
use super::state::Pod;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use crate::model::control::snapshots::{SnapshotId, Snapshots, difference};
use crate::model::control::versions::Versions;
use crate::plan::Plan;
use crate::plan::universe::{ClusterId, RouteId, ServiceId, WorkloadId};
use crate::vocabulary::cause::CauseId;

/// Something that has a history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Thing {
    Endpoints(ClusterId),
    Route(ServiceId),
    Settings(Described),
    Definition(ClusterId),
    Filters(WorkloadId),
}

/// Values with the versions from which they hold, in order.
pub(super) type History<T> = Vec<(u32, T)>;

/// The history of the configuration.
pub(crate) struct Config {
    pub(super) versions: Versions<Thing>,
    pub(super) lists: Snapshots,
    /// By cluster.
    pub(super) endpoints: Vec<History<SnapshotId>>,
    /// By service.
    routes: Vec<History<RouteId>>,
    /// What is said of endpoints.
    pub(super) settings: Settings,
    /// Of clusters that are ever defined anew.
    pub(super) definitions: Definitions,
    /// Of workloads whose filters ever change.
    pub(super) filters: Masks,
    pub scopes: Scopes,
    /// What was asked last of [`Config::changed_things`], and the answer.
    pub(super) changed: ((Option<usize>, u32, u32), u64),
    /// When the newest version came.
    pub(super) newest_at: Time,
    /// The version that the API server's watchers know.
    pub watched: u32,
}

impl Config {
    /// Version 1: no endpoints yet, and the routes at time zero.
    pub(crate) fn new(plan: &Plan) -> Self {
        let clusters = plan.universe.clusters.len();
        let routes: Vec<RouteId> = plan.universe.services.iter().map(|one| one.route).collect();
        let settings = super::settings::initial(plan);
        let definitions = super::definitions::initial(plan);
        let cluster = |index| ClusterId(u32::try_from(index).expect("fewer than 2^32 clusters"));
        let service = |index| ServiceId(u32::try_from(index).expect("fewer than 2^32 services"));
        let things = (0..clusters).map(|index| Thing::Endpoints(cluster(index)));
        let things = things.chain((0..routes.len()).map(|index| Thing::Route(service(index))));
        let things = things.chain(settings.keys().map(|described| Thing::Settings(*described)));
        let things = things.chain(definitions.keys().map(|cluster| Thing::Definition(*cluster)));
        let filters = super::filter_lists::initial(plan);
        let things = things.chain(filters.keys().map(|workload| Thing::Filters(*workload)));
        let versions = Versions::new(things);
        let mut lists = Snapshots::default();
        Self {
            versions,
            endpoints: (0..clusters).map(|_| vec![(1, lists.add(&[], None))]).collect(),
            routes: routes.into_iter().map(|route| vec![(1, route)]).collect(),
            settings,
            definitions,
            filters,
            lists,
            scopes: Scopes::new(plan),
            changed: ((None, 0, 0), 0),
            newest_at: Time::ZERO,
            watched: 1,
        }
    }

    /// The version of what is true.
    pub(crate) fn version(&self) -> u32 {
        self.versions.newest()
    }

    /// A new version begins; what changes follows.
    pub(crate) fn begin_version(&mut self, now: Time, cause: Option<CauseId>) -> u32 {
        self.versions.begin(now, cause);
        self.newest_at = now;
        self.versions.newest()
    }

    /// The cluster has these endpoints, in pod order, from the last version on. Who is gone.
    pub(crate) fn set_endpoints(&mut self, cluster: ClusterId, list: &[u32]) -> Vec<u32> {
        let version = self.versions.newest();
        let history = &mut self.endpoints[cluster.index()];
        let newest = history.last().map(|(_, list)| *list);
        let before = newest.map_or(&[][..], |newest| self.lists.list(newest));
        let gone = difference(before, list).0;
        let snapshot = self.lists.add(list, newest);
        match history.last_mut() {
            // As it was: no change.
            Some((_, same)) if *same == snapshot => self.lists.release(snapshot),
            Some((from, known)) if *from == version => {
                self.lists.release(std::mem::replace(known, snapshot));
            }
            _ => {
                history.push((version, snapshot));
                self.versions.touch(Thing::Endpoints(cluster));
                let change = (version, self.newest_at);
                self.scopes.cluster_changed(cluster, change, self.versions.oldest());
            }
        }
        gone
    }

    /// The service has these routes from the last version on.
    pub(crate) fn set_route(&mut self, service: ServiceId, route: RouteId) {
        let version = self.versions.newest();
        let history = &mut self.routes[service.index()];
        match history.last_mut() {
            Some((_, same)) if *same == route => {}
            Some((from, known)) if *from == version => *known = route,
            _ => {
                history.push((version, route));
                self.versions.touch(Thing::Route(service));
                let change = (version, self.newest_at);
                self.scopes.service_changed(service, change, self.versions.oldest());
            }
        }
    }

    /// The endpoints of a cluster as of a version that somebody holds.
    pub(crate) fn endpoints(&mut self, cluster: ClusterId, version: u32) -> &[u32] {
        match as_of(&self.endpoints[cluster.index()], version) {
            Some((_, list)) => self.lists.list(*list),
            None => &[],
        }
    }

    /// Whether a cluster's endpoints changed after version `old`, up to `new`, which somebody holds.
    pub(crate) fn endpoints_differ(&self, cluster: ClusterId, old: u32, new: u32) -> bool {
        as_of(&self.endpoints[cluster.index()], new).is_some_and(|(from, _)| old < *from)
    }

    /// The routes of a service as of a version that somebody holds.
    pub(crate) fn route(&self, service: ServiceId, version: u32) -> Option<RouteId> {
        as_of(&self.routes[service.index()], version).map(|(_, route)| *route)
    }

    /// When the first change came that a version, which somebody holds, does not have.
    pub(crate) fn stale_since(&self, version: u32) -> Option<Time> {
        self.versions.stale_since(version)
    }

    /// Since when the proxy with the oldest configuration is stale, if it is.
    pub(crate) fn oldest_stale_since(&self) -> Option<Time> {
        let unscoped = self.versions.oldest_live().and_then(|oldest| self.stale_since(oldest));
        unscoped.into_iter().chain(self.scopes.stale_since()).min()
    }

    /// A holder more of the first version.
    pub(crate) fn hold_first(&mut self) {
        self.versions.hold(1);
    }

    /// The watchers know one change more.
    pub(crate) fn watch(&mut self) {
        self.watched += 1;
        self.release(self.watched - 1);
    }

    /// A holder goes from one version to another.
    pub(crate) fn exchange(&mut self, holder: &mut u32, version: u32) {
        let old = std::mem::replace(holder, version);
        if old != version {
            self.versions.hold(version);
            self.release(old);
        }
    }

    /// A holder leaves a version.
    fn release(&mut self, version: u32) {
        let Self { versions, lists, endpoints, routes, settings, definitions, filters, .. } = self;
        versions.release(version, |thing| match thing {
            Thing::Endpoints(cluster) => {
                lists.release(take(&mut endpoints[cluster.index()], version));
            }
            Thing::Route(service) => {
                take(&mut routes[service.index()], version);
            }
            Thing::Settings(described) => {
                settings.get_mut(&described).map(|history| take(history, version));
            }
            Thing::Definition(cluster) => {
                definitions.get_mut(&cluster).map(|history| take(history, version));
            }
            Thing::Filters(workload) => {
                filters.get_mut(&workload).map(|history| take(history, version));
            }
        });
    }

    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> usize {
        let endpoints =
            self.endpoints.bytes() + self.endpoints.iter().map(Vec::bytes).sum::<usize>();
        let routes = self.routes.bytes() + self.routes.iter().map(Vec::bytes).sum::<usize>();
        self.versions.bytes() + self.lists.bytes() + endpoints + routes
    }
}

/// The value in force as of a version: nearly always the newest.
#[inline]
pub(super) fn as_of<T>(history: &History<T>, version: u32) -> Option<&(u32, T)> {
    match history.last() {
        Some(newest) if newest.0 <= version => Some(newest),
        _ => as_of_old(history, version),
    }
}

#[cold]
fn as_of_old<T>(history: &History<T>, version: u32) -> Option<&(u32, T)> {
    history[..history.partition_point(|(from, _)| *from <= version)].last()
}

/// Takes out the value in force as of a version.
fn take<T>(history: &mut History<T>, version: u32) -> T {
    let place = history.partition_point(|(from, _)| *from <= version) - 1;
    history.remove(place).1
}

// === who holds which version ===

impl World<'_> {
    /// What a proxy has seen changes.
    pub(super) fn set_seen(&mut self, pod: u32, seen: Seen) {
        let old = std::mem::replace(&mut self.pods[pod as usize].seen, seen);
        if old != seen {
            seen.versions().iter().for_each(|version| self.config.versions.hold(*version));
            self.count_live(pod);
            old.versions().iter().for_each(|version| self.config.release(*version));
        }
    }

    /// Counts a proxy with those that are up, by what it has seen. To be called when either
    /// changes.
    pub(super) fn count_live(&mut self, pod: u32) {
        let has_control_plane = !self.control.replicas.is_empty();
        let pod = &mut self.pods[pod as usize];
        let is_live = pod.has_live_proxy() && has_control_plane;
        let version = if is_live { pod.seen.oldest() } else { 0 };
        let old = std::mem::replace(&mut pod.live_version, version);
        if let Some(scope) = self.config.scopes.of(pod.workload) {
            self.config.scopes.move_live(scope, old, version);
        } else if old != version {
            self.config.versions.enter(version);
            self.config.versions.leave(old);
        }
    }

    /// When the first change came that a proxy with this version does not have.
    pub(super) fn proxy_stale_since(&self, pod: u32, version: u32) -> Option<Time> {
        match self.config.scopes.of(self.pods[pod as usize].workload) {
            Some(scope) if version != 0 => Some(self.config.scopes.first_change(scope, version)?.1),
            _ => self.config.stale_since(version),
        }
    }

    /// Whether nothing that a proxy knows changed up to a version; it needs no push then, and has
    /// that version, too.
    pub(super) fn skips_to(&mut self, pod: u32, version: u32) -> bool {
        let one = &self.pods[pod as usize];
        let seen = one.seen.oldest();
        let Some(scope) = self.config.scopes.of(one.workload) else { return false };
        let change = self.config.scopes.first_change(scope, seen);
        if seen == 0
            || change.is_some_and(|(first, _)| first <= version)
            || self.authorities.changes_between(seen, version)
        {
            return false;
        }
        self.set_seen(pod, Seen::all(version));
        true
    }

    /// A push to a proxy is on its way, or none is: (replica, version, epoch of the stream).
    pub(super) fn set_pushing(&mut self, pod: u32, push: Option<(u32, u32, u32)>) {
        let mine = &mut self.pods[pod as usize].pushing;
        let mut held = mine.map_or(0, |(_, version, _)| version);
        *mine = push;
        self.config.exchange(&mut held, push.map_or(0, |(_, version, _)| version));
    }

    /// The version of a replica's push context becomes that of the push it has prepared.
    pub(super) fn set_context(&mut self, replica: u32, version: u32) {
        self.config.exchange(&mut self.control.replicas[replica as usize].context, version);
    }

    /// A replica prepares a push of what the watchers know.
    pub(super) fn prepare(&mut self, replica: u32) {
        let one = &self.control.replicas[replica as usize];
        let watched = if one.frozen == 0 { self.config.watched } else { one.context };
        self.config.exchange(&mut self.control.replicas[replica as usize].preparing, watched);
    }

    /// Holders and histories, recounted.
    pub(super) fn audit_config(&self) {
        let Config { versions, lists, endpoints, routes, scopes, watched, .. } = &self.config;
        let (settings, definitions) = (&self.config.settings, &self.config.definitions);
        let mut holders = Vec::with_capacity(6 * self.pods.len());
        for pod in &self.pods {
            holders.extend(pod.seen.versions());
            holders.extend(pod.pushing.map(|(_, version, _)| version));
        }
        for replica in &self.control.replicas {
            holders.extend([replica.context, replica.preparing]);
        }
        holders.extend(*watched..=versions.newest());
        holders.retain(|version| *version != 0);
        holders.sort_unstable();
        let has_control_plane = !self.control.replicas.is_empty();
        let is_up = |pod: &Pod| pod.has_live_proxy() && has_control_plane;
        for ((scope, version), counted) in scopes.live() {
            let has = |pod: &&Pod| {
                is_up(pod) && scopes.of(pod.workload) == Some(scope) && pod.seen.oldest() == version
            };
            let count = self.pods.iter().filter(has).count();
            assert_eq!(count, counted as usize, "live proxies of a scope with version {version}");
        }
        let is_live = |pod: &&Pod| is_up(pod) && scopes.of(pod.workload).is_none();
        let live_versions = self.pods.iter().filter(is_live).map(|pod| pod.seen.oldest());
        let mut live = Vec::with_capacity(self.pods.len());
        live.extend(live_versions.filter(|version| *version != 0));
        live.sort_unstable();
        let (mut all, mut all_live) = (0, 0);
        for (version, holders_counted, live_counted) in versions.holders() {
            let until = |list: &[u32], version| list.partition_point(|one| *one <= version);
            let of = |list: &[u32]| until(list, version) - until(list, version - 1);
            assert_eq!(of(&holders), holders_counted as usize, "holders of version {version}");
            assert_eq!(of(&live), live_counted as usize, "live proxies with version {version}");
            (all, all_live) = (all + holders_counted as usize, all_live + live_counted as usize);
        }
        assert_eq!((all, all_live), (holders.len(), live.len()), "all holders have a version");
        let mut users = vec![0_u32; lists.places()];
        let mut used = |list: SnapshotId| users[list.index()] += 1;
        for history in endpoints {
            assert!(is_needed(history, &holders), "a list that nobody has is kept");
            for (_, list) in history {
                used(*list);
            }
        }
        assert!(routes.iter().all(|one| is_needed(one, &holders)), "a route, too");
        assert!(settings.values().all(|one| is_needed(one, &holders)), "settings, too");
        assert!(definitions.values().all(|one| is_needed(one, &holders)), "definitions, too");
        let mut filters = self.config.filters.values();
        assert!(filters.all(|one| is_needed(one, &holders)), "filters, too");
        for (_, base) in lists.bases() {
            if let Some(base) = base {
                used(base);
            }
        }
        for (list, _) in lists.bases() {
            assert_eq!(lists.users(list), users[list.index()], "uses of a list, recounted");
        }
    }
}

/// Whether each value of a history is in force in a version that is held.
fn is_needed<T>(history: &History<T>, held: &[u32]) -> bool {
    history.iter().enumerate().all(|(index, (from, _))| {
        let until = history.get(index + 1).map_or(u32::MAX, |next| next.0);
        let first = held.partition_point(|version| version < from);
        held.get(first).is_some_and(|version| *version < until)
    })
}
