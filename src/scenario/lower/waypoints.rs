//! Waypoints: how services are called through one, and what of a service acts there.
//!
//! A waypoint is lowered as a service with one workload, whose pods are proxies alone. A service behind it is called by
//! a second one of its name, whose routes lead to the waypoint; the waypoint sends on to the first.
//!
//! Source: Istio's `listener_waypoint.go`: without a route of the service there is `BuildDefaultHTTPInboundRoute`, which
//! tries again what no endpoint has seen; `xds/endpoints`: `findServiceWaypoint`, waypoints don't chain to each other, and
//! gateways go by the label `istio.io/ingress-use-waypoint`.
//! Left out: waypoints of namespaces and of single pods; the nearest waypoint first (`traffic-distribution`); clients
//! outside of the mesh go past it, as with Istio.

use super::super::document::Node;
use super::{Lower, id};
use crate::kernel::time::Duration;
use crate::plan::linkerd::policy::Annotations;
use crate::plan::parameter::Parameters;
use crate::plan::policy::{Protocol, RetryOn, RetryPolicy};
use crate::plan::route::{BUFFER_LIMIT, Destination, RouteRule, RouteTable};
use crate::plan::universe::{
    ClusterId, Role, RouteId, Service, ServiceId, Step, Universe, WorkloadId,
};
use std::collections::BTreeMap;

/// What events do to waypoints.
const ACTIONS: &[&str] = &["clock", "fail", "freeze", "restart", "rollout", "scale"];
/// Keys of a service that make a `VirtualService`.
const OF_ROUTES: &[&str] = &["idle_timeout", "max_stream_duration", "retries", "route", "timeout"];

impl<'d> Lower<'_, '_, 'd> {
    /// The parameters that hold for a service before it says anything: behind a waypoint, those of an Envoy.
    pub(super) fn base_of(&self, table: &Node) -> Parameters {
        let mut own = self.parameters.clone();
        if table.get("waypoint").is_some() && own.ztunnel.present {
            own.cluster.balancer = own.waypoint.balancer;
            own.retry.attempts = own.waypoint.retry_attempts;
            if OF_ROUTES.iter().all(|key| table.get(key).is_none()) {
                own.retry.on = RetryOn::RESET_BEFORE_REQUEST;
            }
        }
        own
    }

    /// Worker threads of the proxies of a workload, where they are not the mesh's.
    pub(super) fn worker_threads(&mut self, service: ServiceId, node: &Node, number: WorkloadId) {
        let is_waypoint = self.service_nodes[service.index()].at == node.at;
        let usual = is_waypoint.then_some(self.parameters.waypoint.workers);
        if let Some(workers) = node.count("proxy_workers").or(usual) {
            self.proxy_workers.insert(number, workers);
        }
    }

    /// The waypoint of a name.
    pub(super) fn is_waypoint(&self, name: &str) -> bool {
        self.root.list("waypoint").iter().any(|one| one.text("name") == Some(name))
    }

    /// What is said of waypoints that cannot be, and of those that do nothing.
    pub(super) fn check_waypoints(&mut self) {
        let root: &'d Node = self.root;
        let waypoints = root.list("waypoint");
        if !self.parameters.ztunnel.present {
            for table in waypoints {
                let hint = "profile = \"istio-ambient\"";
                self.report(table.at, "a waypoint is a part of an ambient mesh", hint);
            }
        }
        let names: Vec<&str> = waypoints.iter().filter_map(|one| one.text("name")).collect();
        let mut used = Vec::new();
        for table in self.service_nodes.clone() {
            let Some(given) = table.get("waypoint") else {
                if let Some(entry) = table.entry("ingress_use_waypoint") {
                    let hint = "give it a `waypoint`";
                    self.report(entry.at, "`ingress_use_waypoint` of no waypoint", hint);
                }
                continue;
            };
            let text = given.as_text().unwrap_or_default();
            if !self.parameters.ztunnel.present {
                let hint = "profile = \"istio-ambient\"";
                self.report(given.at, "`waypoint` does nothing without an ambient mesh", hint);
            } else if !names.contains(&text) {
                self.missing(given.at, "waypoint", text, names.iter().copied());
            }
            used.push(text);
        }
        for name in root.list("waypoint").iter().filter_map(|one| one.get("name")) {
            let text = name.as_text().unwrap_or_default();
            if !used.contains(&text) && self.context.faults.is_empty() {
                let hint = format!("no service has waypoint = \"{text}\"");
                self.warn(name.at, format!("nothing is called through `{text}`"), hint);
            }
        }
        self.check_callers();
        self.check_events();
    }

    /// Nobody calls a waypoint by its name, and it calls nobody by itself.
    fn check_callers(&mut self) {
        let root: &'d Node = self.root;
        let calls = self.drafts.iter().flatten().flat_map(|(_, node)| node.list("calls"));
        let makers: Vec<&'d Node> = root.list("traffic").iter().chain(calls).collect();
        let filters = root.list("filter").iter();
        let asked =
            filters.flat_map(|one| ["ext_authz", "global_rate_limit"].map(|key| one.get(key)));
        let by_routes = self.named_by_routes(&makers);
        let named = makers
            .into_iter()
            .flat_map(|maker| [maker.get("from"), maker.get("to")])
            .chain(asked.map(|one| one.and_then(|one| one.get("service"))));
        let named: Vec<&Node> = named.flatten().chain(by_routes).chain(listed(root)).collect();
        for node in named {
            let text = node.as_text().unwrap_or_default();
            if self.is_waypoint(text.split('/').next().unwrap_or(text)) {
                let what = format!("`{text}` is a waypoint");
                self.report(node.at, what, "name a service that is called through it");
            }
        }
    }

    /// Where routes name what is called: copies go there, and headers of requests name a cluster.
    fn named_by_routes(&self, makers: &[&'d Node]) -> Vec<&'d Node> {
        let tables = self.service_nodes.iter();
        let routes: Vec<&Node> = tables.flat_map(|table| table.list("route")).collect();
        let copies = routes.iter().filter_map(|route| route.get("mirror"));
        let copies = copies.flat_map(Node::one_or_many).filter_map(|mirror| mirror.get("to"));
        let named = routes.iter().filter_map(|route| route.text("cluster_header"));
        let named: Vec<String> = named.map(str::to_lowercase).collect();
        let headers = makers.iter().filter_map(|one| one.get("headers"));
        let headers = headers.flat_map(Node::entries);
        let headers = headers.filter(|entry| named.contains(&entry.key.to_lowercase()));
        copies.chain(headers.map(|entry| &entry.node)).collect()
    }

    fn check_events(&mut self) {
        let root: &'d Node = self.root;
        for event in root.list("event") {
            let (Some(does), Some(target)) = (event.get("do"), event.get("target")) else {
                continue;
            };
            let (word, text) =
                (does.as_text().unwrap_or_default(), target.as_text().unwrap_or_default());
            let name = match text.split_once(':') {
                Some(("service", name)) => name,
                Some(("pod", name)) => name.rsplit_once('-').map_or(name, |(name, _)| name),
                _ => continue,
            };
            if !self.is_waypoint(name) {
                continue;
            }
            if !ACTIONS.contains(&word) {
                let what = format!("`{word}` does not act on a waypoint");
                self.report(does.at, what, format!("these do: {}", ACTIONS.join(", ")));
            } else if let Some(part) = event.get("part") {
                self.report(part.at, "a waypoint has no app", "leave `part` out");
            }
        }
    }

    /// The service that an event acts on, if it is behind a waypoint.
    pub(super) fn acts_behind(&self, event: &Node) -> bool {
        let name = event.text("target").and_then(|text| text.strip_prefix("service:"));
        let name = name.map(|name| name.split('/').next().unwrap_or(name));
        let members = name.and_then(|name| self.counted.members(name)?.next());
        let service = members.as_deref().or(name).and_then(|name| self.services.get(name));
        service.is_some_and(|one| is_behind(self.service_nodes[one.index()]))
    }

    // === the plan ===

    /// Leads the calls of services behind waypoints through these. It is the last step, so that all that was said of a
    /// service is said of the one behind.
    pub(super) fn waypoints(&mut self) {
        if self.root.list("waypoint").is_empty() || !self.context.faults.is_empty() {
            return;
        }
        let mut called: BTreeMap<ServiceId, ServiceId> = BTreeMap::new();
        let mut ways: BTreeMap<WorkloadId, BTreeMap<ServiceId, ServiceId>> = BTreeMap::new();
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let Some(waypoint) = table.text("waypoint") else { continue };
            let (Some(cluster), Some(workload)) =
                (cluster_of(&self.universe, waypoint), self.workloads.get(waypoint).copied())
            else {
                continue;
            };
            let behind = ServiceId(id(index));
            let service = self.call_through(behind, cluster, workload);
            called.insert(behind, service);
            ways.entry(workload).or_default().insert(service, behind);
        }
        for (workload, id) in self.universe.workloads.iter_mut().zip(0..) {
            if workload.role == Role::Waypoint {
                let ways = ways.remove(&WorkloadId(id)).unwrap_or_default();
                workload.program = vec![Step::Onward(ways)];
                continue;
            }
            if !workload.meshed {
                continue;
            }
            for step in &mut workload.program {
                let Step::Calls(sites) = step else { continue };
                for site in sites {
                    site.to = called.get(&site.to).copied().unwrap_or(site.to);
                }
            }
        }
        for traffic in &mut self.traffic {
            let from = &self.universe.workloads[traffic.from.index()];
            let table = self.service_nodes[traffic.to.index()];
            let is_captured = match from.role {
                Role::Gateway => table.flag("ingress_use_waypoint").unwrap_or(false),
                Role::App | Role::Waypoint => from.meshed,
            };
            if let Some(service) = called.get(&traffic.to).filter(|_| is_captured) {
                traffic.to = *service;
            }
        }
    }

    /// A service as it is called: by its name, and all of it through the waypoint.
    fn call_through(
        &mut self,
        behind: ServiceId,
        waypoint: ClusterId,
        workload: WorkloadId,
    ) -> ServiceId {
        let service = ServiceId(id(self.universe.services.len()));
        let route = RouteId(id(self.universe.routes.len()));
        let name = self.universe.services[behind.index()].name.clone();
        self.universe.services.push(Service {
            name: name.clone(),
            selector: BTreeMap::new(),
            workloads: vec![workload],
            protocol: Protocol::Http2,
            route,
        });
        // ztunnel passes bytes on: it has no limits and tries nothing again.
        let retry = self.retry_policy(&self.parameters.clone(), [self.root, self.root]);
        let rule = RouteRule {
            matches: Vec::new(),
            split: vec![(Destination::Cluster(waypoint), 1)],
            direct: None,
            cluster_header: None,
            missing_status: None,
            timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            max_stream_duration: Duration::ZERO,
            buffer_limit: BUFFER_LIMIT,
            linkerd: Annotations::default(),
            retry: RetryPolicy { retries: 0, on: RetryOn::default(), ..retry },
            mirrors: Vec::new(),
            changes: BTreeMap::new(),
        };
        self.universe.routes.push(RouteTable {
            service,
            name: format!("the way to {name}"),
            rules: vec![rule],
            rule_of_class: vec![Some(0); self.universe.classes.len()],
        });
        service
    }
}

/// What events list as endpoints.
fn listed(root: &Node) -> impl Iterator<Item = &Node> {
    let lists = root.list("event").iter().filter_map(|event| event.get("list"));
    lists.flat_map(Node::items)
}

/// Whether a service whose table is given is called through a waypoint.
pub(super) fn is_behind(table: &Node) -> bool {
    table.text("waypoint").is_some()
}

/// The cluster of a waypoint.
fn cluster_of(universe: &Universe, name: &str) -> Option<ClusterId> {
    let found = universe.clusters.iter().position(|one| one.name == name);
    found.map(|index| ClusterId(id(index)))
}
