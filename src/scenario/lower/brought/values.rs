//! What of a state can change in a run, each with what is told of it.
//!
//! Ids of clusters and routes are those of the run's plan, or no part of what is compared: a cluster is
//! found by its name, and the tables that copies follow stand beside the table that makes them.
//!
//! Source: ours.
//! Left out: what `rest` has.

use super::super::super::states::State;
use super::super::id;
use super::filters::may_change;
use crate::plan::Plan;
use crate::plan::balancing::EndpointSettings;
use crate::plan::filter::Filter;
use crate::plan::linkerd::policy::LocalRateLimit;
use crate::plan::linkerd::rules::Server;
use crate::plan::policy::ClusterPolicy;
use crate::plan::route::{Destination, RouteTable};
use crate::plan::tls::{ClientTls, ServerTls};
use crate::plan::universe::{Cluster, ClusterId, Role, RouteId, ServiceId, WorkloadId};
use std::collections::BTreeMap;

/// Something that is told, in the order in which an event tells it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Thing {
    Replicas(WorkloadId),
    Template(WorkloadId),
    Accepts(WorkloadId),
    Cluster(ClusterId),
    Endpoints(ClusterId),
    Settings(WorkloadId),
    Filters(WorkloadId),
    Routes(ServiceId),
    Server(ServiceId),
    Limit(ServiceId),
}

/// What is told of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Told {
    Count(u32),
    Text(String),
    Workloads(Vec<WorkloadId>),
    /// None if it is not there.
    Cluster(Option<Box<Definition>>),
    Routes(Box<Routes>),
    Settings(EndpointSettings),
    Accepts(ServerTls),
    /// For requests that are sent, and received.
    Filters(Vec<Filter>, Vec<Filter>),
    Server(Option<Server>),
    Limit(Option<LocalRateLimit>),
}

/// All that is told in a state.
pub(super) type Values = BTreeMap<Thing, Told>;

/// A cluster but for its name and its endpoints.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Definition {
    pub(super) policy: ClusterPolicy,
    pub(super) tls: Option<ClientTls>,
}

/// A route table; the routes of its mirrors are places in `copies`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Routes {
    pub(super) table: RouteTable,
    pub(super) copies: Vec<RouteTable>,
    /// Whether it is of a `ServiceProfile`.
    pub(super) is_of_profile: bool,
}

impl Definition {
    pub(super) fn of(plan: &Plan, cluster: ClusterId) -> Self {
        let policy = plan.universe.clusters[cluster.index()].policy.clone();
        Self { policy, tls: plan.tls.clients.get(&cluster).cloned() }
    }
}

impl Thing {
    /// What it is, in words.
    pub(super) fn words(self, plan: &Plan) -> String {
        let universe = &plan.universe;
        let service = |one: ServiceId| &universe.services[one.index()].name;
        let workload = |one: WorkloadId| &universe.workloads[one.index()].name;
        let cluster = |one: ClusterId| &universe.clusters[one.index()].name;
        match self {
            Self::Replicas(one) => format!("the replicas of {}", workload(one)),
            Self::Template(one) => format!("the template of {}", workload(one)),
            Self::Accepts(one) => format!("what {} accepts", workload(one)),
            Self::Cluster(one) => format!("the cluster {}", cluster(one)),
            Self::Endpoints(one) => format!("the endpoints of {}", cluster(one)),
            Self::Settings(one) => format!("the weight of {}", workload(one)),
            Self::Filters(one) => format!("the filters of {}", workload(one)),
            Self::Routes(one) => format!("the routes of {}", service(one)),
            Self::Server(one) => format!("the Server of {}", service(one)),
            Self::Limit(one) => format!("the rate limit of {}", service(one)),
        }
    }
}

/// Clusters of the run's plan by name.
pub(super) struct Ids(BTreeMap<String, ClusterId>);

impl Ids {
    /// Those of the first state.
    pub(super) fn of(plan: &Plan) -> Self {
        let clusters = plan.universe.clusters.iter().enumerate();
        Self(clusters.map(|(index, one)| (one.name.clone(), ClusterId(id(index)))).collect())
    }

    /// Adds to the plan the clusters that another state has and it has not.
    pub(super) fn add_missing(&mut self, plan: &mut Plan, other: &Plan, state: &State) {
        for (index, cluster) in other.universe.clusters.iter().enumerate() {
            if self.0.contains_key(&cluster.name) || is_absent(cluster, other, state) {
                continue;
            }
            let new = ClusterId(id(plan.universe.clusters.len()));
            let Cluster { name, service, workloads, policy } = cluster.clone();
            self.0.insert(name.clone(), new);
            plan.universe.clusters.push(Cluster { name, service, workloads, policy });
            plan.absent.insert(new);
            if let Some(tls) = other.tls.clients.get(&ClusterId(id(index))) {
                plan.tls.clients.insert(new, tls.clone());
            }
        }
    }

    /// The run's id of a cluster of another state's plan.
    fn known(&self, plan: &Plan, cluster: ClusterId) -> Option<ClusterId> {
        self.0.get(&plan.universe.clusters[cluster.index()].name).copied()
    }
}

/// Whether a cluster is in a plan for the sake of other states only.
fn is_absent(cluster: &Cluster, plan: &Plan, state: &State) -> bool {
    let service = &plan.universe.services[cluster.service.index()].name;
    state.missing.services.contains(service) || state.missing.subsets.contains(&cluster.name)
}

/// What a state tells. Of what is not there nothing is told, but that it is not there; in the first state `of_all`.
pub(super) fn of(plan: &Plan, state: &State, ids: &Ids, of_all: bool) -> Values {
    let mut values = Values::new();
    workloads(plan, state, of_all, &mut values);
    if plan.linkerd.is_none() {
        clusters(plan, state, ids, &mut values);
    }
    services(plan, state, ids, of_all, &mut values);
    values
}

fn workloads(plan: &Plan, state: &State, of_all: bool, values: &mut Values) {
    for (index, one) in plan.universe.workloads.iter().enumerate() {
        let workload = WorkloadId(id(index));
        let filters = || {
            let kept =
                |list: &[Filter]| list.iter().filter(|one| may_change(one)).cloned().collect();
            Told::Filters(kept(&one.filters), kept(&one.inbound))
        };
        if one.role != Role::App {
            values.insert(Thing::Filters(workload), filters());
            continue;
        }
        let key = (one.app.clone(), one.version.clone());
        let is_missing = state.missing.workloads.contains(&key);
        let replicas = if is_missing { 0 } else { one.replicas };
        values.insert(Thing::Replicas(workload), Told::Count(replicas));
        if is_missing && !of_all {
            continue;
        }
        if let Some(template) = state.templates.get(&key) {
            values.insert(Thing::Template(workload), Told::Text(template.clone()));
        }
        let accepts = plan.tls.servers.get(&workload).cloned().unwrap_or(ServerTls::Permissive);
        values.insert(Thing::Accepts(workload), Told::Accepts(accepts));
        let settings = plan.endpoints.get(&workload).copied().unwrap_or_default();
        values.insert(Thing::Settings(workload), Told::Settings(settings));
        values.insert(Thing::Filters(workload), filters());
    }
}

fn clusters(plan: &Plan, state: &State, ids: &Ids, values: &mut Values) {
    let mut seen = Vec::new();
    for (index, cluster) in plan.universe.clusters.iter().enumerate() {
        // What an event makes of it is that event's.
        if cluster.name.contains(" (") {
            continue;
        }
        let Some(known) = ids.known(plan, ClusterId(id(index))) else { continue };
        seen.push(known);
        let is_there = !is_absent(cluster, plan, state);
        let definition = is_there.then(|| Box::new(Definition::of(plan, ClusterId(id(index)))));
        values.insert(Thing::Cluster(known), Told::Cluster(definition));
        if is_there {
            values.insert(Thing::Endpoints(known), Told::Workloads(cluster.workloads.clone()));
        }
    }
    // What other states have, and this one has not.
    for known in ids.0.iter().filter(|(name, _)| !name.contains(" (")).map(|(_, known)| known) {
        if !seen.contains(known) {
            values.insert(Thing::Cluster(*known), Told::Cluster(None));
        }
    }
}

fn services(plan: &Plan, state: &State, ids: &Ids, of_all: bool, values: &mut Values) {
    for (index, one) in plan.universe.services.iter().enumerate() {
        let service = ServiceId(id(index));
        if state.missing.hosts.contains(&one.name) {
            let table = RouteTable {
                rules: Vec::new(),
                rule_of_class: vec![None; plan.universe.classes.len()],
                ..plan.universe.routes[one.route.index()].clone()
            };
            let routes = Routes { table, copies: Vec::new(), is_of_profile: false };
            values.insert(Thing::Routes(service), Told::Routes(Box::new(routes)));
            continue;
        }
        if state.missing.services.contains(&one.name) && !of_all {
            continue;
        }
        let routes = routes(plan, one.route, ids);
        values.insert(Thing::Routes(service), Told::Routes(Box::new(routes)));
        if plan.linkerd.is_some() {
            let rules = plan.linkerd_rules.services.get(&service);
            let server = rules.and_then(|rules| rules.server.clone());
            let limit = rules.and_then(|rules| rules.rate_limit.clone());
            values.insert(Thing::Server(service), Told::Server(server));
            values.insert(Thing::Limit(service), Told::Limit(limit));
        }
    }
}

fn routes(plan: &Plan, route: RouteId, ids: &Ids) -> Routes {
    let mut table = translated(plan, route, ids);
    let mut copies = Vec::new();
    for rule in &mut table.rules {
        for mirror in &mut rule.mirrors {
            copies.push(translated(plan, mirror.route, ids));
            mirror.route = RouteId(id(copies.len() - 1));
        }
    }
    Routes { table, copies, is_of_profile: plan.linkerd_rules.profiles.contains(&route) }
}

/// A table with the run's clusters.
fn translated(plan: &Plan, route: RouteId, ids: &Ids) -> RouteTable {
    let mut table = plan.universe.routes[route.index()].clone();
    for (destination, _) in table.rules.iter_mut().flat_map(|rule| &mut rule.split) {
        if let Destination::Cluster(cluster) = destination {
            *destination = match ids.known(plan, *cluster) {
                Some(known) => Destination::Cluster(known),
                None => Destination::Missing(plan.universe.clusters[cluster.index()].name.clone()),
            };
        }
    }
    table
}
