//! Where requests go by weight: versions of a route, backends of a `TrafficSplit`, and the failover extension's.
//!
//! Source: Istio's `VirtualService`; `plan::linkerd::split`; linkerd-failover README.md.
//! Left out: ports: each backend has the one port of its service.

use super::super::context::known;
use super::super::document::{At, Node};
use super::super::units::quantity;
use super::action::{Done, percent};
use super::{Lower, id};
use crate::plan::linkerd::rules::Failover;
use crate::plan::linkerd::split::Split;
use crate::plan::route::{Destination, RouteTable};
use crate::plan::timeline::{Action, Resource};
use crate::plan::universe::{Cluster, ClusterId, RouteId, ServiceId};
use std::collections::BTreeSet;

/// More secondaries would need too many route tables.
const SECONDARIES_MAX: usize = 5;

impl Lower<'_, '_, '_> {
    /// Weighted versions; a version that the service does not have leads nowhere, as in a mesh.
    pub(super) fn split(&mut self, service: ServiceId, node: &Node) -> Vec<(Destination, u32)> {
        let name = self.universe.services[service.index()].name.clone();
        let mut split = Vec::new();
        for entry in node.entries() {
            let Some(weight) = node.count(&entry.key) else { continue };
            let cluster = format!("{name}/{}", entry.key);
            // Its own version, or another service, or a version of that.
            let other = || self.cluster(&entry.key).filter(|_| !self.is_waypoint(&entry.key));
            let destination = match self.cluster(&cluster).or_else(other) {
                Some(cluster) => Destination::Cluster(cluster),
                None => Destination::Missing(cluster),
            };
            split.push((destination, weight));
        }
        if split.iter().any(|(_, weight)| 0 < *weight) {
            split.retain(|(_, weight)| 0 < *weight);
            return split;
        }
        match (self.linkerd.is_some(), split.len()) {
            (true, 1) => {
                let hint = "Linkerd's proxy does not look at the weight of a lone backend";
                self.warn(node.at, "one backend with weight 0 takes all requests", hint);
            }
            (true, 2..) => {
                let hint = "Linkerd's proxy panics while it builds the routes of the service: connections to it are \
                            reset, whatever is asked for";
                self.warn(node.at, "all backends have weight 0", hint);
            }
            _ => {
                let what = "no weight is above 0";
                self.report(node.at, what, "weights are relative: { v1 = 90, v2 = 10 }");
            }
        }
        split
    }

    /// The cluster of all of a service.
    pub(super) fn whole(&self, service: ServiceId) -> Destination {
        let name = &self.universe.services[service.index()].name;
        self.cluster(name).map_or_else(|| Destination::Missing(name.clone()), Destination::Cluster)
    }

    /// The service of that name.
    pub(super) fn service_named(&mut self, at: At, name: &str) -> Option<ServiceId> {
        let found = self.services.get(name).copied();
        if found.is_none() {
            let names: Vec<&str> = self.services.keys().copied().collect();
            self.missing(at, "service", name, names);
        }
        found
    }

    pub(super) fn cluster(&self, name: &str) -> Option<ClusterId> {
        // Behind them stand those that events change, in no order.
        let clusters = &self.universe.clusters[..self.declared_clusters];
        let found = clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(name));
        found.ok().map(|index| ClusterId(id(index)))
    }

    /// Other weights of a rule, or another split.
    pub(super) fn reroute(
        &mut self,
        table: &Node,
        at: At,
        name: &str,
        route: RouteId,
        tables: &mut Vec<(String, RouteTable)>,
    ) -> Done {
        if table.text("do") == Some("split") {
            return self.split_event(table, at, name, route, tables);
        }
        let service = self.service_named(at, name)?;
        if let Some(key) = self.profile_key(service) {
            let is_own = self.service_nodes[service.index()].get(key).is_some();
            let what = if is_own {
                format!("`{name}` has a `{key}`, which wins over routes")
            } else {
                format!("an event gives `{name}` a `{key}`, and routes change beside none")
            };
            self.report(at, what, "do = \"split\" changes the weights of a TrafficSplit");
            return None;
        }
        let weights = table.get("weights")?;
        let split = self.split(service, weights);
        let mut rules = self.universe.routes.get(service.index())?.rules.clone();
        let given = self.service_nodes[service.index()].list("route");
        let index = match table.get("route") {
            Some(wanted) => {
                let text = wanted.as_text()?;
                let found = given.iter().position(|route| route.text("name") == Some(text));
                if found.is_none() {
                    let names = given.iter().filter_map(|route| route.text("name"));
                    let hint = known(text, names, "its named routes");
                    self.report(wanted.at, format!("`{name}` has no route `{text}`"), hint);
                }
                found?
            }
            None if given.len() <= 1 => 0,
            None => {
                let what = format!("`{name}` has {} routes", given.len());
                self.report(table.at, what, "say which: route = \"NAME\"");
                return None;
            }
        };
        let rule = rules.get_mut(index)?;
        (rule.split, rule.cluster_header) = (split, None);
        let id = table.text("id")?.to_owned();
        let revision = self.route_table(service, id.clone(), rules);
        tables.push((id, revision));
        let total: f64 = weights.entries().iter().filter_map(|entry| entry.node.number()).sum();
        let part = |(version, weight): (&str, f64)| {
            let share = if total <= 0.0 { 0.0 } else { weight / total };
            format!("{version} serves {}", percent(share))
        };
        let parts: Vec<String> = weights
            .entries()
            .iter()
            .filter_map(|entry| Some((entry.key.as_str(), entry.node.number()?)))
            .map(part)
            .collect();
        let label = format!("{} of {name}", parts.join(", "));
        let action = Action::SetRoutes { service, route };
        Some(self.unless_rejected(table, action, &[Resource::Routes(service)], label))
    }

    /// What of a service wins over its routes, if anything ever does.
    fn profile_key(&self, service: ServiceId) -> Option<&'static str> {
        self.linkerd.as_ref()?;
        let node = self.service_nodes[service.index()];
        let name = &self.universe.services[service.index()].name;
        let keys = ["service_profile", "failover", "traffic_split"];
        let own = keys.into_iter().find(|key| node.get(key).is_some());
        own.or_else(|| self.is_ever_split(service, name).then_some("traffic_split"))
    }

    // === TrafficSplit ===

    /// A backend of a split: a service, or a version of the split's own. One that is not there is as one without
    /// endpoints: the controller says so of a `Service` that does not exist.
    fn backend(&mut self, apex: ServiceId, at: At, name: &str) -> ClusterId {
        let own = format!("{}/{name}", self.universe.services[apex.index()].name);
        let is_service = self.services.contains_key(name);
        let found = if is_service { self.cluster(name) } else { self.cluster(&own) };
        if let Some(cluster) = found {
            return cluster;
        }
        let hint = "it is as a service without endpoints: its share waits for 3 s and gets 504, then the others have it";
        self.warn(at, format!("there is no service or version `{name}`"), hint);
        let made = self.universe.clusters.iter().position(|one| one.name == own);
        let place = made.unwrap_or_else(|| {
            let whole = self.whole(apex);
            let Destination::Cluster(whole) = whole else { return 0 };
            let policy = self.universe.clusters[whole.index()].policy.clone();
            let cluster = Cluster { name: own, service: apex, workloads: Vec::new(), policy };
            self.universe.clusters.push(cluster);
            self.universe.clusters.len() - 1
        });
        ClusterId(id(place))
    }

    /// The backends of a split with the weights that the proxy keeps; none if there are none.
    pub(super) fn traffic_split(
        &mut self,
        apex: ServiceId,
        node: &Node,
    ) -> Option<Vec<(Destination, u32)>> {
        let mut weights = Vec::new();
        for entry in node.entries() {
            weights.push(quantity(&entry.node).unwrap_or(0));
        }
        if weights.is_empty() {
            let hint = "traffic_split = { v1 = 1, v2 = \"500m\" }; an event takes one away: removed = true";
            self.report(node.at, "a split of nothing", hint);
            return None;
        }
        let Split::Over(kept) = Split::of_thousandths(&weights) else {
            let hint = "the proxy drops them: requests go to the service itself, as if there were no split";
            self.warn(node.at, "all weights of the split are 0", hint);
            return None;
        };
        let mut split = Vec::new();
        for (place, weight) in kept {
            let entry = &node.entries()[place];
            let cluster = self.backend(apex, entry.at, &entry.key);
            split.push((Destination::Cluster(cluster), weight));
        }
        Some(split)
    }

    /// What an event that does `split` does: another split, or none any more.
    fn split_event(
        &mut self,
        table: &Node,
        at: At,
        name: &str,
        route: RouteId,
        tables: &mut Vec<(String, RouteTable)>,
    ) -> Done {
        let service = self.service_named(at, name)?;
        let own = self.service_nodes[service.index()];
        if self.linkerd.is_none() {
            let hint = "Istio's routes have weights: do = \"route\"";
            self.report(at, "a TrafficSplit does nothing without Linkerd", hint);
            return None;
        }
        if own.get("failover").is_some() {
            let hint = "the extension writes the weights of this split";
            self.report(at, format!("`{name}` has a `failover`"), hint);
            return None;
        }
        let (split, is_removed) = (table.get("traffic_split"), table.flag("removed") == Some(true));
        let (split, label) = match (split, is_removed) {
            (Some(node), false) => {
                let weights = node.entries().iter();
                let shown: Vec<String> =
                    weights.map(|one| format!("{} {}", one.key, one.node.print())).collect();
                let split = self.traffic_split(service, node);
                (split, format!("the traffic split of {name} is {}", shown.join(", ")))
            }
            (None, true) => {
                if !self.is_ever_split(service, name) {
                    let hint = "traffic_split = { … } of the service, or of an event before";
                    self.report(at, format!("`{name}` has no traffic split"), hint);
                }
                (None, format!("the traffic split of {name} is removed"))
            }
            _ => {
                let hint = "give one of traffic_split = { v1 = 1 } and removed = true";
                self.report(table.at, "it is not clear what becomes of the split", hint);
                return None;
            }
        };
        let event = table.text("id")?.to_owned();
        let revision = self.table_in_force(service, &event, split, route)?;
        tables.push((event, revision));
        Some((Action::SetRoutes { service, route }, label))
    }

    fn is_ever_split(&self, service: ServiceId, name: &str) -> bool {
        let is_split = |event: &Node| {
            event.get("traffic_split").is_some()
                && event.text("target").and_then(|one| one.strip_prefix("service:")) == Some(name)
        };
        self.service_nodes[service.index()].get("traffic_split").is_some()
            || self.root.list("event").iter().any(is_split)
    }

    // === failover ===

    /// The tables of all failovers but the first of each, which is its service's.
    pub(super) fn failovers(&mut self) {
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let Some((primary, secondaries)) = self.failover_backends(ServiceId(id(index)), table)
            else {
                continue;
            };
            let service = ServiceId(id(index));
            let mut routes = vec![RouteId(id(index))];
            for ready in 1_u32..1 << secondaries.len() {
                let places = secondaries.iter().enumerate();
                let split = places.filter(|(place, _)| ready >> place & 1 == 1);
                let split = split.map(|(_, one)| (Destination::Cluster(*one), 1)).collect();
                let route = RouteId(id(self.universe.routes.len()));
                let name = format!("failover {ready} of {}", self.universe.services[index].name);
                if let Some(table) = self.table_in_force(service, &name, Some(split), route) {
                    self.universe.routes.push(table);
                    routes.push(route);
                }
            }
            self.profiles.failovers.insert(service, Failover { primary, secondaries, routes });
        }
    }

    /// Its primary and its secondaries, if it is one.
    pub(super) fn failover_backends(
        &mut self,
        apex: ServiceId,
        table: &Node,
    ) -> Option<(ClusterId, Vec<ClusterId>)> {
        self.linkerd.as_ref()?;
        let node = table.get("failover")?;
        let primary = node.get("primary")?;
        let first = self.backend(apex, primary.at, primary.as_text()?);
        let mut seen = BTreeSet::from([first]);
        let mut secondaries = Vec::new();
        for one in node.get("secondaries")?.items() {
            let cluster = self.backend(apex, one.at, one.as_text()?);
            if !seen.insert(cluster) {
                let hint = "each backend of the split once";
                self.report(one.at, format!("`{}` is named twice", one.print()), hint);
                return None;
            }
            secondaries.push(cluster);
        }
        if secondaries.is_empty() || SECONDARIES_MAX < secondaries.len() {
            let at = node.get("secondaries").map_or(node.at, |one| one.at);
            let what = format!("{} secondaries", secondaries.len());
            self.report(at, what, format!("from 1 to {SECONDARIES_MAX}"));
            return None;
        }
        Some((first, secondaries))
    }
}
