//! Drafts: what manifests say of a mesh, in the keys of a scenario file.
//!
//! `meshsim import` writes a draft as text, with `# assumed` behind what no manifest says; a scenario with
//! `[[manifests]]` is laid over one. [`value`] are its values, [`names`] what things are called in it.
//! Kubernetes' part comes first and makes the services; each mesh's part then adds its routes and policies.
//! Source: design/contract.md (`meshsim import`, `[[manifests]]`); docs/scenarios.md (the keys).
//! Left out: what is listed in the findings as not simulated.

pub mod assumptions;
mod control_plane;
mod gateway_api;
mod gateway_api_filters;
mod gateway_api_linkerd;
mod gateway_api_linkerd_rule;
mod gateway_api_match;
mod gateway_api_mesh;
mod gateway_api_rule;
#[cfg(test)]
#[path = "tests/gateway_api.rs"]
mod gateway_api_tests;
mod istio;
mod kubernetes;
mod linkerd;
mod linkerd_annotations;
mod linkerd_condition;
mod linkerd_control;
mod linkerd_gate;
mod linkerd_inbound;
mod linkerd_port;
mod linkerd_profile;
mod linkerd_proxies;
mod linkerd_rest;
mod linkerd_split;
#[cfg(test)]
mod linkerd_tests;
mod membership;
mod mesh_config;
pub mod names;
pub mod objects;
mod places;
mod pods;
mod releases;
mod selection;
pub mod toml;
pub mod value;

#[cfg(test)]
mod tests;

use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::object::{Id, Labels};
use crate::manifest::source::At;
use assumptions::Assumptions;
use names::{Homes, Key, Names};
use std::collections::{BTreeMap, BTreeSet};
use value::{Kind, Origin, Table, Value};

/// Where traffic from outside enters.
const INGRESS: &str = "ingress";

/// What manifests say, on its way into a scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft<'l> {
    /// What was read.
    pub loaded: &'l Loaded,
    /// Whose rules count.
    pub mesh: Mesh,
    /// What things are called.
    pub names: Names,
    /// `[mesh]`.
    pub settings: Table,
    /// `[[node]]`.
    pub nodes: Vec<Table>,
    /// `[[service]]`, in the order of their names when it is whole.
    pub services: Vec<Service>,
    /// `[[filter]]`, in the order in which requests pass them.
    pub filters: Vec<Table>,
    /// `[[traffic]]`.
    pub traffic: Vec<Table>,
    /// What of the manifests has no key: for the ignored list, beside what reading found.
    pub findings: Findings,
    /// What is assumed where no manifest says anything.
    pub assumptions: Assumptions,
    /// Services whose workloads outlive them.
    pub without_service: BTreeSet<String>,
    /// Objects that left something in the draft.
    used: BTreeSet<Id>,
    /// Every place that was told as ignored, also where its field was told before.
    ignored_at: Vec<At>,
    /// Labels of pods that the scenario's workloads have, each with what it is called there.
    labels: BTreeMap<String, String>,
}

/// A `[[service]]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// What it is called.
    pub name: String,
    /// The Service that it is; none for a host of a gateway, or a workload that no Service selects.
    pub key: Option<Key>,
    /// Where it is declared.
    pub at: Option<At>,
    /// Its keys, but for the name, and the lists below.
    pub table: Table,
    /// `[[service.workload]]`.
    pub workloads: Vec<Workload>,
    /// `[[service.subsets]]`.
    pub subsets: Vec<Table>,
    /// `[[service.route]]`, the first that matches wins.
    pub routes: Vec<Table>,
}

/// A `[[service.workload]]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// The workload that it is.
    pub key: Key,
    /// Where it is declared.
    pub at: Option<At>,
    /// Its version, if the scenario gives it one.
    pub version: Option<String>,
    /// The labels of its pods, in the manifests.
    pub labels: Labels,
    /// Its keys, but for the version.
    pub table: Table,
}

/// What manifests say of a mesh, by the rules of one.
pub fn draft<'l>(loaded: &'l Loaded, mesh: Mesh, assumptions: &Assumptions) -> Draft<'l> {
    draft_after(loaded, mesh, assumptions, &Homes::new())
}

/// The same of manifests at a later time: workloads whose Service is gone stay where they were.
pub fn draft_after<'l>(
    loaded: &'l Loaded,
    mesh: Mesh,
    assumptions: &Assumptions,
    homes: &Homes,
) -> Draft<'l> {
    let mut draft = Draft::new(loaded, mesh);
    draft.assumptions = assumptions.clone();
    kubernetes::kubernetes(&mut draft);
    draft.stay(homes);
    if mesh == Mesh::Istio {
        istio::istio(&mut draft);
    }
    gateway_api::gateway_api(&mut draft);
    // Linkerd's part takes away routes that do not count; in other meshes both only name what they read.
    gateway_api_linkerd::linkerd_routes(&mut draft);
    linkerd::linkerd(&mut draft);
    draft.services.sort_by(|one, other| one.name.cmp(&other.name));
    draft
}

/// The services alone, without routes and policies: for who wants to know what is there, and what it is called.
pub fn services(loaded: &Loaded, mesh: Mesh) -> Draft<'_> {
    let mut draft = Draft::new(loaded, mesh);
    kubernetes::kubernetes(&mut draft);
    if mesh == Mesh::Istio {
        istio::hosts(&mut draft);
    }
    draft.services.sort_by(|one, other| one.name.cmp(&other.name));
    draft
}

impl<'l> Draft<'l> {
    /// Nothing yet, but names.
    pub fn new(loaded: &'l Loaded, mesh: Mesh) -> Self {
        Self {
            loaded,
            mesh,
            names: Names::of(&loaded.cluster),
            settings: Table::new(),
            nodes: Vec::new(),
            services: Vec::new(),
            filters: Vec::new(),
            traffic: Vec::new(),
            findings: Findings::default(),
            assumptions: Assumptions::default(),
            without_service: BTreeSet::new(),
            used: BTreeSet::new(),
            ignored_at: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Has workloads that no Service selects any more stay in the service in which they were.
    fn stay(&mut self, homes: &Homes) {
        let is_there: BTreeSet<String> = self
            .services
            .iter()
            .filter(|one| one.key.is_some())
            .map(|one| one.name.clone())
            .collect();
        let mut back: BTreeMap<String, Vec<Workload>> = BTreeMap::new();
        for service in self.services.iter_mut().filter(|one| one.key.is_none()) {
            for mut workload in std::mem::take(&mut service.workloads) {
                match homes.get(&workload.key) {
                    Some(home) if home.0 != service.name && !is_there.contains(&home.0) => {
                        workload.version.clone_from(&home.1);
                        self.names.workloads.insert(workload.key.clone(), home.clone());
                        back.entry(home.0.clone()).or_default().push(workload);
                    }
                    _ => service.workloads.push(workload),
                }
            }
        }
        self.services.retain(|one| one.key.is_some() || !one.workloads.is_empty());
        self.without_service = back.keys().cloned().collect();
        for (name, workloads) in back {
            self.service(&name, None).workloads.extend(workloads);
        }
    }

    /// Notes that an object left something in the draft.
    pub fn used(&mut self, id: &Id) {
        self.used.insert(id.clone());
    }

    /// What the scenario's workloads call a label of their pods, for selectors and subsets: all that have it in the
    /// manifests have it then.
    ///
    /// By themselves they are labelled `app` and `version` only, with the scenario's names; where the pods' own
    /// values differ from those, theirs are `pod/app` and `pod/version`.
    pub fn label(&mut self, key: &str) -> String {
        if let Some(called) = self.labels.get(key) {
            return called.clone();
        }
        let by_itself = |service: &Service, workload: &Workload| match key {
            "app" => Some(service.name.clone()),
            "version" => workload.version.clone(),
            _ => None,
        };
        let all =
            || self.services.iter().flat_map(|one| one.workloads.iter().map(move |w| (one, w)));
        let written: BTreeSet<&String> = all().filter_map(|(_, one)| one.labels.get(key)).collect();
        let is_same =
            all().all(|(service, one)| match (by_itself(service, one), one.labels.get(key)) {
                (own, Some(label)) => own.as_ref() == Some(label),
                (own, None) => own.is_none_or(|own| !written.contains(&own)),
            });
        let is_own = matches!(key, "app" | "version");
        let called = if is_own && !is_same { format!("pod/{key}") } else { key.to_owned() };
        self.labels.insert(key.to_owned(), called.clone());
        if is_own && is_same {
            return called;
        }
        for workload in self.services.iter_mut().flat_map(|one| &mut one.workloads) {
            if let Some(label) = workload.labels.get(key) {
                let value = Value::text(label).at_some(workload.at);
                workload.table.below("labels").set(&*called, value);
            }
        }
        called
    }

    /// The service of a name, made if there is none: for hosts that stand for no Service of Kubernetes.
    pub fn service(&mut self, name: &str, at: Option<At>) -> &mut Service {
        let at_index = self.services.iter().position(|one| one.name == name);
        let index = at_index.unwrap_or_else(|| {
            self.services.push(Service::new(name, None, at));
            self.services.len() - 1
        });
        &mut self.services[index]
    }

    /// The service that a Service of Kubernetes is.
    pub fn service_of(&mut self, namespace: &str, name: &str) -> Option<&mut Service> {
        let is_it = |one: &&mut Service| {
            one.key.as_ref().is_some_and(|key| key.0 == namespace && key.1 == name)
        };
        self.services.iter_mut().find(is_it)
    }

    /// The sections of a scenario file, as one table: `mesh`, and the lists `node`, `service`, `filter`.
    pub fn root(&self) -> Table {
        let mut root = Table::new();
        root.set("mesh", self.settings.clone());
        let services: Vec<Table> = self.services.iter().map(Service::whole).collect();
        for (key, list) in
            [("node", &self.nodes), ("service", &services), ("filter", &self.filters)]
        {
            if !list.is_empty() {
                root.set(key, Value::list(list.iter().cloned().map(Value::from)));
            }
        }
        root
    }

    /// Whether the profile is the one without a mesh.
    pub fn is_meshless(&self) -> bool {
        let profile = self.settings.get("profile").map(|value| &value.kind);
        matches!(profile, Some(Kind::Text(profile)) if profile == "none")
    }

    /// Takes out what stands at a gateway where no traffic comes from outside: a scenario has no gateway then.
    pub fn without_gateway(&mut self) {
        let is_ingress = |table: &Table, key: &str| matches!(table.get(key), Some(Value { kind: Kind::Text(text), .. }) if text == INGRESS);
        if self.traffic.iter().any(|one| is_ingress(one, "from")) {
            return;
        }
        let all = std::mem::take(&mut self.filters);
        for filter in all {
            match filter.get("at").map(|at| &at.origin) {
                origin if is_ingress(&filter, "at") => {
                    if let Some(Origin::Written(at)) = origin {
                        let why = "no traffic comes from outside: there is no gateway that has it";
                        self.ignore("filter.at = \"ingress\"", *at, why);
                    }
                }
                _ => self.filters.push(filter),
            }
        }
    }

    /// Notes what a mesh reads and no key of a scenario says: `Kind.path.to.field`.
    pub fn ignore(&mut self, field: impl Into<String>, at: At, why: &str) {
        self.ignored_at.push(at);
        self.findings.ignore(&self.loaded.manifests.sources, field.into(), at, why);
    }
}

impl Service {
    /// A service with nothing.
    pub fn new(name: &str, key: Option<Key>, at: Option<At>) -> Self {
        Self {
            name: name.to_owned(),
            key,
            at,
            table: Table::new(),
            workloads: Vec::new(),
            subsets: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Its key in a `weights` table of another service: its name, with a subset behind a `/`.
    pub fn destination(name: &str, subset: Option<&str>) -> String {
        match subset {
            Some(subset) => format!("{name}/{subset}"),
            None => name.to_owned(),
        }
    }

    /// The whole as a table, with its name first.
    pub fn whole(&self) -> Table {
        let mut whole = Table::new();
        whole.set("name", Value::text(&*self.name).at_some(self.at));
        for (key, value) in self.table.iter() {
            whole.set(key, value.clone());
        }
        let workloads = self.workloads.iter().map(|one| {
            let mut table = Table::new();
            let version = one.version.as_ref().map(Value::text);
            table.set_some("version", version.map(|version| version.at_some(one.at)));
            for (key, value) in one.table.iter() {
                table.set(key, value.clone());
            }
            Value::from(table).at_some(one.at)
        });
        // A service that selects nothing has no workload; one without the key is a mistake.
        if !self.workloads.is_empty() || self.table.get("selector").is_none() {
            whole.set("workload", Value::list(workloads));
        }
        for (key, list) in [("subsets", &self.subsets), ("route", &self.routes)] {
            if !list.is_empty() {
                whole.set(key, Value::list(list.iter().cloned().map(Value::from)));
            }
        }
        whole
    }
}
