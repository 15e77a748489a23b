//! Istio's part of a draft: routes, policies and security in the keys of a scenario.
//!
//! Reading order: [`entries`] (hosts outside of Kubernetes become services), [`services`] (each service's rules
//! and policy, in the view of one client), [`gateways`] (a service for each virtual host; [`ingress`]: filters there), with [`rule`],
//! [`condition`], [`destination`] and [`retries`]; [`policy`] and [`balancing`] (`DestinationRule`); [`security`]
//! (`PeerAuthentication`), [`authorization`] with [`attributes`], [`settings`] (proxies and what they know), [`envoy_filter`].
//! Source: docs/scenarios.md (the keys); what counts is decided by `manifest::istio` (`mesh`, `choose`, `rules`).
//! Left out: what goes to the ignored list, by name.

mod attributes;
mod authorization;
mod balancing;
mod condition;
mod destination;
mod entries;
mod envoy_filter;
mod gateways;
mod ingress;
mod places;
mod policy;
mod retries;
mod rule;
mod security;
mod services;
mod settings;
#[cfg(test)]
mod tests;

use crate::manifest::draft::value::{Kind, Table};
use crate::manifest::draft::{Draft, Service, Workload};
use crate::manifest::istio::choose::Client;
use crate::manifest::istio::mesh::{Mesh, Release};
use crate::manifest::istio::meta::Head;
use crate::manifest::istio::registry::{From, Known};
use crate::manifest::istio::virtual_service::VirtualService;
use crate::manifest::kinds::{ISTIO_NETWORKING, ISTIO_SECURITY};
use crate::manifest::object::{Id, Labels};
use crate::manifest::source::At;
use places::Places;
use std::collections::{BTreeMap, BTreeSet};

/// Adds what Istio's objects say, after the services of Kubernetes are made.
pub(in crate::manifest::draft) fn istio(draft: &mut Draft<'_>) {
    let mut work = Work::of(draft);
    work.entries();
    work.services();
    work.filters_at_ingress();
    work.virtual_hosts();
    work.gateways();
    work.peer_authentication();
    work.settings();
    work.rate_limits();
    work.authorization();
    work.not_simulated();
}

/// The same, but only hosts outside of Kubernetes.
pub(in crate::manifest::draft) fn hosts(draft: &mut Draft<'_>) {
    Work::of(draft).entries();
}

/// The draft, and what decides.
struct Work<'d, 'l> {
    draft: &'d mut Draft<'l>,
    mesh: Mesh<'l>,
    places: Places<'l>,
    /// What hosts outside of Kubernetes are called.
    hosts: BTreeMap<String, String>,
    /// Subsets by the client's namespace and the host.
    subsets: BTreeMap<(String, String), BTreeSet<String>>,
    /// Which callers a rule of a policy is about at a port, and whether of some of them only in part.
    meant: BTreeMap<(At, u16), (Vec<String>, bool)>,
    /// What the gateway's filters say, and its routes do not.
    at_ingress: ingress::AtIngress,
}

impl<'d, 'l> Work<'d, 'l> {
    fn of(draft: &'d mut Draft<'l>) -> Self {
        let loaded = draft.loaded;
        let (cluster, sources) = (&loaded.cluster, &loaded.manifests.sources);
        let mesh = Mesh::of(cluster, &loaded.istio, sources, Release::default());
        let places = Places::of(loaded);
        let (hosts, subsets) = (BTreeMap::new(), BTreeMap::new());
        let at_ingress = ingress::AtIngress::default();
        let meant = BTreeMap::new();
        Self { draft, mesh, places, hosts, subsets, meant, at_ingress }
    }

    /// What a host is called in the scenario, if it is a service there.
    fn name_of(&self, known: &Known) -> Option<String> {
        let name = match known.origin {
            From::Kubernetes => self.draft.names.service(&known.namespace, &known.name),
            From::Entry(_) => self.hosts.get(&known.host).map(String::as_str),
        };
        let is_there = |name: &&str| self.draft.services.iter().any(|one| one.name == **name);
        name.filter(is_there).map(str::to_owned)
    }

    /// The host that a service of the scenario is.
    fn known_of(&self, index: usize) -> Option<&Known> {
        let service = &self.draft.services[index];
        if let Some((namespace, name)) = &service.key {
            let host = self.mesh.cluster.service(namespace, name)?.host();
            let mut all = self.mesh.registry.named(&host);
            return all.find(|known| known.origin == From::Kubernetes);
        }
        let (host, _) = self.hosts.iter().find(|(_, name)| **name == service.name)?;
        let mut all = self.mesh.registry.named(host);
        all.find(|known| matches!(known.origin, From::Entry(_)))
    }

    /// Notes that an object left something in the draft.
    fn used(&mut self, kind: &str, head: &Head) {
        let groups = [ISTIO_NETWORKING, ISTIO_SECURITY];
        for group in groups {
            let (group, kind) = (group.to_owned(), kind.to_owned());
            let (namespace, name) = (head.namespace.clone(), head.name.clone());
            self.draft.used(&Id { group, kind, namespace, name });
        }
    }

    /// Notes that a virtual service left something, and its delegates.
    fn used_rules(&mut self, head: &Head) {
        self.used("VirtualService", head);
        let all = &self.mesh.istio.virtual_services;
        let Some(rules) = all.iter().find(|one| one.head == *head) else { return };
        for delegate in rules.http.iter().filter_map(|rule| rule.delegate.as_ref()) {
            let is_own = delegate.namespace.is_empty();
            let namespace = if is_own { &head.namespace } else { &delegate.namespace };
            let is_it = |one: &&VirtualService| {
                one.head.namespace == *namespace && one.head.name == delegate.name
            };
            if let Some(found) = all.iter().find(is_it) {
                self.used("VirtualService", &found.head);
            }
        }
    }

    /// The place of the field at a path below a map.
    fn field(&self, at: At, path: &[&str]) -> At {
        self.places.field(at, path)
    }
}

/// Whether the pods of a workload have a sidecar.
fn has_sidecar(service: &Service, own: &Workload) -> bool {
    let flag = |table: &Table, key: &str| match table.get(key)?.kind {
        Kind::Bool(flag) => Some(flag),
        _ => None,
    };
    let told = flag(&own.table, "inject").or(flag(&service.table, "meshed"));
    told.unwrap_or(true)
}

/// Some client of a namespace, of which nothing else is known.
fn client_of(namespace: &str) -> Client {
    let namespace = namespace.to_owned();
    Client { namespace, labels: Labels::new(), workload: None, has_proxy: true }
}

/// The name of a host with a wildcard: `*.shop.com` is `wildcard.shop.com`, `*` what stands for all.
fn plain_host(host: &str, all: &str) -> String {
    match host.strip_prefix('*') {
        Some("") => all.to_owned(),
        Some(rest) => format!("wildcard{rest}"),
        None => host.to_owned(),
    }
}
