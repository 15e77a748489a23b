//! Routes: rules with their matches, weights, time-outs and retries; one table a service at the
//! start, one more for each event that changes routes.
//!
//! Source: Istio's `VirtualService`, the first match wins; a version that is not there is a cluster that is not there.
//! Left out: regular expressions, faults, rewrites.

use super::super::document::{At, Node};
use super::super::keys::{ROUTE, SERVICE};
use super::policy::{overridden, retry_policy};
use super::{Lower, headers, id};
use crate::kernel::time::Duration;
use crate::plan::policy::{RetryOn, RetryPolicy};
use crate::plan::route::{Destination, Mirror, PathMatch, RouteMatch, RouteRule, RouteTable};
use crate::plan::universe::{ClusterId, RequestClass, RouteId, ServiceId};

/// The status that a rule answers itself, if it does.
fn direct(route: &Node) -> Option<u16> {
    let given = route.count("direct_response").or(route.count("redirect"));
    given.and_then(|status| u16::try_from(status).ok())
}

fn idle_timeout(table: &Node) -> Option<Duration> {
    table.duration("idle_timeout")
}

impl Lower<'_, '_, '_> {
    /// The routes at time zero, one table a service, in the order of the services.
    pub(super) fn routes(&mut self) {
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let service = ServiceId(id(index));
            let own = overridden(&self.parameters, table, SERVICE);
            let mut rules: Vec<RouteRule> = Vec::new();
            for route in table.list("route").iter().filter(|route| route.is_table()) {
                let of_route = overridden(&own, route, ROUTE);
                let split = match route.get("weights") {
                    Some(weights) => self.split(service, weights),
                    None => vec![(self.whole(service), 1)],
                };
                rules.push(RouteRule {
                    matches: self.matches(route),
                    split,
                    direct: direct(route),
                    timeout: of_route.route.timeout,
                    idle_timeout: idle_timeout(route).or(idle_timeout(table)).unwrap_or_default(),
                    retry: retry_policy(&of_route, [table, route]),
                    mirrors: Vec::new(),
                });
            }
            if rules.is_empty() {
                rules.push(RouteRule {
                    matches: Vec::new(),
                    split: vec![(self.whole(service), 1)],
                    direct: None,
                    timeout: own.route.timeout,
                    idle_timeout: idle_timeout(table).unwrap_or_default(),
                    retry: retry_policy(&own, [table, table]),
                    mirrors: Vec::new(),
                });
            }
            let name = format!("routes of {}", self.universe.services[index].name);
            let table = self.route_table(service, name, rules);
            self.universe.routes.push(table);
        }
        self.mirrors();
    }

    /// Copies of requests: the tables that they follow stand behind those of the services.
    fn mirrors(&mut self) {
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let routes = table.list("route").iter().filter(|route| route.is_table());
            for (place, route) in routes.enumerate() {
                let Some((cluster, service, share)) = self.mirror(route) else { continue };
                let number = self.universe.routes.len();
                let rule = &mut self.universe.routes[index].rules[place];
                rule.mirrors.push(Mirror { route: RouteId(id(number)), share });
                let copy = RouteRule {
                    matches: Vec::new(),
                    split: vec![(Destination::Cluster(cluster), 1)],
                    direct: None,
                    timeout: rule.timeout,
                    idle_timeout: Duration::ZERO,
                    retry: RetryPolicy {
                        retries: 0,
                        on: RetryOn::default(),
                        per_try_timeout: Duration::ZERO,
                        per_try_idle_timeout: Duration::ZERO,
                        hedges: false,
                        ..rule.retry.clone()
                    },
                    mirrors: Vec::new(),
                };
                let name = format!("copies of {}", self.universe.services[index].name);
                let rule_of_class = vec![None; self.universe.classes.len()];
                let rules = vec![copy];
                self.universe.routes.push(RouteTable { service, name, rules, rule_of_class });
            }
        }
    }

    /// Where a rule's copies go, and the share of them.
    fn mirror(&mut self, route: &Node) -> Option<(ClusterId, ServiceId, f64)> {
        let mirror = route.get("mirror")?;
        let to = mirror.get("to")?;
        if direct(route).is_some() {
            let hint = "what the proxy answers itself is not copied";
            self.report(mirror.at, "`mirror` where there is no upstream", hint);
        }
        let name = to.as_text()?;
        let (service, _) = self.service_or_version(to.at, name)?;
        let Some(cluster) = self.cluster(name) else {
            self.report(to.at, format!("`{name}` is more than one service"), "name one of them");
            return None;
        };
        Some((cluster, service, mirror.share("share").unwrap_or(1.0)))
    }

    /// A table with the rule of each class.
    pub(super) fn route_table(
        &self,
        service: ServiceId,
        name: String,
        rules: Vec<RouteRule>,
    ) -> RouteTable {
        let rule_of = |class: &RequestClass| {
            let first = rules.iter().position(|rule| {
                rule.matches.is_empty() || rule.matches.iter().any(|one| fits(one, class))
            });
            first.and_then(|index| u16::try_from(index).ok())
        };
        let rule_of_class = self.universe.classes.iter().map(rule_of).collect();
        RouteTable { service, name, rules, rule_of_class }
    }

    /// Weighted versions; a version that the service does not have leads nowhere, as in a mesh.
    pub(super) fn split(&mut self, service: ServiceId, node: &Node) -> Vec<(Destination, u32)> {
        let name = self.universe.services[service.index()].name.clone();
        let mut split = Vec::new();
        for entry in node.entries() {
            let Some(weight) = node.count(&entry.key).filter(|weight| 0 < *weight) else {
                continue;
            };
            let cluster = format!("{name}/{}", entry.key);
            let destination = match self.cluster(&cluster) {
                Some(cluster) => Destination::Cluster(cluster),
                None => Destination::Missing(cluster),
            };
            split.push((destination, weight));
        }
        if split.is_empty() {
            let what = "no weight is above 0";
            self.report(node.at, what, "weights are relative: { v1 = 90, v2 = 10 }");
        }
        split
    }

    /// The cluster of all of a service.
    fn whole(&self, service: ServiceId) -> Destination {
        let name = &self.universe.services[service.index()].name;
        self.cluster(name).map_or_else(|| Destination::Missing(name.clone()), Destination::Cluster)
    }

    fn cluster(&self, name: &str) -> Option<ClusterId> {
        let clusters = &self.universe.clusters;
        let found = clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(name));
        found.ok().map(|index| ClusterId(id(index)))
    }

    fn matches(&mut self, route: &Node) -> Vec<RouteMatch> {
        let Some(node) = route.get("match") else { return Vec::new() };
        let tables = if node.is_table() { std::slice::from_ref(node) } else { node.items() };
        tables.iter().map(|table| self.one_match(table)).collect()
    }

    fn one_match(&mut self, table: &Node) -> RouteMatch {
        let text = |key| table.get(key).and_then(|node| Some((node.at, node.as_text()?)));
        let slash = |lower: &mut Self, (at, text): (At, &str)| {
            if !text.starts_with('/') {
                lower.report(at, "a path begins with `/`", "such as \"/cart\"");
            }
            text.to_owned()
        };
        let path = match (text("path"), text("prefix")) {
            (Some(_), Some((at, _))) => {
                self.report(at, "`path` and `prefix` exclude each other", "keep one of them");
                None
            }
            (Some(path), None) => Some(PathMatch::Exact(slash(self, path))),
            (None, Some(prefix)) => Some(PathMatch::Prefix(slash(self, prefix))),
            (None, None) => None,
        };
        RouteMatch {
            path,
            method: table.text("method").map(str::to_uppercase),
            headers: headers(table),
        }
    }
}

fn fits(rule: &RouteMatch, class: &RequestClass) -> bool {
    let path = match &rule.path {
        Some(PathMatch::Exact(path)) => class.path == *path,
        Some(PathMatch::Prefix(prefix)) => class.path.starts_with(prefix.as_str()),
        None => true,
    };
    let method = rule.method.as_ref().is_none_or(|method| class.method == *method);
    path && method && rule.headers.iter().all(|header| class.headers.contains(header))
}
