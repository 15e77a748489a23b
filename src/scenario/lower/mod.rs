//! The lowering: from a checked document to a plan.
//!
//! Names become ids in name order, so that no order of tables shows in a run. What a name leads
//! to is looked up here; a name that leads nowhere is a fault with the nearest name.
//!
//! Source: ours.
//! Left out: nothing.

mod action;
mod ambient;
mod apps;
mod asked;
mod assertions;
mod balancing;
mod brought;
mod changes;
mod classes;
mod clients;
mod clock;
mod control;
mod controllers;
mod discovery;
mod ejections;
mod filters;
mod health;
mod identity;
mod kubernetes;
mod limits;
mod linkerd;
mod linkerd_wire;
mod places;
mod pods;
mod policy;
mod profiles;
mod program;
mod replies;
mod retries;
mod routes;
mod sampling;
mod scopes;
mod security;
mod services;
mod splits;
mod subsets;
mod timeline;
mod traffic;
mod warnings;
mod waypoints;

pub(crate) use brought::lower_states;

use super::context::{Context, Fault, known};
use super::document::{At, Node};
use super::expand::{Counted, expand};
use super::expression::Names;
use super::merge::BEGIN;
use super::schema::parameters;
use super::units::parameter_text;
use crate::kernel::time::Duration;
use crate::plan::Plan;
use crate::plan::client::{CallClients, Client};
use crate::plan::identity::Identity;
use crate::plan::linkerd::Linkerd;
use crate::plan::parameter::Parameters;
use crate::plan::pods::PodRules;
use crate::plan::profile;
use crate::plan::reply::ReplyHeaders;
use crate::plan::sampling::Sampling;
use crate::plan::timeline::TimelineEvent;
use crate::plan::traffic::Traffic;
use crate::plan::universe::{ServiceId, Universe, WorkloadId};
use classes::{headers, headers_of};
use std::collections::{BTreeMap, BTreeSet};

/// What the plan is called and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    pub(crate) name: String,
    pub(crate) variant: Option<String>,
    pub(crate) claim: String,
    pub(crate) seed: Option<u64>,
}

/// The state of a lowering.
pub(crate) struct Lower<'c, 'f, 'd> {
    pub(crate) context: &'c mut Context<'f>,
    root: &'d Node,
    /// The documents of all states, if there is more than one.
    states: &'d [&'d Node],
    duration: Duration,
    profile: String,
    parameters: Parameters,
    linkerd: Option<Box<Linkerd>>,
    universe: Universe,
    identity: Identity,
    /// Services by name, and their tables by id.
    services: BTreeMap<&'d str, ServiceId>,
    service_nodes: Vec<&'d Node>,
    profiles: profiles::Profiles,
    /// Clusters that services make, in the order of their names.
    declared_clusters: usize,
    /// Workloads by name, and by id the service that declares each with its table; the gateway
    /// has none.
    workloads: BTreeMap<String, WorkloadId>,
    drafts: Vec<Option<(ServiceId, &'d Node)>>,
    crowding: BTreeMap<WorkloadId, Duration>,
    proxy_workers: BTreeMap<WorkloadId, u32>,
    cancelling: BTreeSet<WorkloadId>,
    deadlines: BTreeSet<WorkloadId>,
    pods: BTreeMap<WorkloadId, PodRules>,
    traffic: Vec<Traffic>,
    clients: BTreeMap<u32, Client>,
    call_clients: BTreeMap<WorkloadId, CallClients>,
    replies: Vec<ReplyHeaders>,
    timeline: Vec<TimelineEvent>,
    names: Names,
    counted: Counted,
}

/// Lowers a document. Faults go to the context; without any, the plan is whole.
pub(crate) fn lower(context: &mut Context<'_>, root: &Node, heading: Heading) -> Plan {
    lower_beside(context, root, &[], heading)
}

/// The same of a document that is one of several states, so that all have the same classes of requests.
fn lower_beside(
    context: &mut Context<'_>,
    root: &Node,
    states: &[&Node],
    heading: Heading,
) -> Plan {
    let nothing = Node { at: BEGIN, value: super::document::Value::Table(Vec::new()) };
    let (expanded, counted) = expand(context, root);
    let root = expanded.as_ref().unwrap_or(root);
    let scenario = root.get("scenario").unwrap_or(&nothing);
    let duration = scenario.duration("duration").unwrap_or(Duration::ZERO);
    let mut lower = Lower::new(context, root, counted);
    lower.states = states;
    lower.duration = duration;
    let (warmup, interval) = lower.clock(scenario);
    lower.world();
    let scopes = lower.scopes();
    let endpoints = lower.endpoint_settings().collect();
    let (tls, discovery) = (lower.security(), lower.discovery());
    let (assertions, linkerd_rules) = (lower.assertions(), lower.linkerd_rules());
    lower.review();
    let sampling = lower.finish(warmup);
    Plan {
        name: heading.name,
        variant: heading.variant,
        claim: heading.claim,
        seed: heading.seed.or_else(|| sampling::seed(scenario)).unwrap_or(1),
        duration,
        warmup,
        interval,
        start: clock::start(scenario),
        profile: lower.profile,
        parameters: lower.parameters,
        linkerd: lower.linkerd,
        linkerd_rules,
        universe: lower.universe,
        scopes,
        cluster_endpoints: BTreeMap::new(),
        absent: BTreeSet::new(),
        first_filters: BTreeMap::new(),
        endpoints,
        tls,
        identity: lower.identity,
        crowding: lower.crowding,
        proxy_workers: lower.proxy_workers,
        cancelling: lower.cancelling,
        discovery,
        deadlines: lower.deadlines,
        pods: lower.pods,
        traffic: lower.traffic,
        clients: lower.clients,
        call_clients: lower.call_clients,
        replies: lower.replies,
        timeline: lower.timeline,
        assertions,
        sampling,
    }
}

impl<'c, 'f, 'd> Lower<'c, 'f, 'd> {
    /// Nothing is lowered yet.
    fn new(context: &'c mut Context<'f>, root: &'d Node, counted: Counted) -> Self {
        Self {
            context,
            root,
            states: &[],
            duration: Duration::ZERO,
            profile: String::new(),
            parameters: Parameters::default(),
            linkerd: None,
            universe: Universe::default(),
            identity: Identity::default(),
            services: BTreeMap::new(),
            service_nodes: Vec::new(),
            profiles: profiles::Profiles::default(),
            declared_clusters: 0,
            workloads: BTreeMap::new(),
            drafts: Vec::new(),
            crowding: BTreeMap::new(),
            proxy_workers: BTreeMap::new(),
            cancelling: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            pods: BTreeMap::new(),
            traffic: Vec::new(),
            clients: BTreeMap::new(),
            call_clients: BTreeMap::new(),
            replies: Vec::new(),
            timeline: Vec::new(),
            names: Names::default(),
            counted,
        }
    }
}

impl Lower<'_, '_, '_> {
    /// A look at the whole: what is too much, and what nobody means.
    fn review(&mut self) {
        self.ambient();
        self.limits();
        self.warnings();
    }

    /// What comes when all names have been looked up.
    fn finish(&mut self, warmup: Duration) -> Option<Sampling> {
        let sampling = self.sampling(warmup);
        self.waypoints();
        sampling
    }
}

impl Lower<'_, '_, '_> {
    /// The mesh and what happens to it, each part after those that it names.
    fn world(&mut self) {
        self.mesh();
        self.places();
        self.declare();
        self.classes();
        self.fill_workloads();
        self.select();
        self.routes();
        self.programs();
        self.filters();
        self.sources();
        self.names();
        self.identity();
        self.events();
        self.asked();
    }

    fn report(&mut self, at: At, what: impl Into<String>, hint: impl Into<String>) {
        self.context.report(Fault::new(at, what).hint(hint));
    }

    /// Reports a name that leads nowhere.
    fn missing<'n>(
        &mut self,
        at: At,
        what: &str,
        name: &str,
        names: impl IntoIterator<Item = &'n str> + Clone,
    ) {
        let fault = Fault::new(at, format!("there is no {what} `{name}`"));
        self.context.report(if self.context.is_flooded() {
            fault
        } else {
            fault.hint(known(name, names, &format!("{what}s here")))
        });
    }

    /// Profile and parameters.
    fn mesh(&mut self) {
        let mesh = self.root.get("mesh");
        let name = mesh.and_then(|mesh| mesh.get("profile"));
        let text = name.and_then(Node::as_text).unwrap_or("istio-sidecar");
        match profile::parameters(text) {
            Ok((parameters, full, _)) => {
                (self.parameters, self.profile) = (parameters, full);
                self.linkerd = profile::own_parameters(text).map(|(own, _)| Box::new(own));
            }
            Err(what) => {
                let names = profile::names();
                let hint = known(text, names.iter().map(String::as_str), "profiles");
                self.report(name.map_or(BEGIN, |name| name.at), what, hint);
            }
        }
        for row in parameters() {
            let Some((group, key)) = row.name.split_once('.') else { continue };
            let node = mesh.and_then(|mesh| mesh.get(group)?.get(key));
            if let Some(Ok(text)) = node.map(|node| parameter_text(node, row.name)) {
                let _read_by_the_check = self.parameters.set(row.name, &text);
                if let Some(own) = &mut self.linkerd {
                    let _read_by_the_check = own.set(row.name, &text);
                }
            }
        }
        self.furnish(mesh);
        self.istiod_can_be();
        self.tokens_can_be();
    }

    /// The names that expressions may use.
    fn names(&mut self) {
        let mut versions: Vec<String> =
            self.universe.workloads.iter().map(|workload| workload.version.clone()).collect();
        versions.retain(|version| !version.is_empty());
        versions.sort();
        versions.dedup();
        self.names = Names {
            services: self.services.keys().map(|name| (*name).to_owned()).collect(),
            versions,
            traffic: self.traffic.iter().map(|traffic| traffic.id.clone()).collect(),
            is_linkerd: self.linkerd.is_some(),
        };
    }

    /// The service of a name in a key's value.
    fn service(&mut self, node: &Node, key: &str) -> Option<ServiceId> {
        let name = node.get(key)?;
        let text = name.as_text()?;
        if let Some(id) = self.services.get(text) {
            return Some(*id);
        }
        let shown = if self.context.is_flooded() { 0 } else { usize::MAX };
        let names: Vec<&str> = self.services.keys().copied().take(shown).collect();
        self.missing(name.at, "service", text, names);
        None
    }

    /// A service or `service/version` with its workloads.
    fn service_or_version(&mut self, at: At, text: &str) -> Option<(ServiceId, Vec<WorkloadId>)> {
        let (name, version) = match text.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if let Some(members) = self.counted.members(name).map(Iterator::collect::<Vec<_>>) {
            let named: Vec<String> = members
                .into_iter()
                .map(|member| version.map_or(member.clone(), |v| format!("{member}/{v}")))
                .collect();
            let found: Option<Vec<_>> =
                named.iter().map(|member| self.service_or_version(at, member)).collect();
            let found = found?;
            let workloads = found.iter().flat_map(|(_, workloads)| workloads.clone()).collect();
            return Some((found.first()?.0, workloads));
        }
        let id = self.service_named(at, name)?;
        let all = &self.universe.services[id.index()].workloads;
        let Some(version) = version else { return Some((id, all.clone())) };
        let is_version = |id: &&WorkloadId| self.universe.workloads[id.index()].version == version;
        let chosen: Vec<_> = all.iter().filter(is_version).copied().collect();
        if chosen.is_empty() {
            let versions = self.versions(id);
            let hint = known(version, versions.iter().map(String::as_str), "its versions");
            self.report(at, format!("`{name}` has no version `{version}`"), hint);
            return None;
        }
        Some((id, chosen))
    }

    /// The versions of a service, in name order.
    fn versions(&self, service: ServiceId) -> Vec<String> {
        let workloads = &self.universe.services[service.index()].workloads;
        let version = |id: &WorkloadId| self.universe.workloads[id.index()].version.clone();
        let mut versions: Vec<_> = workloads.iter().map(version).collect();
        versions.retain(|version| !version.is_empty());
        versions.sort();
        versions.dedup();
        versions
    }
}

/// An index as the number of an id.
fn id(index: usize) -> u32 {
    u32::try_from(index).expect("limits keep ids within 32 bits")
}
