//! Configuration: what is true, what the control plane knows, what each proxy has seen.
//!
//! Every change makes a version. An endpoint list or a route is kept with the version that made
//! it, so a stale proxy is a small number and old lists are shared by all who still have them.
//!
//! Source: ARCHITECTURE.md; xDS versions are per type, four numbers a proxy.
//! Left out: scopes (every proxy sees everything), deltas, the freeing of lists nobody has.

use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::Time;
use crate::plan::universe::{ClusterId, RouteId, ServiceId};
use crate::vocabulary::cause::CauseId;

/// The history of the configuration.
pub(crate) struct Config {
    /// When version v came to be, at index v − 1, and why.
    changes: Vec<(Time, Option<CauseId>)>,
    /// By cluster: lists of pods with the version from which they hold.
    endpoints: Vec<Vec<(u32, Box<[u32]>)>>,
    /// By service: routes with the version from which they hold.
    routes: Vec<Vec<(u32, RouteId)>>,
    /// The version that the API server's watchers know.
    pub watched: u32,
}

impl Config {
    /// Version 1: these endpoints and routes, at time zero.
    pub(crate) fn new(endpoints: Vec<Box<[u32]>>, routes: Vec<RouteId>) -> Self {
        Self {
            changes: vec![(Time::ZERO, None)],
            endpoints: endpoints.into_iter().map(|list| vec![(1, list)]).collect(),
            routes: routes.into_iter().map(|route| vec![(1, route)]).collect(),
            watched: 1,
        }
    }

    /// The version of what is true.
    pub(crate) fn version(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("fewer than 2^32 changes")
    }

    /// A new version begins; what changes follows.
    pub(crate) fn begin_version(&mut self, now: Time, cause: Option<CauseId>) {
        self.changes.push((now, cause));
    }

    /// The cluster has these endpoints from the last version on.
    pub(crate) fn set_endpoints(&mut self, cluster: ClusterId, list: Box<[u32]>) {
        let version = self.version();
        let history = &mut self.endpoints[cluster.index()];
        match history.last_mut() {
            Some(newest) if newest.0 == version => newest.1 = list,
            _ => history.push((version, list)),
        }
    }

    /// The service has these routes from the last version on.
    pub(crate) fn set_route(&mut self, service: ServiceId, route: RouteId) {
        let version = self.version();
        self.routes[service.index()].push((version, route));
    }

    /// The endpoints of a cluster as of a version.
    pub(crate) fn endpoints(&self, cluster: ClusterId, version: u32) -> &[u32] {
        let history = &self.endpoints[cluster.index()];
        let newest = history.iter().rfind(|(from, _)| *from <= version);
        newest.map_or(&[], |(_, list)| list)
    }

    /// Whether a cluster's endpoints differ between two versions.
    pub(crate) fn endpoints_differ(&self, cluster: ClusterId, old: u32, new: u32) -> bool {
        let history = &self.endpoints[cluster.index()];
        history.iter().rev().take_while(|(from, _)| old < *from).any(|(from, _)| *from <= new)
    }

    /// The routes of a service as of a version.
    pub(crate) fn route(&self, service: ServiceId, version: u32) -> Option<RouteId> {
        let history = &self.routes[service.index()];
        history.iter().rfind(|(from, _)| *from <= version).map(|(_, route)| *route)
    }

    /// When the first change came that `version` does not have.
    pub(crate) fn stale_since(&self, version: u32) -> Option<Time> {
        self.changes.get(version as usize).map(|change| change.0)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.endpoints.iter().flatten().map(|(_, list)| list.bytes());
        let endpoints =
            self.endpoints.bytes() + self.endpoints.iter().map(Vec::bytes).sum::<usize>();
        let routes = self.routes.bytes() + self.routes.iter().map(Vec::bytes).sum::<usize>();
        self.changes.bytes() + endpoints + lists.sum::<usize>() + routes
    }
}
