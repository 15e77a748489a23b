//! Drafts: what manifests say of a mesh, in the keys of a scenario file.
//!
//! `meshsim import` writes a draft as text, with `# assumed` behind what no manifest says; a scenario with
//! `[[manifests]]` is laid over one. [`value`] are its values, [`names`] what things are called in it.
//! Kubernetes' part comes first and makes the services; each mesh's part then adds its routes and policies.
//! Source: design/contract.md (`meshsim import`, `[[manifests]]`); docs/scenarios.md (the keys).
//! Left out: what is listed in the findings as not simulated.

pub mod assumptions;
pub mod names;
mod stand_in;
pub mod value;

pub use stand_in::draft;

use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::meshes::Mesh;
use crate::manifest::source::At;
use names::{Key, Names};
use value::{Table, Value};

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
    /// What of the manifests has no key: for the ignored list, beside what reading found.
    pub findings: Findings,
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
    /// Its keys, but for the version.
    pub table: Table,
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
            findings: Findings::default(),
        }
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

    /// Notes what a mesh reads and no key of a scenario says: `Kind.path.to.field`.
    pub fn ignore(&mut self, field: impl Into<String>, at: At, why: &str) {
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
        if !self.workloads.is_empty() {
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
