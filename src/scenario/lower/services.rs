//! Services, workloads and clusters: who selects whom, in name order.
//!
//! Source: selection by labels as in Kubernetes, many to many.
//! Left out: namespaces, ports.

use super::super::document::{At, Node, Value};
use super::super::keys::{SERVICE, WORKLOADS_MAX};
use super::super::merge::BEGIN;
use super::super::values::distribution;
use super::policy::{cluster_policy, overridden, protocol};
use super::{Lower, id};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::Duration;
use crate::plan::behaviour::Behaviour;
use crate::plan::policy::ClusterPolicy;
use crate::plan::universe::{
    Cluster, Discipline, Errors, NodeId, NodeList, Place, Role, Rollout, RouteId, Service,
    ServiceId, Shutdown, Station, Workload, WorkloadId,
};
use std::collections::BTreeMap;

/// The gateway's name; no service may have it.
const INGRESS: &str = "ingress";

/// Pairs of a workload with a place of its own and a node there, in all.
const PLACEMENTS_MAX: usize = 20_000_000;

impl<'d> Lower<'_, '_, 'd> {
    /// Gives ids to services and workloads.
    pub(super) fn declare(&mut self) {
        let root: &'d Node = self.root;
        let mut services: BTreeMap<&'d str, &'d Node> = BTreeMap::new();
        let waypoints = root.list("waypoint");
        for table in root.list("service").iter().chain(waypoints) {
            let Some(name) = table.get("name") else { continue };
            let Some(text) = name.as_text() else { continue };
            self.plain_name(name.at, text);
            if text == INGRESS {
                self.report(name.at, "`ingress` is the gateway", "give the service another name");
            }
            let first = *services.entry(text).or_insert(table);
            let is_waypoint = |table: &Node| waypoints.iter().any(|one| one.at == table.at);
            if is_waypoint(table) && !is_waypoint(first) {
                let what = format!("`{text}` is a service and a waypoint");
                self.report(name.at, what, "give the waypoint another name");
            }
        }
        let mut workloads: BTreeMap<String, (&'d str, &'d Node)> = BTreeMap::new();
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (service, table) in &services {
            let of_waypoint = waypoints.iter().filter(|one| one.at == table.at);
            let own = table.list("workload").iter().filter(|one| one.is_table());
            for workload in own.chain(of_waypoint) {
                let version = workload.text("version");
                if let Some(version) = version {
                    self.plain_name(workload.get("version").map_or(BEGIN, |v| v.at), version);
                }
                let name = version.map_or((*service).to_owned(), |v| format!("{service}-{v}"));
                match seen.insert(name.clone(), service) {
                    Some(other) if other != *service => {
                        let what = format!(
                            "the services `{other}` and `{service}` both make the workload `{name}`"
                        );
                        self.report(workload.at, what, "rename a service or a version");
                    }
                    _ => drop(workloads.insert(name, (service, workload))),
                }
            }
        }
        if WORKLOADS_MAX < services.len() || WORKLOADS_MAX < workloads.len() {
            let (services, workloads) = (services.len(), workloads.len());
            let what = format!("{services} services with {workloads} workloads are too many");
            return self.report(BEGIN, what, format!("at most {WORKLOADS_MAX} of each"));
        }
        let gateway = root.list("traffic").iter().any(|one| one.text("from") == Some(INGRESS));
        self.services =
            services.keys().enumerate().map(|(i, name)| (*name, ServiceId(id(i)))).collect();
        self.service_nodes = services.into_values().collect();
        let services = &self.services;
        let mut drafts: BTreeMap<String, Option<(ServiceId, &'d Node)>> = workloads
            .into_iter()
            .map(|(name, (service, node))| (name, Some((services[service], node))))
            .collect();
        if gateway {
            drafts.insert(INGRESS.to_owned(), None);
        }
        self.workloads =
            drafts.keys().enumerate().map(|(i, name)| (name.clone(), WorkloadId(id(i)))).collect();
        self.drafts = drafts.into_values().collect();
    }

    /// Names that paths and targets use hold no separator.
    pub(super) fn plain_name(&mut self, at: At, name: &str) {
        let odd = |c: char| {
            c.is_whitespace() || matches!(c, '/' | ':' | ',' | '(' | ')' | '=' | '>' | '<')
        };
        if let Some(odd) = name.chars().find(|c| odd(*c)) {
            let what = format!("the name `{name}` holds `{odd}`");
            self.report(at, what, "letters, digits, `-`, `_` and `.` are fine");
        }
    }

    /// Makes the workloads, all but their programs.
    pub(super) fn fill_workloads(&mut self) {
        let names: Vec<String> = self.workloads.keys().cloned().collect();
        let everywhere = (0..id(self.universe.nodes.len())).map(NodeId).collect();
        let everywhere = NodeList(everywhere);
        let mut placements = 0;
        for (name, draft) in names.into_iter().zip(self.drafts.clone()) {
            let fits = placements < PLACEMENTS_MAX;
            let workload = match draft {
                Some((service, node)) => {
                    let own = if fits { self.placement(node) } else { Vec::new() };
                    placements += own.len();
                    let nodes =
                        if own.is_empty() { everywhere.clone() } else { NodeList(own.into()) };
                    let number = WorkloadId(id(self.universe.workloads.len()));
                    if let Some(per_request) = self.time_per_request(node) {
                        self.crowding.insert(number, per_request);
                    }
                    self.pod_rules(node, number);
                    if self.is_of_its_calls(node, "cancels_calls") {
                        self.cancelling.insert(number);
                    }
                    if self.is_of_its_calls(node, "deadlines") {
                        self.deadlines.insert(number);
                    }
                    self.worker_threads(service, node, number);
                    self.workload(name, service, node, nodes)
                }
                None => self.gateway(everywhere.clone()),
            };
            self.universe.workloads.push(workload);
            if fits && PLACEMENTS_MAX <= placements {
                let what = "too many workloads may run on too many nodes";
                self.report(BEGIN, what, "place them with `zones` or `nodes`");
            }
        }
    }

    fn workload(
        &mut self,
        name: String,
        service: ServiceId,
        node: &Node,
        nodes: NodeList,
    ) -> Workload {
        let table = self.service_nodes[service.index()];
        let app = table.text("name").unwrap_or_default().to_owned();
        let version = node.text("version").unwrap_or_default().to_owned();
        let mut labels = BTreeMap::from([("app".to_owned(), app.clone())]);
        if !version.is_empty() {
            labels.insert("version".to_owned(), version.clone());
        }
        labels.extend(node.labels("labels"));
        let start_time = node.get("start_time").and_then(|n| distribution(self.context, n).ok());
        Workload {
            name,
            app,
            version,
            labels,
            role: if node.at == table.at { Role::Waypoint } else { Role::App },
            meshed: node.flag("inject").or(table.flag("meshed")).unwrap_or(true),
            replicas: node.count("replicas").unwrap_or(1),
            nodes,
            station: Station {
                // A waypoint has none: it waits for none.
                workers: node.count("workers").unwrap_or(if node.at == table.at {
                    u32::MAX
                } else {
                    1
                }),
                queue: node.count("queue"),
                discipline: self.discipline(node),
            },
            program: Vec::new(),
            errors: self.errors(node),
            behaviour: self.behaviour(node),
            filters: Vec::new(),
            inbound: Vec::new(),
            rollout: self.rollout(node),
            start_time: start_time
                .unwrap_or(Distribution::Constant(self.parameters.pod.start_time)),
            shutdown: self.shutdown(node),
        }
    }

    fn gateway(&self, nodes: NodeList) -> Workload {
        Workload {
            name: INGRESS.to_owned(),
            app: INGRESS.to_owned(),
            version: String::new(),
            labels: BTreeMap::from([("app".to_owned(), INGRESS.to_owned())]),
            role: Role::Gateway,
            meshed: true,
            replicas: self.parameters.ingress.replicas,
            nodes,
            station: Station { workers: 1, queue: None, discipline: Discipline::Fifo },
            program: Vec::new(),
            errors: Errors { share: 0.0, status: 500.into() },
            behaviour: Behaviour::default(),
            filters: Vec::new(),
            inbound: Vec::new(),
            rollout: Rollout { max_surge: 0.25, max_unavailable: 0.25 },
            start_time: Distribution::Constant(self.parameters.pod.start_time),
            shutdown: Shutdown {
                pre_stop: Duration::ZERO,
                graceful: true,
                grace_period: self.parameters.pod.grace_period,
            },
        }
    }

    /// The nodes of the places that a workload names, in name order; none if it names none.
    fn placement(&mut self, node: &Node) -> Vec<NodeId> {
        let mut chosen: Vec<NodeId> = Vec::new();
        for name in node.list("zones") {
            let Some(text) = name.as_text() else { continue };
            if let Some(zone) = self.zone(text) {
                chosen.extend(self.nodes_of(Place::Zone(zone)));
            } else {
                let zones = self.universe.zones.clone();
                self.missing(name.at, "zone", text, zones.iter().map(String::as_str));
            }
        }
        for name in node.list("nodes") {
            let Some(text) = name.as_text() else { continue };
            if let Some(node) = self.node(text) {
                chosen.push(node);
            } else {
                let nodes = self.universe.nodes.clone();
                self.missing(name.at, "node", text, nodes.iter().map(|n| n.name.as_str()));
            }
        }
        chosen.sort();
        chosen.dedup();
        chosen
    }

    fn rollout(&mut self, node: &Node) -> Rollout {
        let share = |key| node.get("rollout").and_then(|table| table.share(key)).unwrap_or(0.25);
        let rollout =
            Rollout { max_surge: share("max_surge"), max_unavailable: share("max_unavailable") };
        for key in ["max_surge", "max_unavailable"] {
            // In Kubernetes a bare 1 is one pod; here it would be all of them.
            let given = node.get("rollout").and_then(|table| table.get(key));
            if let Some(one) = given.filter(|given| matches!(given.value, Value::Integer(1))) {
                let hint = "write \"100%\" for all pods; a number of pods is not simulated";
                self.report(one.at, format!("`{key} = 1` may mean one pod or all"), hint);
            }
        }
        if rollout.max_surge <= 0.0 && rollout.max_unavailable <= 0.0 {
            let at = node.get("rollout").map_or(node.at, |table| table.at);
            let hint = "Kubernetes refuses it too: no pod could ever be replaced";
            self.report(at, "max_surge and max_unavailable are both 0", hint);
        }
        rollout
    }

    fn shutdown(&self, node: &Node) -> Shutdown {
        let table = node.get("shutdown");
        Shutdown {
            pre_stop: table.and_then(|t| t.duration("pre_stop")).unwrap_or(Duration::ZERO),
            graceful: table.and_then(|t| t.flag("graceful")).unwrap_or(true),
            grace_period: table
                .and_then(|table| table.duration("grace_period"))
                .unwrap_or(self.parameters.pod.grace_period),
        }
    }

    /// Makes the services with the workloads that their selectors select, and the clusters.
    pub(super) fn select(&mut self) {
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut by_label: BTreeMap<(&str, &str), Vec<WorkloadId>> = BTreeMap::new();
        let workloads = std::mem::take(&mut self.universe.workloads);
        for (index, workload) in workloads.iter().enumerate() {
            for (label, value) in &workload.labels {
                by_label.entry((label, value)).or_default().push(WorkloadId(id(index)));
            }
        }
        for (index, table) in self.service_nodes.clone().into_iter().enumerate() {
            let name = table.text("name").unwrap_or_default();
            let mut selector: BTreeMap<String, String> = table.labels("selector").collect();
            if selector.is_empty() {
                selector.insert("app".to_owned(), name.to_owned());
            }
            let (label, value) = selector.first_key_value().expect("never empty");
            let candidates = by_label.get(&(label.as_str(), value.as_str()));
            // Gateways and waypoints are called by no selector; a waypoint's table is for its own pods.
            let role = if self.is_waypoint(name) { Role::Waypoint } else { Role::App };
            let selected = |id: &&WorkloadId| {
                let workload = &workloads[id.index()];
                workload.role == role
                    && selector.iter().all(|(l, v)| workload.labels.get(l) == Some(v))
            };
            let selected: Vec<WorkloadId> =
                candidates.into_iter().flatten().filter(selected).copied().collect();
            if selected.is_empty() {
                self.nothing_selected(table, name);
            }
            let mut policy =
                cluster_policy(&overridden(&self.base_of(table), table, SERVICE), table);
            self.balance(table, &mut policy);
            policy.health_check = self.health_check(table);
            let subsets = self.subsets(table, &selected, &workloads);
            let mut cluster = |name: String, workloads, policy| {
                let service = ServiceId(id(index));
                clusters.push(Cluster { name, service, workloads, policy });
            };
            let mut versions: BTreeMap<&str, (Vec<WorkloadId>, Option<ClusterPolicy>)> =
                BTreeMap::new();
            for id in &selected {
                versions.entry(&workloads[id.index()].version).or_default().0.push(*id);
            }
            versions.extend(subsets.into_iter().map(|one| (one.name, (one.workloads, one.policy))));
            for (version, (workloads, own)) in versions.into_iter().filter(|(v, _)| !v.is_empty()) {
                let policy = own.unwrap_or_else(|| policy.clone());
                cluster(format!("{name}/{version}"), workloads, policy);
            }
            cluster(name.to_owned(), selected.clone(), policy);
            self.universe.services.push(Service {
                name: name.to_owned(),
                selector,
                workloads: selected,
                protocol: protocol(table),
                route: RouteId(id(index)),
            });
        }
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        self.declared_clusters = clusters.len();
        self.universe.clusters = clusters;
        self.universe.workloads = workloads;
    }

    fn nothing_selected(&mut self, table: &Node, name: &str) {
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        if table.get("selector").is_some() {
            let what = format!("the selector of `{name}` selects no workload");
            let hint = "workloads have the labels app and version, and those in `labels`";
            self.report(at("selector"), what, hint);
        } else if table.get("workload").is_some_and(|list| list.items().is_empty()) {
            // It is said that there are none: a Service without endpoints, or a host with routes to others.
        } else if table.list("workload").is_empty() {
            let hint = "add a [[service.workload]], a selector for the workloads of others, or `workload = []` for none";
            self.report(at("name"), format!("the service `{name}` has no workload"), hint);
        } else if self.context.faults.is_empty() {
            let what = format!("the service `{name}` selects none of its workloads");
            self.report(at("name"), what, format!("it selects the label app = {name}"));
        }
    }
}
